"""Pages as an ASGI app, such as the ones that supervisors ask for health; JSON, or text.

Promise: a page is made when it is requested, from what its function knows at once; a path without a
page is answered with the list of those that exist.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: its status and its content, which is sent as JSON."""

    status: HTTPStatus
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is text as it is."""

    content: str
    media_type: str


Pages = Mapping[str, Callable[[], Page | Text]]
"""Path to the function that makes its page."""

Endpoint = Callable[[Request], Awaitable[Response]]


def pages_app(pages: Pages) -> Starlette:
    """An app with these pages and no others."""
    missing = Page(HTTPStatus.NOT_FOUND, {"pages": sorted(pages)})
    routes = [Route(path, _endpoint(make)) for path, make in pages.items()]
    return Starlette(routes=[*routes, Route("/{path:path}", _endpoint(lambda: missing))])


def _endpoint(make: Callable[[], Page | Text]) -> Endpoint:
    async def endpoint(_request: Request) -> Response:
        page = make()
        if isinstance(page, Text):
            return Response(page.content, media_type=page.media_type)
        content = json.dumps(page.content) + "\n"
        return Response(content, status_code=page.status, media_type="application/json")

    return endpoint
