"""The strict JSON of SEMANTICS §1 and §9, and the elements of a batch as their own texts.

Promise: a ValueError is raised where the whole message is spoiled, and nowhere else. What spoils
only one element is read as `UNFIT`, which is neither a number nor an object, so that no field and
no event may hold it: a float, a number beyond any integer type, an object with one key twice.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

MAX_PAYLOAD_BYTES: Final = 2**20
MAX_BATCH_EVENTS: Final = 1_000
MAX_NESTING: Final = 100
UNFIT: Final = object()

_LONGEST_INT64: Final = 20  # digits and a sign
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SPACE: Final = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Element:
    """One value of a message, and its own bytes as they stand there."""

    value: Any
    text: bytes


def read_elements(payload: bytes) -> list[Element]:
    """The elements of a batch, or the one value that is the whole message."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError("payload too large")
    text = payload.decode("utf-8")
    if _is_too_deep(text):
        raise ValueError("nested too deep")
    content = _DECODER.decode(text)
    if not isinstance(content, list):
        return [Element(content, payload)]
    if not 1 <= len(content) <= MAX_BATCH_EVENTS:
        raise ValueError("a batch holds 1 to 1 000 events")
    return _split(text, count=len(content))


def _split(text: str, *, count: int) -> list[Element]:
    """Each element of an array that is known to be well formed, without the space around it."""
    elements = []
    at = text.index("[") + 1
    for _ in range(count):
        start = _after_space(text, at)
        value, end = _DECODER.raw_decode(text, start)
        elements.append(Element(value, text[start:end].encode()))
        at = _after_space(text, end) + len(",")
    return elements


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    assert space is not None, "no space at all is a match, too"
    return space.end()


def _is_too_deep(text: str) -> bool:
    depth = 0
    for mark in re.finditer(r"[\[\]{}]", _STRING.sub("", text)):
        depth += 1 if mark[0] in "[{" else -1
        if depth > MAX_NESTING:
            return True
    return False


def _read_object(pairs: list[tuple[str, Any]]) -> Any:
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else UNFIT


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_read_object,
    parse_int=lambda digits: int(digits) if len(digits) <= _LONGEST_INT64 else UNFIT,
    parse_float=lambda _: UNFIT,
    parse_constant=_refuse_constant,
)
