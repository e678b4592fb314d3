"""The one event loop of a process on which all its NATS traffic runs, in a thread of its own.

Promise: the flow's threads never run it; they submit and wait, or look whether something came.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from functools import cache
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

_starting = threading.Lock()


def submit(coro: Coroutine[Any, Any, T]) -> Future[T]:
    """Let it run beside the caller."""
    with _starting:
        loop = _background_loop()
    return asyncio.run_coroutine_threadsafe(coro, loop)


def run_sync(coro: Coroutine[Any, Any, T]) -> T:
    """Let it run and wait until it ends; it is cancelled when the waiting is."""
    running = submit(coro)
    try:
        return running.result()
    finally:
        running.cancel()


@contextmanager
def open_on_loop(resource: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Open for a block what lives on the loop, such as a connection."""
    stack = AsyncExitStack()
    value = run_sync(stack.enter_async_context(resource))
    try:
        yield value
    finally:
        run_sync(stack.aclose())


@cache
def _background_loop() -> asyncio.AbstractEventLoop:
    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, name="nats", daemon=True).start()
    return loop
