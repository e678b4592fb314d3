"""Commands on their way into the log of a market, each message sent until it is acknowledged.

Promise: what `put` returned for is in the log, once: a message is sent again with the same event
ids and the same `Nats-Msg-Id`, and the stream drops what it has already.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from nats.js.errors import APIError

from walras_client.backoff import TROUBLE, Patience, is_passing, told
from walras_client.errors import LogFull, NotPlaced, Unacknowledged
from walras_client.nats.connection import Link, answer_of
from walras_schemas import BATCH_MAX, PAYLOAD_MAX_BYTES, CommandBase

MSG_ID: Final = "Nats-Msg-Id"
STREAM_IS_FULL: Final = 10077


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where a message lies in the log: outcomes name the same sequence."""

    stream: str
    seq: int


async def put(
    link: Link, subject: str, commands: Sequence[CommandBase], *, patience_s: float
) -> Receipt:
    """Put commands into the log as one message, and return when it is there."""
    payload, headers = payload_of(commands), {MSG_ID: message_id(commands)}
    patience = Patience(patience_s)
    in_doubt = False
    try:
        while True:
            try:
                ack = answer_of(await link.request(subject, payload, headers=headers))
                return Receipt(stream=ack["stream"], seq=ack["seq"])
            except TROUBLE as trouble:
                # An answer settles what silence left open: the stream knows what it has.
                answered = isinstance(trouble, APIError)
                in_doubt = not answered and (in_doubt or is_passing(trouble))
                await patience.bear(trouble)
    except TROUBLE as trouble:
        raise _not_placed(subject, commands, trouble, in_doubt=in_doubt) from trouble


def payload_of(commands: Sequence[CommandBase]) -> bytes:
    """One command as an object, several as an array; `ValueError` for what no log would read."""
    if not 1 <= len(commands) <= BATCH_MAX:
        raise ValueError(f"a message holds 1 to {BATCH_MAX} commands, not {len(commands)}")
    objects = [command.model_dump_json() for command in commands]
    payload = (objects[0] if len(objects) == 1 else f"[{','.join(objects)}]").encode()
    if len(payload) > PAYLOAD_MAX_BYTES:
        raise ValueError(f"a message has at most {PAYLOAD_MAX_BYTES} bytes, not {len(payload)}")
    return payload


def message_id(commands: Sequence[CommandBase]) -> str:
    """The same commands have the same id, and no others do.

    A batch must not go by the id of its first command: if that was sent alone before, the stream
    would take the whole batch for a repetition of it.
    """
    ids = [command.event_id for command in commands]
    return ids[0] if len(ids) == 1 else sha256(",".join(ids).encode()).hexdigest()


def _not_placed(
    subject: str, commands: Sequence[CommandBase], trouble: Exception, *, in_doubt: bool
) -> NotPlaced:
    detail = f"{subject}: {told(trouble)}"
    if isinstance(trouble, APIError) and trouble.err_code == STREAM_IS_FULL:
        return LogFull(
            "the log is full",
            detail=detail,
            hint="Nothing of this was taken: its operator has to raise `max_bytes` of the stream",
            commands=commands,
        )
    if in_doubt or is_passing(trouble):
        return Unacknowledged(
            "the commands may not be in the log",
            detail=detail,
            hint="Place `commands` of this error again within a minute: they count once",
            commands=commands,
        )
    return NotPlaced(
        "the commands are not in the log",
        detail=detail,
        hint="The same will be refused again",
        commands=commands,
    )
