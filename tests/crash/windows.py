"""The stream of windows, read past the product, and what must hold of it."""

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Sequence
from typing import Final

from connectors.nats.background_loop import run_sync
from connectors.nats.reader import read_log
from connectors.nats.subjects import WINDOWS
from connectors.nats.topology import windows_config
from state.shard import StreamIdentity
from tests.crash.due import Content
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import NS_PER_S, ask, nanos
from walras_client.nats.reader import Deliveries
from walras_schemas import subjects

PULL_BYTES: Final = 1 << 24

Window = tuple[str, Content]
"""Message id and content."""


def published_windows(nc: Connection) -> list[Window]:
    """Every message of the stream, in its order."""
    return run_sync(_published_windows(nc))


async def _published_windows(nc: Connection) -> list[Window]:
    info = await ask(nc, f"STREAM.INFO.{WINDOWS}")
    windows: list[Window] = []

    def take(messages: Deliveries) -> None:
        for msg in messages:
            content = json.loads(msg.payload)
            assert subjects.window(content["market"]).encode() == msg.subject
            windows.append((msg.headers["Nats-Msg-Id"], content))

    stream = StreamIdentity(WINDOWS, nanos(info["created"]))
    async with read_log(nc, stream, next_seq=1, on_messages=take) as reader:
        while left := info["state"]["last_seq"] + 1 - reader.next_seq:
            await reader.pull(messages=left, max_bytes=PULL_BYTES)
    return windows


def last_published(nc: Connection) -> int:
    """The window of the last message; -1 before the first."""
    return run_sync(_last_published(nc))


async def _last_published(nc: Connection) -> int:
    state = (await ask(nc, f"STREAM.INFO.{WINDOWS}"))["state"]
    if not state["messages"]:
        return -1
    found = await ask(nc, f"STREAM.MSG.GET.{WINDOWS}", {"seq": state["last_seq"]})
    return int(json.loads(b64decode(found["message"]["data"]))["window_id"])


def empty_windows(nc: Connection, *, ids_kept_s: int | None = None) -> None:
    """Begin the stream anew, with the ids that it remembers, and for how long it does."""
    config = windows_config()
    if ids_kept_s is not None:
        config |= {"duplicate_window": ids_kept_s * NS_PER_S}
    run_sync(ask(nc, f"STREAM.DELETE.{WINDOWS}"))
    run_sync(ask(nc, f"STREAM.CREATE.{WINDOWS}", config))


def wrong_windows(published: Sequence[Window], due: Sequence[Window]) -> list[str]:
    """Where the stream is not what is due: each message once, window after window, as due."""
    times, expected = Counter(msg_id for msg_id, _ in published), dict(due)
    wrong = [f"window {each} is there {n} times" for each, n in times.items() if n > 1]
    wrong += [f"window {each} is not there" for each in expected if each not in times]
    wrong += [f"window {each} is not in the ledger" for each in times if each not in expected]
    wrong += [
        f"window {each} differs from the ledger"
        for each, content in published
        if expected.get(each, content) != content
    ]
    found = [content["window_id"] for _, content in published]
    if found != sorted(found):
        wrong.append("the windows are not in their order")
    return wrong
