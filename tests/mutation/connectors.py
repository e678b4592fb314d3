"""Mistakes at the edges: how the log is read, windows are committed, results are published."""

from functools import partial

from tests.mutation.mutant import (
    NATS_TESTS,
    POSTGRES_TESTS,
    READER,
    RESULTS_PUBLISHER,
    SOURCE,
    TRANSACTION,
    UPSERTS,
    WRITER,
    Mutant,
)

_nats = partial(Mutant, tests=NATS_TESTS)
_postgres = partial(Mutant, tests=POSTGRES_TESTS)

CONNECTORS = [
    # The log is read.
    _nats(
        "the source reads ahead without a bound in bytes",
        SOURCE,
        " or free_bytes < AHEAD_BYTES // 2:",
        ":",
    ),
    _nats(
        "a batch has no bound in bytes",
        SOURCE,
        "while len(taken) < count and size < BATCH_BYTES:",
        "while len(taken) < count:",
    ),
    _nats(
        "a failure overtakes the messages before it",
        SOURCE,
        "        failed = self._reading.done()\n",
        "        failed = self._reading.done()\n        if failed:\n"
        "            self._reading.result()\n",
    ),
    _nats(
        "the source reads a message too many", SOURCE, "self._until + 1 - ", "self._until + 2 - "
    ),
    _nats(
        "a stop does not end the source",
        SOURCE,
        "        if self._stop.is_set():\n            raise StopIteration\n",
        "",
    ),
    _nats(
        "a log that was made anew is read on",
        READER,
        "created_ns != stream.created_ns:",
        "created_ns < 0:",
    ),
    _nats(
        "a log that is too short is read on",
        READER,
        "last_seq < next_seq - 1:",
        "last_seq < 0:",
    ),
    _nats("a purged log is read on", READER, "first_seq > next_seq:", "first_seq < 0:"),
    # Results are published.
    _nats(
        "a window counts as published before its results are",
        RESULTS_PUBLISHER,
        "            if isinstance(window, Settlement):\n",
        "            if isinstance(window, Settlement):\n"
        "                mark_published(shard, window.window_id)\n",
    ),
    _nats(
        "results are published again after a restart",
        RESULTS_PUBLISHER,
        "if not fence.lets_nothing_in(mark):",
        "if fence or mark:",
    ),
    _nats(
        "where the results stand is not read again after a failure",
        RESULTS_PUBLISHER,
        "                self._fences.pop(shard, None)",
        "                pass",
    ),
    _nats(
        "a closed publisher still waits",
        RESULTS_PUBLISHER,
        "        for sending in list(self._sending):\n            sending.cancel()\n",
        "",
    ),
    # Windows are committed.
    _postgres(
        "any worker may write",
        TRANSACTION,
        "        require_own(row, token)  # 2\n",
        "",
    ),
    _postgres(
        "an applied window is not compared",
        TRANSACTION,
        "            _require_same_window(conn, row, closed)\n",
        "",
    ),
    _postgres(
        "a gap in the log is committed",
        TRANSACTION,
        "        _require_next(row, closed)  # 4\n",
        "",
    ),
    _postgres(
        "balances are not written",
        TRANSACTION,
        "            update_balances(conn, closed)  # 7\n",
        "",
    ),
    _postgres(
        "new names are not written",
        TRANSACTION,
        "            copy_names(conn, closed)  # 6\n",
        "",
    ),
    _postgres(
        "a balance that no column can hold is written as nothing",
        UPSERTS,
        "    if wide:\n",
        "    if not wide:\n",
    ),
    _postgres(
        "a worker claims its shard back from its successor",
        TRANSACTION,
        "        if after is not None:\n            require_own(row, Token(after + 1))\n",
        "",
    ),
    _postgres(
        "a lost connection is used again",
        WRITER,
        "        conn, self._conn = self._conn, None\n",
        "        conn: Connection | None = None\n",
    ),
    _postgres(
        "a closed writer still waits for an answer",
        WRITER,
        ".shutdown(SHUT_RDWR)",
        ".fileno()",
    ),
    _postgres(
        "a closed writer begins another window",
        WRITER,
        "            if self._closed.is_set():\n                raise _closed(self._shard)\n"
        "            commit_window(conn, closed, token=self._token)",
        "            commit_window(conn, closed, token=self._token)",
    ),
]
