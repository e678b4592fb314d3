"""What a process logs: one event per line on stderr, for a person or for a log collector.

Promise: a terminal gets text, anything else one JSON object per line, with the shard and the window
where they are known. Nothing in a message can act on a terminal or begin a line of its own. The
level is that of Walras; libraries log from WARNING up.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

if TYPE_CHECKING:
    from flows.runtime.settings import Settings

PACKAGES: Final = ("connectors", "flows", "operators", "otel", "state", "walras_client")
FIELDS: Final = ("shard", "window", "trace_id", "span_id")
"""What a call may pass as `extra`, beside its message."""


def configure_logging(settings: "Settings") -> None:
    """Set this process up once; a program with handlers of its own, such as pytest, keeps them."""
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if sys.stderr.isatty() else JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    for package in PACKAGES:
        logging.getLogger(package).setLevel(settings.log_level)


class JsonFormatter(logging.Formatter):
    """An event as a JSON object on one line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """An event as a line for a person."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        lines = record.getMessage().splitlines()
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        message = " | ".join(map(printable, lines))
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        return f"{_time(record)} {record.levelname} {record.name}: {message}{fields}"


def printable(text: str) -> str:
    """The text with everything that would act on a terminal written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: vars(record)[name] for name in FIELDS if name in vars(record)}


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
