"""Runs of bids that hypothesis draws to part the two ways: poor, repeated, tied, vast.

**Promise:** the same draws give the same log. Balances are what a ledger would have restored, so
that an account may begin beside or beyond what a column holds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

from hypothesis import strategies as st

from flows.testing import Event, LogRecord, LogWriter, fresh_shard, with_final_tick
from state.accounts import NARROW_MAX
from state.names import Owner
from state.window import ClosedWindow
from tests.operators.steps import Shard
from walras_schemas import TREASURY, Rule

WINDOW_MS: Final = 1000
MARKETS: Final = st.sampled_from(["m1", "m1", "m1", "m2"])
AGENTS: Final = ("a1", "a2", "a3", "a4")
BALANCES: Final = st.sampled_from(
    [None, 1, 6, 20, 20, 60, 60, 10**16, NARROW_MAX - 1, NARROW_MAX, NARROW_MAX + 9, 2**64 + 3]
)
RULES: Final[st.SearchStrategy[Rule]] = st.sampled_from(
    ["uniform", "uniform", "uniform_lab", "pay_as_bid", "vickrey"]
)
SMALL: Final = st.integers(1, 6)
VAST_QUANTITIES: Final = st.sampled_from([1, 2, 2**20, 4_611, 9_223, 2**31, 10**12])
VAST_PRICES: Final = st.sampled_from([1, 2, 10**3, 2**31, 2**42, 10**15 - 1, 10**15])
AGES_MS: Final = st.sampled_from([0] * 30 + [60_000, 60_001, -5_000, -5_001])
WAITS_MS: Final = st.sampled_from([0] * 16 + [1, 400, 1000, 61_000])


@dataclass(frozen=True, slots=True)
class Run:
    """A log, and what its agents own when it begins."""

    records: list[LogRecord]
    balances: Mapping[Owner, int]

    def settled(self, sizes: Iterable[int] = repeat(1000)) -> list[ClosedWindow]:
        """Every window of the run, read in batches of these sizes."""
        state = fresh_shard()
        numbers = {owner: state.accounts.names.account(*owner) for owner in sorted(self.balances)}
        state.accounts.make_room()
        for owner, micros in self.balances.items():
            state.accounts.set_balance(numbers[owner], micros)
        shard = Shard(WINDOW_MS, state)
        log = with_final_tick(self.records, window_ms=WINDOW_MS)
        start = 0
        for size in sizes:
            shard.read(log[start : start + size])
            start += size
            if start >= len(log):
                break
        return shard.closed


def _listings(draw: st.DrawFn) -> Event:
    small = {
        name: {
            "supply": draw(st.integers(0, 9)),
            "initial_price_micros": draw(SMALL),
            "reserve_micros": draw(st.sampled_from([0, 0, 0, 1, 3])),
        }
        for name in ("gpu", "cpu")
    }
    vast = {"supply": 10**12, "initial_price_micros": draw(VAST_PRICES)}
    return {**small, "vast": vast | {"reserve_micros": draw(st.sampled_from([0, 0, 1, 10**15]))}}


def _opening(draw: st.DrawFn, rule: Rule) -> Event:
    quota = draw(st.sampled_from([1000, 1000, 1000, 1, 3]))
    return {"rule": rule, "max_commands": quota, "resources": _listings(draw)}


def _bid(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(["unit"] * 6 + ["bundle"] * 3 + ["vast"] * 2 + ["none"]))
    if kind == "bundle":
        names = st.sampled_from(["gpu", "cpu", "vast"])
        units = st.dictionaries(names, st.integers(1, 4), min_size=1, max_size=3)
        return {"bundle": draw(units), "limit_micros": draw(st.integers(1, 40) | VAST_PRICES)}
    quantity = draw(VAST_QUANTITIES if kind == "vast" else SMALL)
    price = draw(VAST_PRICES if kind == "vast" else SMALL)
    name = {"vast": "vast", "none": "none"}.get(kind) or draw(st.sampled_from(["gpu", "cpu"]))
    least = draw(st.sampled_from([1, 1, 1, 2, quantity]))
    bid = {"resource": name, "quantity": quantity, "unit_price_micros": price}
    return bid | ({"min_quantity": min(least, quantity)} if least > 1 else {})


def _event_id(draw: st.DrawFn, log: LogWriter) -> str:
    if log.ids and draw(st.integers(0, 11)) == 0:
        again: str = draw(st.sampled_from(log.ids[-6:]))
        return again
    return log.fresh_id(age_ms=draw(AGES_MS))


def _other(draw: st.DrawFn, log: LogWriter, agent: str) -> tuple[str, Event]:
    """A command that stands between the bids."""
    kind = draw(st.sampled_from(["withdraw", "withdraw", "transfer", "grant", "close", "open"]))
    amount = draw(st.integers(1, 30))
    other = draw(st.sampled_from(AGENTS))
    named = draw(st.sampled_from(log.ids[-6:] or [log.fresh_id()]))
    commands: dict[str, tuple[str, Event]] = {
        "withdraw": (f"bid.{agent}", {"type": "bid_withdrawn", "bid_event_id": named}),
        "transfer": (
            f"transfer.{agent}",
            {"type": "credits_transferred", "to_agent_id": other, "amount_micros": amount},
        ),
        "grant": ("grant", {"type": "credits_granted", "agent_id": agent, "amount_micros": amount}),
        "close": ("market", {"type": "market_closed"}),
    }
    if kind == "open":
        return "market", {"type": "market_opened", **_opening(draw, draw(RULES))}
    return commands[kind]


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """A log of mostly bids; agents of one market meet again and again."""
    log = LogWriter()
    owners = [(market, agent) for market in ("m1", "m2") for agent in AGENTS]
    drawn = {owner: draw(BALANCES) for owner in owners}
    balances = {owner: micros for owner, micros in drawn.items() if micros}
    for market in ("m1", "m2"):
        balances[market, TREASURY] = -sum(
            micros for (of, _), micros in balances.items() if of == market
        )
        log.append(
            f"market.{market}.market", log.command("market_opened", **_opening(draw, draw(RULES)))
        )
    log.wait(draw(st.sampled_from([0, WINDOW_MS])))
    for _ in range(draw(st.integers(1, 40))):
        _write(draw, log)
    return Run(log.records, balances)


def _write(draw: st.DrawFn, log: LogWriter) -> None:
    log.wait(draw(WAITS_MS))
    market, agent = draw(MARKETS), draw(st.sampled_from(AGENTS))
    if draw(st.integers(0, 8)) == 0:
        channel, event = _other(draw, log, agent)
        log.append(f"market.{market}.{channel}", {**event, "event_id": _event_id(draw, log)})
        return
    bids: list[dict[str, Any]] = [
        {"type": "bid_placed", "event_id": _event_id(draw, log), **_bid(draw)}
        for _ in range(draw(st.sampled_from([1, 1, 1, 2, 4])))
    ]
    log.append(f"market.{market}.bid.{agent}", bids if len(bids) > 1 else bids[0])
