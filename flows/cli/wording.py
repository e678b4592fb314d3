"""What is wrong with an argument, in the words of the command line.

The registry refuses a command by its field names and in the terms of its models; who typed the
command knows its options.
"""

from collections.abc import Mapping
from typing import Final

from pydantic_core import ErrorDetails

from flows.cli.amounts import credits_text
from state.errors import SettingsError
from walras_schemas.names import RESERVED_ACCOUNTS, is_name

NAME_FORM: Final = (
    "a name has at most 64 small letters, digits, - and _, and begins with a letter or digit"
)
IN_MICROS: Final = "_micros"
BOUNDS: Final = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "too_long": ("at most", "max_length"),
    "too_short": ("at least", "min_length"),
}


def describe(detail: ErrorDetails, words: Mapping[str, str]) -> str:
    """One thing that is wrong; `words` has what the command line calls each field."""
    field, *inner = map(str, detail["loc"])
    named = " ".join([words.get(field, field), *(part for part in inner if part != "[key]")])
    return f"{named} {_sentence(detail, money=field.endswith(IN_MICROS))}"


def require_names(**names: str) -> None:
    """Refuse names that no subject can have; each is given under its role."""
    for role, name in names.items():
        if not is_name(name):
            raise SettingsError(
                f"{role.upper()} is not a valid name", detail=f"{name!r}: {NAME_FORM}", hint=_HINT
            )
        if role == "agent" and name in RESERVED_ACCOUNTS:
            raise SettingsError(
                "AGENT is not a valid name",
                detail=f"{name} is an account of the market itself, not an agent",
                hint=_HINT,
            )


_HINT: Final = "Choose another name"


def _sentence(detail: ErrorDetails, *, money: bool) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return f"is {detail['input']!r}: {NAME_FORM}"
    if kind in BOUNDS:
        words, key = BOUNDS[kind]
        limit = f"{credits_text(context[key])} credits" if money else f"{context[key]:,}"
        return f"must be {words} {limit}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"is not valid: {message[0].lower()}{message[1:]}"
