"""A process beside the first one of a deployment tells by its exit code why it ended."""

import subprocess
import sys

from flows.runtime import child_process as child
from state.errors import ServerUnreachable

WITHIN_S = 30

# Its work fails at once, while whoever started it is still there and says nothing.
FAILS = """
import sys
from flows.runtime import child_process as child
from state.errors import ServerUnreachable

def work(task, stop):
    raise ServerUnreachable("gone", detail=task, hint="wait")

sys.exit(child.follow("a child", str, work))
"""


def test_a_failure_is_told_by_its_exit_code() -> None:
    """A child that is aborted on its way out looks like a crash of the interpreter."""
    with subprocess.Popen(
        [sys.executable, "-c", FAILS], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b'"server"\n')
        process.stdin.flush()
        assert ServerUnreachable.exit_code == process.wait(WITHIN_S)
        assert b"a child: gone: server. wait.\n" == process.stderr.read()


def test_it_ends_with_whoever_started_it() -> None:
    """A child that outlives a killed deployment writes beside its successor."""
    waits = FAILS.replace(
        'raise ServerUnreachable("gone", detail=task, hint="wait")', "stop.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", waits], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b'"server"\n')
        process.stdin.flush()
        child.ask_to_stop(process)
        assert 0 == process.wait(WITHIN_S)
