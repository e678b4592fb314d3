"""The function on the page of the ledger that computes a window's digest from its rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from psycopg import Connection

from tests.deploy.markdown import blocks

PAGE: Final = Path(__file__).parents[3] / "docs" / "ledger.md"


def _on_the_page() -> Callable[[Connection, int, int], str]:
    (code,) = blocks(PAGE.read_text(encoding="utf-8"), "python")
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  # the code on our own page
    function: Callable[[Connection, int, int], str] = names["window_digest"]
    return function


window_digest: Final = _on_the_page()
"""The digest of a window of a shard, in hex: what was written is read back, or it is another."""
