"""How the command line speaks: lines for people, JSON for programs, errors in three parts.

Promise: nothing that came from the log or the ledger can move a reader's cursor or colour a
terminal; in JSON, integers stay integers and what JSON cannot hold becomes text.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from flows.cli.installation import as_called
from flows.runtime.logging import configure_logging, printable
from state.errors import WalrasError

if TYPE_CHECKING:
    from flows.runtime.servers import Servers
    from flows.runtime.settings import Settings

SHOW_INTERVAL_S: Final = 0.2

AsJson = Annotated[
    bool,
    Parameter(
        name="--json",
        negative="",
        show_default=False,
        help="Print JSON, with amounts in micro-credits.",
    ),
]


def start(*, context: bool = True) -> "Settings":
    """What a command begins with: its settings, and logging as they say.

    Without `context` those of this machine alone, for what runs a deployment.
    """
    from flows.runtime.contexts import with_context
    from flows.runtime.settings import load_settings

    settings = load_settings()
    configure_logging(settings)
    return with_context(settings) if context else settings


def addresses(settings: "Settings", servers: "Servers") -> list[str]:
    """Where everything is; the address of a server that was named may hold a password."""
    from connectors.postgres.reader import reader_url

    nats = servers.plain_nats_url if settings.nats_url is None else "that of WALRAS_NATS_URL"
    lines = [f"NATS      {nats}", "Postgres  that of WALRAS_POSTGRES_DSN"]
    if settings.postgres_dsn is None:
        lines[1] = f"Postgres  psql '{reader_url(servers.postgres_dsn)}' (read only)"
    if settings.health_port:
        lines.append(f"health    http://127.0.0.1:{settings.health_port}/readyz")
    return lines


def is_terminal() -> bool:
    """Whether a person reads stderr as it comes."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def counting(doing: str) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how many messages there were so far; the function adds some."""
    total, shown_s = 0, 0.0

    def add(messages: int) -> None:
        nonlocal total, shown_s
        total += messages
        if is_terminal() and time.monotonic() - shown_s > SHOW_INTERVAL_S:
            shown_s = time.monotonic()
            sys.stderr.write(f"\r{doing}: {total:,} messages")
            sys.stderr.flush()

    try:
        yield add
    finally:
        if shown_s:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def print_data(line: str) -> None:
    """A line of data, on stdout at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def print_json(value: object) -> None:
    """A value as JSON on one line of stdout."""
    print_data(json.dumps(plain(value), ensure_ascii=False))


def print_status(line: str) -> None:
    """A line on stderr, for the person who runs the command; lost where stderr cannot take it."""
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        raise
    except OSError:
        return


def print_error(error: WalrasError) -> None:
    """What happened, the detail and the hint, one below the other."""
    lines = [f"error: {error.what}", *error.detail.splitlines()]
    lines += as_called(error.hint).splitlines()
    print_status("\n  ".join(map(printable, lines)))


def plain(value: Any) -> Any:
    """The value as JSON can hold it."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes():
            return value.hex()
        case Mapping():
            return {str(key): plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case _:
            return str(value)
