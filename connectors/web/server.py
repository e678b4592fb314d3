"""An ASGI app served from a thread, beside whatever its process does.

Promise: serving never stops what runs beside it. A port in use, as by the deployment that this one
replaces, is reported once and retried until it is free; a shutdown takes a second at most, however
slow a client is.
"""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

HOST: Final = "127.0.0.1"
BACKLOG: Final = 128
RETRY_INTERVAL_S: Final = 1.0
SHUTDOWN_GRACE_S: Final = 1

log = logging.getLogger(__name__)


@contextmanager
def serving(app: ASGIApp, *, name: str, port: int) -> Iterator[None]:
    """Serve `app` for as long as the block runs; `name` says in the log what it is."""
    stop, server = threading.Event(), uvicorn.Server(_config(app))

    def serve() -> None:
        if listener := _listen(name, port, stop):
            server.run(sockets=[listener])

    thread = threading.Thread(target=serve, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        server.should_exit = True
        thread.join()


def _config(app: ASGIApp) -> uvicorn.Config:
    """No log set-up of its own: what uvicorn logs looks like every other line."""
    return uvicorn.Config(
        app,
        access_log=False,
        lifespan="off",
        log_config=None,
        log_level=logging.WARNING,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
        ws="none",
    )


def _listen(name: str, port: int, stop: threading.Event) -> socket.socket | None:
    """A socket that listens as soon as the port is free; none when the stop came before."""
    reported = False
    while not stop.is_set():
        try:
            return socket.create_server((HOST, port), backlog=BACKLOG)
        except OSError:
            if not reported:
                log.warning("%s: port %d in use, retrying", name, port)
                reported = True
            stop.wait(RETRY_INTERVAL_S)
    return None
