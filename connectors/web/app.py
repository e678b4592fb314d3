"""Small JSON pages on a port of the loopback, such as the ones that supervisors ask for health.

Promise: serving never stops what it stands beside. A port that is taken, as by the deployment that
this one replaces, is told once and tried again; who asks slowly waits alone.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from typing_extensions import override

HOST: Final = "127.0.0.1"
LOOK_AGAIN_S: Final = 0.2
PORT_AGAIN_S: Final = 1.0
SLOWEST_S: Final = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: its status, and what is told as JSON."""

    status: HTTPStatus
    content: Mapping[str, Any]


Pages = Mapping[str, Callable[[], Page]]
"""Path to what makes the page when somebody asks for it."""


@contextmanager
def serving(pages: Pages, *, port: int) -> Iterator[None]:
    """Serve for as long as the block runs."""
    over = threading.Event()
    thread = threading.Thread(target=_serve, args=(pages, port, over), name="pages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _serve(pages: Pages, port: int, over: threading.Event) -> None:
    server = _bound(pages, port, over)
    if server is None:
        return
    with server:
        while not over.is_set():
            server.handle_request()


def _bound(pages: Pages, port: int, over: threading.Event) -> ThreadingHTTPServer | None:
    """A server as soon as the port is free; none when it was not before the end."""
    told = False
    while not over.is_set():
        try:
            return _Server((HOST, port), partial(_Asked, pages))
        except OSError as taken:
            if not told:
                log.warning("no page is served on port %d yet: %s", port, taken.strerror)
                told = True
            over.wait(PORT_AGAIN_S)
    return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    timeout = LOOK_AGAIN_S


class _Asked(BaseHTTPRequestHandler):
    """One question."""

    timeout = SLOWEST_S

    def __init__(self, pages: Pages, *of_server: Any) -> None:
        self._pages = pages
        super().__init__(*of_server)

    def do_GET(self) -> None:
        page = self._page()
        content = json.dumps(page.content).encode() + b"\n"
        self.send_response(page.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _page(self) -> Page:
        make = self._pages.get(self.path)
        if make is None:
            return Page(HTTPStatus.NOT_FOUND, {"pages": sorted(self._pages)})
        return make()

    @override
    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)
