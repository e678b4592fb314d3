"""Where a measurement runs: servers, an isolated process, the instrumented flow, its resources."""
