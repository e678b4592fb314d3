"""Commands on their way into the log of a market, each message sent until it is acknowledged.

Promise: what `publish` returned for is in the log, once: a message is sent again with the same
event ids and the same `Nats-Msg-Id`, and the stream drops what it has already. That id is made of
market, sender and all event ids (SEMANTICS §10), so a `duplicate` is this very message sent before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nats.aio.msg import Msg
from nats.js.api import Header
from nats.js.errors import APIError

from walras_client.errors import LogFull, SubmitError, Unacknowledged
from walras_client.nats.connection import Connection
from walras_client.nats.errors import (
    RETRYABLE,
    describe,
    is_transient,
    retries,
    wait_before_retry,
)
from walras_client.nats.jetstream import answer_of
from walras_client.tracing import sending
from walras_schemas import BATCH_MAX, PAYLOAD_MAX_BYTES, CommandBase

MSG_ID: Final = Header.MSG_ID.value
ATTEMPT_S: Final = 2.0
STREAM_IS_FULL: Final = 10077


@dataclass(frozen=True, slots=True)
class PubAck:
    """Where a message lies: its stream and its sequence there; outcomes name the same sequence."""

    stream: str
    seq: int
    duplicate: bool = False
    """True when an earlier message with the same id is the one that lies there."""


def read_ack(reply: Msg) -> PubAck:
    """The acknowledgement of a stream; a refusal is raised."""
    ack = answer_of(reply)
    return PubAck(stream=ack["stream"], seq=ack["seq"], duplicate=ack.get("duplicate", False))


async def publish(
    nc: Connection,
    subject: str,
    commands: Sequence[CommandBase],
    *,
    msg_id: str,
    retry_timeout_s: float,
) -> PubAck:
    """Put commands into the log as one message, and return when it is there."""
    payload, headers = payload_of(commands), {MSG_ID: msg_id}
    with sending(subject, len(commands), headers):
        return await _publish(nc, subject, commands, (payload, headers), retry_timeout_s)


async def _publish(
    nc: Connection,
    subject: str,
    commands: Sequence[CommandBase],
    message: tuple[bytes, dict[str, str]],
    retry_timeout_s: float,
) -> PubAck:
    payload, headers = message
    backoff = retries(retry_timeout_s)
    in_doubt = False
    try:
        while True:
            try:
                return read_ack(
                    await nc.request_reply(subject, payload, headers=headers, timeout_s=ATTEMPT_S)
                )
            except RETRYABLE as error:
                # An answer settles what silence left open: the stream knows what it has.
                answered = isinstance(error, APIError)
                in_doubt = not answered and (in_doubt or is_transient(error))
                await wait_before_retry(backoff, error)
    except RETRYABLE as error:
        raise _submit_error(subject, commands, error, in_doubt=in_doubt) from error


def payload_of(commands: Sequence[CommandBase]) -> bytes:
    """One command as an object, several as an array; `ValueError` for what no log would read."""
    if not 1 <= len(commands) <= BATCH_MAX:
        raise ValueError(f"a message holds 1 to {BATCH_MAX} commands, not {len(commands)}")
    objects = [command.model_dump_json() for command in commands]
    payload = (objects[0] if len(objects) == 1 else f"[{','.join(objects)}]").encode()
    if len(payload) > PAYLOAD_MAX_BYTES:
        raise ValueError(f"a message has at most {PAYLOAD_MAX_BYTES} bytes, not {len(payload)}")
    return payload


def _submit_error(
    subject: str, commands: Sequence[CommandBase], error: Exception, *, in_doubt: bool
) -> SubmitError:
    detail = f"{subject}: {describe(error)}"
    if isinstance(error, APIError) and error.err_code == STREAM_IS_FULL:
        return LogFull(
            "the log is full",
            detail=detail,
            hint="Nothing of this was taken: its operator has to raise `max_bytes` of the stream",
            commands=commands,
        )
    if in_doubt or is_transient(error):
        return Unacknowledged(
            "the commands may not be in the log",
            detail=detail,
            hint="Submit `commands` of this error again within a minute: they count once",
            commands=commands,
        )
    return SubmitError(
        "the commands are not in the log",
        detail=detail,
        hint="The same will be refused again",
        commands=commands,
    )
