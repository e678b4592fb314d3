"""A page of past results as messages can carry it: in parts, and no more than fits.

Promise: a window has the same parts as when it was published, so that a reader with some of them
can continue with the rest. A page is never cut where the next one would not begin.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from operators.results import PART_MAX_BYTES
from walras_schemas import (
    PAYLOAD_MAX_BYTES,
    AgentResult,
    BidOutcome,
    CommandOutcome,
    HistoryQuery,
    HistoryReply,
    QueryError,
    QueryErrorReason,
)

ENVELOPE_BYTES: Final = 512
RESULTS_MAX_BYTES: Final = PAYLOAD_MAX_BYTES - ENVELOPE_BYTES

Outcome = BidOutcome | CommandOutcome


def paginate(reply: HistoryReply, question: HistoryQuery) -> HistoryReply | QueryError:
    """As much of a page as fits into one message, from the end where the question begins."""
    if question.after_window is not None:
        results = _that_fit([part] for part in unread(reply, question))
    else:
        # The next page ends before the oldest window of this one: it must be whole.
        results = _that_fit(in_parts(result) for result in reversed(reply.results))[::-1]
        if reply.results and not results:
            return _too_large(reply.results[-1])
    return reply.model_copy(update={"results": list(chain.from_iterable(results))})


def unread(reply: HistoryReply, question: HistoryQuery) -> list[AgentResult]:
    """The parts of a page without those that the asker has; none when it has the page whole."""
    parts = chain.from_iterable(map(in_parts, reply.results))
    known = question.after_window, question.after_part or 0
    return [part for part in parts if (part.window_id, part.part) > known]


def _that_fit(groups: Iterable[Sequence[AgentResult]]) -> list[Sequence[AgentResult]]:
    """The first groups of results, as many as fit whole; a part alone always does."""
    fit: list[Sequence[AgentResult]] = []
    size = 0
    for group in groups:
        size += sum(len(result.model_dump_json()) + 1 for result in group)
        if size > RESULTS_MAX_BYTES:
            break
        fit.append(group)
    return fit


def in_parts(result: AgentResult) -> list[AgentResult]:
    """The whole result of a window, cut as it was when it was published."""
    parts = list(_parts(result.outcomes))
    return [
        result.model_copy(update={"part": number, "parts": len(parts), "outcomes": part})
        for number, part in enumerate(parts, 1)
    ]


def _parts(outcomes: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    part: list[Outcome] = []
    size = 0
    for outcome in outcomes:
        written = len(outcome.model_dump_json(exclude_none=True))
        if part and size + written > PART_MAX_BYTES:
            yield part
            part, size = [], 0
        part.append(outcome)
        size += written + 1
    yield part


def _too_large(newest: AgentResult) -> QueryError:
    return QueryError(
        reason=QueryErrorReason.TOO_LARGE,
        detail=f"window {newest.window_id} does not fit into one message: "
        f"read it part by part with after_window {newest.window_id - 1}",
    )
