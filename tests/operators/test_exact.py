"""No number of a ledger is a float: what `tests/test_house.py` reads in the code, seen at work.

5.0 equals 5, so a comparison with the twin would not notice.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass

import msgspec
import numpy as np

from tests.operators.steps import Shard
from tests.twin.random_logs import random_log


def types_in(value: object) -> Iterator[type]:
    """The types of all values in a value, to its leaves."""
    if is_dataclass(value):
        inner: Iterable[object] = [getattr(value, each.name) for each in fields(value)]
    elif isinstance(value, msgspec.Struct):
        inner = [getattr(value, name) for name in value.__struct_fields__]
    elif isinstance(value, Mapping):
        inner = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set):
        inner = value
    else:
        yield value.dtype.type if isinstance(value, np.ndarray) else type(value)
        return
    for part in inner:
        yield from types_in(part)


def test_a_float_is_found_wherever_it_is() -> None:
    """A search that misses a corner would call a ledger exact that is not."""
    assert {int, str, float} == set(types_in([1, {"price": (2, {0.5})}]))
    columns = [np.zeros(2), (np.zeros(2, np.int64), [np.zeros(1, np.bool_)])]
    assert {np.float64, np.int64, np.bool_} == set(types_in(columns))


def test_no_float_is_in_what_is_settled_or_remembered() -> None:
    """One float, and two machines may come to two ledgers."""
    for seed in range(4):
        shard = Shard(1000)
        shard.read(random_log(seed, commands=400))
        found = set(types_in([shard.closed, shard.allocate, shard.join]))
        assert {int, str, np.int64, np.int32, np.uint8, np.bool_} <= found
        assert not {kind for kind in found if issubclass(kind, float | np.inexact)}
