"""JetStream's own questions and answers, as plain JSON.

nats-py's classes know some of the fields only; what a stream is here is written down whole.
"""

from datetime import datetime
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.js.errors import APIError

API_DEADLINE_S = 5.0
NS_PER_S = 1_000_000_000


async def ask(nc: Client, question: str, content: object | None = None) -> dict[str, Any]:
    """Ask `$JS.API.<question>`; a refusal is raised as nats-py's own `APIError`."""
    payload = b"" if content is None else msgspec.json.encode(content)
    answer = await nc.request(f"$JS.API.{question}", payload, timeout=API_DEADLINE_S)
    told: dict[str, Any] = msgspec.json.decode(answer.data)
    if "error" in told:
        raise APIError.from_error(told["error"])
    return told


def nanos(timestamp: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time in UTC, as the server writes it."""
    whole, _, fraction = timestamp.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * NS_PER_S + int(fraction.ljust(9, "0"))
