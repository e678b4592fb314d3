"""Questions to JetStream and its answers, as plain JSON.

nats-py's classes know some of the fields only; what a stream is here is written down whole.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from nats.aio.msg import Msg
from nats.js.errors import APIError

from walras_client.nats.connection import Connection

API_DEADLINE_S: Final = 5.0
NS_PER_S: Final = 1_000_000_000
NO_MESSAGE: Final = 10037


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a stream holds at a moment."""

    created: str
    """When the stream was made; one that was made again counts from 1 again."""
    first_seq: int
    last_seq: int

    @property
    def created_ns(self) -> int:
        """The same in nanoseconds since the epoch."""
        return nanos(self.created)


async def ask(nc: Connection, question: str, content: object | None = None) -> dict[str, Any]:
    """Ask `$JS.API.<question>` once; a refusal is raised as nats-py's own `APIError`."""
    payload = b"" if content is None else json.dumps(content).encode()
    subject = f"$JS.API.{question}"
    return answer_of(await nc.request_reply(subject, payload, timeout_s=API_DEADLINE_S))


def answer_of(reply: Msg) -> dict[str, Any]:
    """What JetStream answered; a refusal is raised."""
    answer: dict[str, Any] = json.loads(reply.data)
    if "error" in answer:
        raise APIError.from_error(answer["error"])
    return answer


async def stream_state(nc: Connection, stream: str) -> StreamState:
    """What the stream holds now."""
    info = await ask(nc, f"STREAM.INFO.{stream}")
    state = info["state"]
    return StreamState(info["created"], first_seq=state["first_seq"], last_seq=state["last_seq"])


def nanos(timestamp: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time in UTC, as the server writes it."""
    whole, _, fraction = timestamp.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * NS_PER_S + int(fraction.ljust(9, "0"))
