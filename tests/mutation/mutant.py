"""A mutant is one named mistake: a text of the core, and what a tired hand made of it."""

from dataclasses import dataclass

ADMIT, ALLOCATE, CLEAR = "operators/admit.py", "operators/allocate.py", "operators/clear.py"
ADMIT_COLUMNS, CLEAR_COLUMNS = "operators/admit_columns.py", "operators/clear_columns.py"
CUT, DECODE, JOIN = "operators/windows.py", "operators/decode.py", "operators/join_prices.py"
COLUMNS, STRICT = "operators/columns.py", "operators/strict.py"
SETTLE, ANNOUNCE, DIGEST = "operators/settle.py", "operators/results.py", "operators/digest.py"
BOOK, MARKET, SEEN = "state/accounts.py", "state/market.py", "state/dedupe.py"
NUMBERS = "state/names.py"
NAMES = "schemas/walras_schemas/names.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake."""

    name: str
    file: str
    before: str
    after: str
