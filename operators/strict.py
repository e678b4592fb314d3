"""Read one message as the registry says, and say what is wrong with what it refuses.

Promise: the registry (`walras_schemas`) decides what is valid; each element of a batch stands or
falls alone; nothing a sender writes can stop the flow.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, Final, NoReturn

from pydantic import TypeAdapter, ValidationError

import walras_schemas as registry
from state.log import Malformed
from walras_schemas import BATCH_MAX, PAYLOAD_MAX_BYTES, subjects
from walras_schemas.subjects import Subject

NESTING_MAX: Final = 100
LETTER_MAX_BYTES: Final = 1024
_DIGITS_MAX: Final = 30
_SHOWN: Final = 256
# Possessive, and a text may end with the payload: no text, however ill, is read twice.
_TEXT: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")

_any_event: TypeAdapter[registry.LogEvent] = TypeAdapter(registry.LogEvent)


def malformed(subject: str, error: str, whole: bytes) -> Malformed:
    """Why a message or an element was not decoded, with the beginning of it."""
    return Malformed(subject, error, whole[:LETTER_MAX_BYTES], len(whole))


def read_message(
    subject: Subject, text: str, payload: bytes
) -> Iterator[registry.LogEvent | Malformed]:
    """The commands of a payload as the registry reads them, or what is wrong with each."""
    if len(payload) > PAYLOAD_MAX_BYTES:
        yield malformed(text, f"payload of {len(payload)} bytes is above the limit", payload)
        return
    if _is_too_deep(payload):
        yield malformed(text, f"nested more than {NESTING_MAX} deep", payload)
        return
    try:
        document = json.loads(payload.decode(), **_STRICT_JSON)
    except ValueError as refused:
        yield malformed(text, f"not JSON: {refused}", payload)
        return
    elements = document if isinstance(document, list) else [document]
    if not 0 < len(elements) <= BATCH_MAX:
        yield malformed(text, f"a batch of {len(elements)} events", payload)
        return
    raws: list[bytes] | None = None
    for ord_, element in enumerate(elements):
        command = _command(subject, element)
        if isinstance(command, str):
            if raws is None:
                raws = _element_texts(payload) if isinstance(document, list) else [payload]
            yield malformed(text, command, raws[ord_])
        else:
            yield command


def _command(subject: Subject, element: object) -> registry.LogEvent | str:
    """One command, or the reason why the registry refuses it."""
    if isinstance(element, _RepeatedKey):
        return f"key {_shown(element.key)} is repeated"
    try:
        command = _any_event.validate_python(element)
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{_path(first['loc'])}: {_shown(first['msg'])}"
    if command.type not in subjects.TYPES_ON[subject.kind]:
        return f"{command.type} does not belong on a {subject.kind} subject"
    return command


def _path(loc: tuple[int | str, ...]) -> str:
    """Where in the event the error is."""
    return ".".join(_shown(str(part)) for part in loc) or "event"


def _shown(text: str) -> str:
    """Text that may be a sender's own, escaped and cut short: a ledger cannot hold every text."""
    return ascii(text)[1:-1][:_SHOWN]


def _is_too_deep(payload: bytes) -> bool:
    """Whether arrays and objects lie in each other more than `NESTING_MAX` deep.

    A JSON reader's own limit depends on how deep its stack already is, and so on the machine.
    """
    if payload.count(b"[") + payload.count(b"{") <= NESTING_MAX:
        return False
    marks = _BRACKET.finditer(_TEXT.sub(b"", payload))
    depths = accumulate(1 if mark[0] in b"[{" else -1 for mark in marks)
    return any(depth > NESTING_MAX for depth in depths)


class _RepeatedKey:
    """Stands for an object whose keys are not distinct: no model accepts it."""

    def __init__(self, key: str) -> None:
        self.key = key


def _distinct(pairs: list[tuple[str, object]]) -> Mapping[str, object] | _RepeatedKey:
    mapping = dict(pairs)
    if len(mapping) == len(pairs):
        return mapping
    times = Counter(key for key, _ in pairs)
    return _RepeatedKey(next(key for key, count in times.items() if count > 1))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


def _bounded_int(digits: str) -> int:
    """Every number of the registry has at most 16 digits; a longer one is only known as too large.

    (Python refuses to convert more than 4 300 digits, which would condemn the whole batch.)
    """
    return int(digits) if len(digits) <= _DIGITS_MAX else 10**_DIGITS_MAX


_STRICT_JSON: Final[Mapping[str, Any]] = {
    "object_pairs_hook": _distinct,
    "parse_constant": _no_constant,
    "parse_int": _bounded_int,
}


def _element_texts(payload: bytes) -> list[bytes]:
    """The text of each element of a JSON array that is known to be well formed."""
    text = payload.decode()
    scanner = json.JSONDecoder(**_STRICT_JSON)
    texts, at = [], text.index("[") + 1
    while (at := _skip(text, at)) < len(text) and text[at] != "]":
        _, end = scanner.raw_decode(text, at)
        texts.append(text[at:end].encode())
        at = end
    return texts


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at
