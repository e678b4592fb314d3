"""Mistakes at the edges: how the log is read, windows are committed, results are published."""

from functools import partial

from tests.mutation.mutant import (
    MISSING_WINDOWS,
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
        "return (messages, free_bytes) if free_bytes >= AHEAD_BYTES // 2 else (0, 0)",
        "return messages, AHEAD_BYTES",
    ),
    _nats(
        "a batch has no bound in bytes",
        SOURCE,
        "            if size >= BATCH_BYTES:\n                break\n",
        "",
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
        "agents are told nothing live",
        RESULTS_PUBLISHER,
        "publisher.publish_live(live_of(window)):",
        "publisher.publish_live(()):",
    ),
    _nats(
        "results that were dropped are not counted",
        RESULTS_PUBLISHER,
        "dropped += 0 if self._wait_for(self._write(frames)) else count",
        "self._wait_for(self._write(frames))",
    ),
    _nats(
        "a window is through before the stream has it",
        RESULTS_PUBLISHER,
        "            publisher.publish_durable(list(durable_of(window)))\n",
        "",
    ),
    _nats(
        "a window that was not acknowledged is not sent again",
        RESULTS_PUBLISHER,
        "            left = [message for message, _ in failures]\n",
        "            left = []\n",
    ),
    _nats(
        "a window that a server refuses is sent again",
        RESULTS_PUBLISHER,
        "isinstance(failure, MaxPayloadError | BadRequestError)",
        "isinstance(failure, MaxPayloadError)",
    ),
    _nats(
        "what a crash kept back leaves the newest first",
        RESULTS_PUBLISHER,
        "for messages in reversed(kept_back):",
        "for messages in kept_back:",
    ),
    _nats(
        "windows older than one that is there are looked at",
        RESULTS_PUBLISHER,
        "            if not missing:\n                break\n",
        "            if not missing:\n                continue\n",
    ),
    _nats(
        "the last window of a market is taken for missing",
        MISSING_WINDOWS,
        "<= self._ends[message.subject].window_id",
        "< self._ends[message.subject].window_id",
    ),
    _nats(
        "a sleeper's window enters behind any other",
        RESULTS_PUBLISHER,
        "last_seq=self._ends.last_seq(each.subject),",
        "last_seq=None,",
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
        "            commit_window(",
        "            commit_window(",
    ),
]
