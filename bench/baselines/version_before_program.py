"""Drain a workload with the benchmark of an earlier version, in whose environment this runs.

It reads the workload and a folder for the servers as JSON and prints the measured run as JSON. The
names of the benchmark's parts changed over time: each is looked up where it is now, then where it
was before.
"""

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, Final

PLACES: Final = {
    "open_testbed": ("bench.harness.testbed:open_testbed", "bench.stand:stand"),
    "load": ("bench.throughput.load:load", "bench.fill:fill"),
    "drain": ("bench.throughput.drain:drain", "bench.drain:drain"),
    "Workload": ("bench.workload:Workload",),
}


def find(part: str) -> Any:
    """A part of the benchmark, at the first of its places that this version has."""
    for place in PLACES[part]:
        module, _, name = place.partition(":")
        with suppress(ModuleNotFoundError):
            return getattr(import_module(module), name)
    raise ModuleNotFoundError(f"the benchmark of this version has no {part}")


def workload_of(described: dict[str, Any]) -> Any:
    """The workload, of which this version may not know every field; what it knows not is unset."""
    workload = find("Workload")
    known = {field.name for field in fields(workload)}
    unknown = {name: value for name, value in described.items() if name not in known}
    assert not any(unknown.values()), f"this version has no workload with {unknown}"
    return workload(**{name: described[name] for name in known & described.keys()})


def main() -> None:
    task: dict[str, Any] = json.load(sys.stdin)
    workload = workload_of(task["workload"])
    with find("open_testbed")(Path(task["folder"]), window_ms=workload.window_ms) as testbed:
        loaded = asyncio.run(find("load")(testbed.servers.nats_url, [workload]))
        with testbed.ledger() as ledger:
            run = find("drain")(testbed, ledger, loaded)
    measured = {"commands": run.commands, "seconds": run.seconds, "cpu_us": run.cpu_us}
    sys.stdout.write(f"{json.dumps(measured)}\n")


if __name__ == "__main__":
    main()
