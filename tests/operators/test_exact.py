"""No number of a ledger is a float: what `tests/test_house.py` reads in the code, seen at work.

5.0 equals 5, so a comparison with the twin would not notice.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass

from tests.operators.steps import Shard
from tests.twin.random_logs import random_log


def types_in(value: object) -> Iterator[type]:
    """The types of all values in a value, to its leaves."""
    if is_dataclass(value):
        inner: Iterable[object] = [getattr(value, each.name) for each in fields(value)]
    elif isinstance(value, Mapping):
        inner = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set):
        inner = value
    else:
        yield type(value)
        return
    for part in inner:
        yield from types_in(part)


def test_a_float_is_found_wherever_it_is() -> None:
    """A search that misses a corner would call a ledger exact that is not."""
    assert {int, str, float} == set(types_in([1, {"price": (2, {0.5})}]))


def test_no_float_is_in_what_is_settled_or_remembered() -> None:
    """One float, and two machines may come to two ledgers."""
    for seed in range(4):
        shard = Shard(1000)
        shard.read(random_log(seed, commands=400))
        kept = [shard.closed, shard.allocate, shard.join]
        assert {int, str} <= set(types_in(kept))
        assert float not in set(types_in(kept))
