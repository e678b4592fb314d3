"""Questions to a market and its answers, by request and reply: balance, history, prices.

Promise: an answer shows committed windows only, and says up to which one. The subject names the
market and the agent, as in the log; a question that cannot be answered gets a `QueryError`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from walras_schemas.names import AgentName, Count, Name, is_agent_name, is_name
from walras_schemas.results import AgentResult, Balance, ResourcePrice
from walras_schemas.wire import Message, OrAbsent, state_wire

QueryKind = Literal["balance", "history", "prices"]

QUERY_SUBJECTS: Final[dict[QueryKind, str]] = {
    "balance": "query.balance.*.*",
    "history": "query.history.*.*",
    "prices": "query.prices.*",
}
"""What the service listens on."""

HISTORY_MAX: Final = 1000
HISTORY_DEFAULT: Final = 100
HistoryLimit = Annotated[int, Field(strict=True, ge=1, le=HISTORY_MAX)]


def state_question(schema: dict[str, Any]) -> None:
    """State in a question's JSON Schema what every message states; nothing else is required."""
    schema.setdefault("required", [])
    state_wire(schema)


class Question(Message):
    """What every question has in common; its subject says whom it is about."""

    model_config = ConfigDict(json_schema_extra=state_question)

    @model_validator(mode="before")
    @classmethod
    def _names_its_type(cls, fields: Any, info: ValidationInfo) -> Any:
        """Only in Python does the class itself say which question it is."""
        if info.mode == "json" and isinstance(fields, dict) and "type" not in fields:
            raise ValueError("a question has a type")
        return fields

    @model_serializer(mode="wrap")
    def _leave_out_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = serialize(self)
        return {name: value for name, value in fields.items() if value is not None}


class BalanceQuery(Question):
    """Asks what the agent owns."""

    type: Literal["balance_query"] = "balance_query"


class BalanceReply(Message):
    """What the agent owned after the last committed window of its market."""

    type: Literal["balance_reply"] = "balance_reply"
    market: Name
    agent_id: AgentName
    window_id: Count
    balance_micros: Balance


class HistoryQuery(Question):
    """Asks what came of the agent's commands, window by window.

    With `after_window` the answer has the oldest windows after it, so that a reader goes forward
    from there; else the newest ones, all of them before `before_window` where it is given.
    """

    type: Literal["history_query"] = "history_query"
    after_window: OrAbsent[Count] = None
    before_window: OrAbsent[Count] = None
    limit: HistoryLimit = HISTORY_DEFAULT
    """The most windows to answer with; fewer come where they do not fit into one message."""


class HistoryReply(Message):
    """The agent's results, oldest first, in the form in which they are published; none at the end.

    Each is one whole window; one that is not complete is so here too (`AgentResult`).
    """

    type: Literal["history_reply"] = "history_reply"
    market: Name
    agent_id: AgentName
    results: list[AgentResult]


class PricesQuery(Question):
    """Asks what the market's resources cost in its last window."""

    type: Literal["prices_query"] = "prices_query"


class PricesReply(Message):
    """The prices and volumes of the last committed window of the market."""

    type: Literal["prices_reply"] = "prices_reply"
    market: Name
    window_id: Count
    prices: list[ResourcePrice]


class QueryErrorReason(StrEnum):
    """Why a question was not answered."""

    MALFORMED = "malformed"
    """The subject or the question is not as this registry says."""

    UNKNOWN_MARKET = "unknown_market"
    """No window of such a market is committed."""

    UNKNOWN_AGENT = "unknown_agent"
    """The agent has never received credits in this market."""

    UNAVAILABLE = "unavailable"
    """The ledger does not answer; ask again later."""


class QueryError(Message):
    """The reply to a question that was not answered."""

    type: Literal["query_error"] = "query_error"
    reason: QueryErrorReason
    detail: str


QUERIES: Final[dict[str, type[Message]]] = {
    "balance_query": BalanceQuery,
    "balance_reply": BalanceReply,
    "history_query": HistoryQuery,
    "history_reply": HistoryReply,
    "prices_query": PricesQuery,
    "prices_reply": PricesReply,
    "query_error": QueryError,
}


@dataclass(frozen=True, slots=True)
class QuerySubject:
    """What the subject of a question says; only prices are no agent's."""

    kind: QueryKind
    market: str
    agent: str | None = None


def parse_subject(subject: str) -> QuerySubject | None:
    """Read the subject of a question; None when it is none."""
    match subject.split("."):
        case ["query", "balance" | "history" as kind, market, agent]:
            known = is_name(market) and is_agent_name(agent)
            return QuerySubject(kind, market, agent) if known else None
        case ["query", "prices", market] if is_name(market):
            return QuerySubject("prices", market)
        case _:
            return None


def balance_subject(market: str, agent: str) -> str:
    """Where to ask for a balance."""
    return _checked(f"query.balance.{market}.{agent}")


def history_subject(market: str, agent: str) -> str:
    """Where to ask for past results."""
    return _checked(f"query.history.{market}.{agent}")


def prices_subject(market: str) -> str:
    """Where to ask for prices."""
    return _checked(f"query.prices.{market}")


def _checked(subject: str) -> str:
    if parse_subject(subject) is None:
        raise ValueError(f"no subject of a question: {subject!r} has no names of its kind")
    return subject
