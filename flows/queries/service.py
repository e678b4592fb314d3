"""What agents may ask of a deployment while its flow runs: balance, history, prices.

Promise: answers show committed windows only; a question never waits for the flow, nor the flow for
a question. Every question gets a reply: an answer, or a `QueryError` with the reason.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import accumulate
from typing import Final, TypeVar

from pydantic import ValidationError

from connectors.nats.background_loop import open_on_loop
from connectors.nats.request_reply import Answer, Endpoint, Reply, ServiceError, serving
from connectors.postgres.reads.queries import LedgerReader, open_reader
from state.errors import WalrasError
from walras_schemas import (
    PAYLOAD_MAX_BYTES,
    BalanceQuery,
    HistoryQuery,
    HistoryReply,
    PricesQuery,
    PricesReply,
    QueryError,
    QueryErrorReason,
)
from walras_schemas.queries import QUERY_SUBJECTS, QuerySubject, Question, parse_subject
from walras_schemas.wire import Message

NAME: Final = "walras-queries"
CODES: Final = {
    QueryErrorReason.MALFORMED: "400",
    QueryErrorReason.UNKNOWN_MARKET: "404",
    QueryErrorReason.UNKNOWN_AGENT: "404",
    QueryErrorReason.UNAVAILABLE: "503",
}
ENVELOPE_BYTES: Final = 512
RESULTS_MAX_BYTES: Final = PAYLOAD_MAX_BYTES - ENVELOPE_BYTES

Q = TypeVar("Q", bound=Question)


@contextmanager
def serving_queries(nats_url: str, postgres_dsn: str) -> Iterator[None]:
    """Answer questions for a block, beside whatever the block does."""
    with (
        open_reader(postgres_dsn) as ledger,
        ThreadPoolExecutor(len(QUERY_SUBJECTS), thread_name_prefix="queries") as threads,
        open_on_loop(serving(nats_url, name=NAME, endpoints=_endpoints(ledger), threads=threads)),
    ):
        yield


def _endpoints(ledger: LedgerReader) -> list[Endpoint]:
    def balance(about: QuerySubject, _question: BalanceQuery) -> Message:
        return ledger.balance(about.market, _named(about.agent))

    def history(about: QuerySubject, question: HistoryQuery) -> Message:
        reply = ledger.history(about.market, _named(about.agent), question)
        return reply if isinstance(reply, QueryError) else fitted(reply, question)

    def prices(about: QuerySubject, _question: PricesQuery) -> Message:
        return ledger.prices(about.market)

    return [
        Endpoint("balance", QUERY_SUBJECTS["balance"], _answering(BalanceQuery, balance)),
        Endpoint("history", QUERY_SUBJECTS["history"], _answering(HistoryQuery, history)),
        Endpoint("prices", QUERY_SUBJECTS["prices"], _answering(PricesQuery, prices)),
    ]


def _answering(kind: type[Q], answer: Callable[[QuerySubject, Q], Message]) -> Answer:
    """Read the question and answer it; what goes wrong becomes an error reply."""

    def reply(subject: str, payload: bytes) -> Reply:
        about = parse_subject(subject)
        if about is None:
            return _reply(_malformed(f"{subject} does not name a market, or an agent in one"))
        try:
            question = kind.model_validate_json(payload)
        except ValidationError as wrong:
            return _reply(_malformed(_describe(wrong)))
        try:
            return _reply(answer(about, question))
        except WalrasError as failure:
            return _reply(QueryError(reason=QueryErrorReason.UNAVAILABLE, detail=failure.what))

    return reply


def fitted(reply: HistoryReply, question: HistoryQuery) -> HistoryReply:
    """As much of a page as fits into one message, from the end where the question begins.

    A result alone always does: none is larger than half a message.
    """
    results = reply.results if question.after_window is not None else reply.results[::-1]
    sizes = accumulate(len(_json(result)) + 1 for result in results)
    fit = sum(size <= RESULTS_MAX_BYTES for size in sizes)
    assert fit or not results, "a result is larger than half a message"
    kept = reply.results[:fit] if question.after_window is not None else reply.results[-fit:]
    return reply.model_copy(update={"results": kept})


def _json(message: Message) -> bytes:
    """The message as it is written; `null` stands for a price that there was none of, only."""
    return message.model_dump_json(exclude_none=not isinstance(message, PricesReply)).encode()


def _reply(message: Message) -> Reply:
    payload = _json(message)
    if not isinstance(message, QueryError):
        return Reply(payload)
    return Reply(
        payload, ServiceError(CODES[message.reason], f"{message.reason}: {message.detail}")
    )


def _malformed(detail: str) -> QueryError:
    return QueryError(reason=QueryErrorReason.MALFORMED, detail=detail)


def _describe(wrong: ValidationError) -> str:
    """The first problem of a question."""
    error = wrong.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, error["loc"])) or "the question"
    return f"{where}: {error['msg']}"


def _named(agent: str | None) -> str:
    assert agent is not None, "only prices are asked for without an agent"
    return agent
