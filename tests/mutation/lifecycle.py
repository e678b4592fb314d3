"""Mistakes in how the flow is run: shutdown, outages, processes, steps that wait for a server."""

from functools import partial

from tests.mutation.mutant import (
    CHILD,
    CRASH_TESTS,
    KEYED,
    LIFECYCLE_TESTS,
    PROCESSES,
    ROUTE,
    SHUTDOWN,
    SUPERVISOR,
    WORKER,
    Mutant,
)

_mutant = partial(Mutant, tests=LIFECYCLE_TESTS)
_crash = partial(Mutant, tests=CRASH_TESTS)

LIFECYCLE = [
    # Steps that wait for a server.
    _mutant(
        "any number of windows may wait for a server",
        KEYED,
        "while len(self._running) >= AHEAD:",
        "while len(self._running) >= 1000 * AHEAD:",
    ),
    _mutant(
        "work continues after a failure",
        KEYED,
        "            self._failed = True\n            raise",
        "            raise",
    ),
    _mutant(
        "what is under way at the end of the input is lost",
        KEYED,
        "        left = [out for running in self._running for out in running.result()]",
        "        left: list[W] = []",
    ),
    # Shutdown.
    _mutant(
        "a stop gives no grace",
        SHUTDOWN,
        "if not self.finished.wait(GRACE_S):",
        "if not self.finished.wait(0):",
    ),
    _mutant(
        "a stop cancels no wait",
        SHUTDOWN,
        "        if not self.finished.wait(GRACE_S):\n            self.cancel_waits()\n",
        "",
    ),
    _mutant(
        "a failure cancels no wait",
        SHUTDOWN,
        "            self.cancel_waits()\n            raise",
        "            raise",
    ),
    _mutant(
        "the last failure of a run counts",
        SHUTDOWN,
        "self.failure = self.failure or failure",
        "self.failure = failure",
    ),
    _mutant(
        "a stop hides every failure",
        SHUTDOWN,
        "if not (stop.is_set() and isinstance(first, ServerUnreachable)):",
        "if not stop.is_set():",
    ),
    _mutant(
        "an outage ends a run like a stop",
        SHUTDOWN,
        "if not (stop.is_set() and isinstance(first, ServerUnreachable)):",
        "if not isinstance(first, ServerUnreachable):",
    ),
    # Outages, and who runs which shard.
    _mutant(
        "a stop does not end the wait of an outage",
        SUPERVISOR,
        "        self._stop.wait(wait_s)",
        "        time.sleep(wait_s)",
    ),
    _mutant(
        "an outage has no end",
        SUPERVISOR,
        "            raise failure",
        "            wait_s = 1.0",
    ),
    _mutant(
        "an outage begins anew with each claim",
        SUPERVISOR,
        "self._clock() - self._run_began_s > WORKED_S",
        "self._clock() >= self._run_began_s",
    ),
    _mutant(
        "the outage of today counts tomorrow",
        SUPERVISOR,
        "            self._backoff.reset()\n",
        "            pass\n",
    ),
    _mutant(
        "an outage is logged with each attempt",
        SUPERVISOR,
        "        if interrupted:",
        "        if not self._stop.is_set():",
    ),
    _mutant(
        "every process runs the first shard",
        SUPERVISOR,
        "range(number, settings.shards, processes)",
        "range(0, settings.shards, processes)",
    ),
    _mutant(
        "a process is started without a shard",
        SUPERVISOR,
        "processes = min(settings.processes, settings.shards)",
        "processes = settings.processes",
    ),
    # Child processes.
    _mutant(
        "a child that does not stop is not killed",
        CHILD,
        "        process.kill()\n",
        "",
    ),
    _mutant(
        "a child outlives the first process",
        CHILD,
        "        pass\n    stop.set()",
        "        pass",
    ),
    _mutant(
        "a child hides its failure",
        CHILD,
        "return failure.exit_code",
        "return 0",
    ),
    _mutant(
        "a crashed child stays away",
        CHILD,
        "if stop.is_set() or code in final_codes:",
        "if stop.is_set() or code:",
    ),
    _mutant(
        "a child that was replaced comes again",
        CHILD,
        "if stop.is_set() or code in final_codes:",
        "if stop.is_set():",
    ),
    _mutant(
        "a stop does not end the pause before a restart",
        CHILD,
        "        if stop.wait(wait_s):\n            return 0",
        "        time.sleep(wait_s)",
    ),
    _mutant(
        "the end of one process stops all",
        PROCESSES,
        "    if code:\n        log.error(",
        "    if code:\n        stop.set()\n        log.error(",
    ),
    _mutant(
        "the last failure of the processes counts",
        PROCESSES,
        "for number, code in codes.items() if code)",
        "for number, code in reversed(codes.items()) if code)",
    ),
    _mutant(
        "a deployment without a process is ready",
        PROCESSES,
        "if any(startup.claimed.is_set() for startup in startups):",
        "if startups:",
    ),
    # What leaves, and when.
    _crash(
        "results leave before their window is committed",
        ROUTE,
        '_waiting_step("publish", committed, watched',
        '_waiting_step("publish", closed, watched',
    ),
    _crash(
        "what a crash kept back stays there",
        WORKER,
        "            self._publish_missing(publisher)\n",
        "",
    ),
]
