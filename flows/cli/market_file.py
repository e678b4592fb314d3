"""A market as its operator writes it down: a TOML file with the keys of `market_opened`.

Beside them it may choose how each resource is priced, which is not part of the command. Promise:
what is accepted here is accepted by the log, as the registry's own model decides; anything else is
refused with the key that is wrong, before anything is sent.
"""

import tomllib
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from flows.runtime.pricing_plan import Choices, parse_choices
from state.errors import SettingsError
from walras_schemas import MarketOpened

NOT_IN_A_FILE: Final = frozenset({"type", "version", "event_id", "timestamp", "scenario_id"})


def read_market_file(path: Path, *, event_id: str) -> MarketOpened:
    """The command that opens the market of this file."""
    keys, _choices = parse_choices(_read(path))
    unknown = sorted(keys.keys() & NOT_IN_A_FILE)
    if unknown:
        raise _wrong(path, f"{', '.join(unknown)}: not a key of a market file")
    try:
        return MarketOpened(event_id=event_id, **keys)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise _wrong(path, "\n".join(map(_describe, details))) from error


def read_pricing(path: Path) -> Choices:
    """The controllers that the file chooses, by resource."""
    _keys, choices = parse_choices(_read(path))
    return choices


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingsError(
            "the market file cannot be read", detail=f"{path}: {reason}", hint="Check its name"
        ) from error
    except ValueError as error:
        raise _wrong(path, f"invalid TOML: {error}") from error


def _describe(detail: ErrorDetails) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    return f"{key}: {detail['msg']}"


def _wrong(path: Path, detail: str) -> SettingsError:
    hint = "Compare it with what `walras market example` prints"
    return SettingsError(f"the market file {path} is wrong", detail=detail, hint=hint)
