"""After the run: each promise, recomputed from the log and the ledger, and all that breaks it.

Promise: a check reads what is there, not what the run believes to have done; it names what is
wrong. Every check can fail, which a test shows of each.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from psycopg import Connection

from connectors.duckdb.ledger import open_ledger
from flows.analytics.answers import answer, answer_demo
from flows.analytics.questions import DemoQuestion, Question
from tests.chaos.log import Log
from tests.crash.books import Books

ONE_OUTCOME: Final = "every command in the log has one outcome"
SAME_AGAIN: Final = "the log replayed gives the same ledger, digest by digest"
SHOWN: Final = 5
_PLACES: Final = """
    SELECT seq, ord FROM ledger.bid
    UNION ALL SELECT seq, ord FROM ledger.command
    UNION ALL SELECT seq, ord FROM ledger.dead_letter
    ORDER BY seq, ord
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, of how many things it was checked, and what breaks it."""

    promise: str
    of: int
    violations: list[str]

    @property
    def holds(self) -> bool:
        return not self.violations

    def __str__(self) -> str:
        shown = self.violations[:SHOWN]
        more = len(self.violations) - len(shown)
        return "\n".join([self.promise, *shown, *([f"and {more:,} more"] if more else [])])


def check_acknowledged(acknowledged: Mapping[int, bytes], log: Log) -> Check:
    """An acknowledgement that the log does not keep is a command that was lost."""
    lost = [
        f"sequence {seq} was acknowledged, and the log "
        f"{'holds another message there' if seq <= len(log.fingerprints) else 'ends before it'}"
        for seq, fingerprint in acknowledged.items()
        if log.fingerprints[seq - 1 : seq] != [fingerprint]
    ]
    return Check(
        "every acknowledged message is in the log, as it was sent", len(acknowledged), lost
    )


def check_contiguous(log: Log, state: Mapping[str, Any]) -> Check:
    """`state` is what the server said of its stream before it was read."""
    last_seq = state["last_seq"]
    wrong = [f"sequence {seq} is the {n}th" for n, seq in enumerate(log.seqs, 1) if seq != n]
    if (state["first_seq"], state["messages"]) != (1, last_seq):
        wrong.append(f"the stream holds {state['messages']} messages up to sequence {last_seq}")
    if len(log.seqs) < last_seq:
        wrong.append(f"the log was read up to {len(log.seqs)}, and ends with {last_seq}")
    return Check("the log's sequences have no gap", len(log.seqs), wrong)


def check_outcomes(
    log: Log, places: Iterable[tuple[int, int]], *, next_seq: int, acknowledged: int
) -> Check:
    """`places` are those of all outcomes, in order; the ledger has read up to `next_seq`.

    `acknowledged` is the last sequence that a publisher knows of: the ledger must be past it.
    """
    expected = {seq: n for seq, n in enumerate(log.commands[: next_seq - 1], 1) if n}
    commands = sum(expected.values())
    wrong = []
    for seq, of_message in groupby(places, key=itemgetter(0)):
        found = [ord_ for _, ord_ in of_message]
        due = expected.pop(seq, 0)
        if found != list(range(due)):
            wrong.append(f"sequence {seq}: {due} commands, outcomes for {_shortened(found)}")
    wrong += [f"sequence {seq}: {n} commands, no outcome" for seq, n in expected.items()]
    if not acknowledged < next_seq <= len(log.seqs) + 1:
        wrong.append(
            f"the ledger reads {next_seq} next, the log ends with {len(log.seqs)}, "
            f"publishers know of {acknowledged}"
        )
    return Check(ONE_OUTCOME, commands, wrong)


def outcome_places(ledger: Connection) -> Iterator[tuple[int, int]]:
    """Where the outcomes of a ledger lie in the log."""
    with ledger.transaction(), ledger.cursor("places") as rows:
        rows.itersize = 50_000
        rows.execute(_PLACES)
        yield from rows


def check_books(dsn: str) -> list[Check]:
    """What must hold of any ledger, recomputed from its single rows by another database."""
    with open_ledger(dsn) as ledger:
        held = list(answer(ledger, Question.AUDIT).rows)
        ((unbalanced,),) = answer_demo(ledger, DemoQuestion.POSTINGS).rows
        ((rows,),) = ledger.execute("SELECT count(*) FROM transactions").fetchall()
    held.insert(0, ("the two postings of each transaction sum to zero", unbalanced))
    return [
        Check(promise, int(rows), [f"broken {times} times"] if times else [])
        for promise, times in held
    ]


def check_replay(of_run: Books, of_replay: Books) -> Check:
    """The ledger of the run beside that of its log in an empty database."""
    wrong = [
        f"window {mine} is {other} in the replay"
        for mine, other in zip(of_run.windows, of_replay.windows, strict=False)
        if mine != other
    ]
    wrong += [
        f"{what}: {len(mine)} in the ledger, {len(other)} in the replay"
        for what, mine, other in (
            ("windows", of_run.windows, of_replay.windows),
            ("accounts", of_run.accounts, of_replay.accounts),
        )
        if len(mine) != len(other)
    ]
    wrong += [
        f"account {mine} is {other} in the replay"
        for mine, other in zip(of_run.accounts, of_replay.accounts, strict=False)
        if mine != other
    ]
    wrong += [
        f"rows of {table}: {found} in the ledger, {of_replay.rows[table]} in the replay"
        for table, found in of_run.rows.items()
        if found != of_replay.rows[table]
    ]
    return Check(SAME_AGAIN, len(of_run.windows), wrong)


def _shortened(found: list[int]) -> str:
    return str(found) if len(found) < 12 else f"{len(found)} places"
