"""The last message of each subject, as a stream has it now."""

import asyncio
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass

from nats.js.errors import APIError

from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import NO_MESSAGE, ask, nanos


@dataclass(frozen=True, slots=True)
class LastMessage:
    """What lies last on a subject; sequence 0 and no payload where nothing does."""

    seq: int = 0
    time_ns: int = 0
    payload: bytes = b""


async def last_messages(
    nc: Connection, stream: str, subjects: Sequence[str]
) -> dict[str, LastMessage]:
    """Subject, as the stream has it, to its last message."""
    found = await asyncio.gather(*(last_message(nc, stream, subject) for subject in subjects))
    return dict(zip(subjects, found, strict=True))


async def last_message(nc: Connection, stream: str, subject: str) -> LastMessage:
    """The last message on the subject, as the stream has it."""
    try:
        answer = await ask(nc, f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
    except APIError as refusal:
        if refusal.err_code == NO_MESSAGE:
            return LastMessage()
        raise
    found = answer["message"]
    return LastMessage(found["seq"], nanos(found["time"]), b64decode(found.get("data", "")))
