"""Texts that are bids, nearly bids, or were bids before something happened to them.

**Promise:** what is drawn here is meant to divide two decoders: repeated, missing and foreign
fields, numbers that are no integers, other spellings of the same, and cuts in the middle.
"""

import json
from typing import Any, Final

from hypothesis import strategies as st

import walras_schemas as registry
from flows.testing import LogWriter

IDS: Final = LogWriter()
ID: Final = IDS.fresh_id()
OTHER_ID: Final = IDS.fresh_id()
UNIT: Final = (
    '{"type": "bid_placed", "event_id": "' + ID + '", '
    '"resource": "gpu", "quantity": 3, "unit_price_micros": 7}'
)
BUNDLE: Final = (
    '{"type": "bid_placed", "event_id": "' + ID + '", '
    '"bundle": {"gpu": 3, "cpu": 1}, "limit_micros": 70}'
)
WITHDRAWAL: Final = (
    '{"type": "bid_withdrawn", "event_id": "' + ID + '", "bid_event_id": "' + OTHER_ID + '"}'
)

FRAGMENTS: Final = [
    '"type": "bid_placed"',
    '"type": "bid_placed", ',
    f'"event_id": "{ID}"',
    f'"event_id": "{OTHER_ID}", ',
    '"resource": "gpu"',
    '"resource": "type", ',
    '"resource": "bid_placed", ',
    '"quantity": 3, ',
    '"unit_price_micros": 7',
    '"min_quantity": 2, ',
    '"bundle": {"gpu": 3}, ',
    '"bundle": null, ',
    '"limit_micros": null, ',
    '"limit_micros": 70',
    '"version": 1, ',
    '"version": 1.0, ',
    '"surprise": 1, ',
    '"gpu": 3, ',
    "1.0",
    "1e3",
    "3E0",
    "-0",
    "-1",
    "0",
    "00",
    "03",
    "+3",
    "0x3",
    "1000000000000",
    "1000000000001",
    "1000000000000001",
    "9223372036854775808",
    "18446744073709551619",
    "1" + "0" * 5000,
    "null",
    "true",
    '"3"',
    "NaN",
    "Infinity",
    "-Infinity",
    "nan",
    '"\\u0067pu"',
    '"gp\\u0000"',
    '"\\ud800"',
    '"g\u00fc"',
    '"GPU"',
    '""',
    "\\",
    "\\u0022",
    '"',
    "'",
    "{",
    "}",
    "[",
    "]",
    ", ",
    ",",
    ":",
    " ",
    "\n",
    "\t",
    "\x0b",
    "\x00",
    "\ufeff",
    "\u2028",
    "/* */",
    "{}",
    "[]",
    UNIT,
    BUNDLE,
    WITHDRAWAL,
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Valid commands, alone or in an array, with a few places cut out or written over."""
    parts = draw(st.lists(st.sampled_from([UNIT, UNIT, BUNDLE, WITHDRAWAL]), min_size=1))
    text = parts[0] if len(parts) == 1 and draw(st.booleans()) else f"[{', '.join(parts[:4])}]"
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        cut = draw(st.sampled_from([0, 0, 1, 2, 3, 8, 22, 60]))
        text = text[:start] + draw(st.sampled_from(FRAGMENTS)) + text[start + cut :]
    return text.encode("utf-8", "surrogatepass")


NUMBERS: Final = (
    3,
    7,
    1,
    0,
    -1,
    10**12,
    10**12 + 1,
    10**15,
    10**15 + 1,
    2**63,
    2**64 + 3,
    1.0,
    1e3,
)
TEXTS: Final = (
    "3",
    "gpu",
    "g\u00fc",
    "GPU",
    "",
    "a.b",
    "gpu\n",
    "type",
    "bid_placed",
    "bid_withdrawn",
)
MAPPINGS: Final[tuple[Any, ...]] = ({"gpu": 3}, {"gpu": 0}, {}, {"GPU": 1}, {"gpu": {"gpu": 1}})
CROWDS: Final = tuple({f"r{n}": 1 for n in range(count)} for count in (16, 17))
VALUES: Final = st.sampled_from(
    [
        *NUMBERS,
        *TEXTS,
        *MAPPINGS,
        *CROWDS,
        ID,
        ID.upper(),
        [3],
        True,
        None,
    ]
)
NAMES: Final = [*registry.BidPlaced.model_fields, "bid_event_id", "surprise"]


@st.composite
def rewritten(draw: st.DrawFn) -> bytes:
    """Objects near a bid: fields put in, left out, given twice, in any order."""
    pairs = list(json.loads(draw(st.sampled_from([UNIT, BUNDLE]))).items())
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(pairs) - 1, 0)))
        match draw(st.integers(0, 3)):
            case 0 if pairs:
                del pairs[at]
            case 1 if pairs:
                pairs.append(pairs[at])
            case 2 if pairs:
                pairs[at] = (pairs[at][0], draw(VALUES))
            case _:
                pairs.insert(at, (draw(st.sampled_from(NAMES)), draw(VALUES)))
    ordered = draw(st.permutations(pairs))
    fields = [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in ordered]
    return ("{" + ",".join(fields) + "}").encode()
