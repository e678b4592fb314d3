"""Whole numbers as a command line takes them: `1.5` is refused, where the library rounds it."""

import re
from collections.abc import Sequence
from typing import Final

from cyclopts import Parameter, Token

NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
SHOWN: Final = 40


def _whole_number(_: type, tokens: Sequence[Token]) -> int:
    (token,) = tokens
    if not NUMBER.fullmatch(token.value):
        raise ValueError(f"{token.value[:SHOWN]!r} is not a whole number in range")
    return int(token.value)


WHOLE: Final = Parameter(converter=_whole_number)
"""For every option that counts something."""
