"""What is hurt when: a plan that the seed and the length alone decide, so that it can be repeated.

Promise: each storm is a list of faults in the order of their beginning. No two faults at a time
have the same target; different targets are also hurt at once. Between two storms it is quiet.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, Literal, NamedTuple

Target = Literal["worker", "broker", "database"]

STORM_S: Final = 30.0
QUIET_S: Final = 6.0
"""About how long it is quiet between two storms; the lag decides."""
IN_COMPANY: Final = 0.25
"""How often a fault does not wait for the end of the one before."""


class Kind(StrEnum):
    """Everything that can be done to a deployment here."""

    WORKER_KILL = "kill -9 of the worker"
    WORKER_KILL_TWICE = "kill -9 of the worker, and of the next as it starts"
    WORKER_SLEEP = "worker stands still"
    WORKER_REPLACED = "worker stands still, a successor takes over"
    WORKER_RESTART = "worker is asked to stop"
    BROKER_KILL = "kill -9 of nats-server"
    BROKER_SLEEP = "nats-server stands still"
    BROKER_RESET = "connections to NATS are reset"
    BROKER_STALL = "line to NATS holds all bytes"
    BROKER_HOLE = "line to NATS swallows all bytes"
    DATABASE_KILL = "kill -9 of Postgres"
    DATABASE_SLEEP = "Postgres stands still"
    DATABASE_RESET = "connections to Postgres are reset"
    DATABASE_STALL = "line to Postgres holds all bytes"
    DATABASE_HOLE = "line to Postgres swallows all bytes"


class Terms(NamedTuple):
    """How a kind of fault is planned."""

    target: Target
    cards: int
    """How many of a deck of faults are of this kind."""
    lasting_s: tuple[float, float]
    after_s: tuple[float, float]
    """How long the next fault waits after the end of this one, unless it comes in company."""


SHORT: Final = (0.5, 4.0)
AT_ONCE: Final = (0.0, 0.0)
SOON: Final = (0.5, 2.0)
HEALED: Final = (2.5, 4.0)

TERMS: Final = {
    Kind.WORKER_KILL: Terms("worker", 4, AT_ONCE, HEALED),
    Kind.WORKER_KILL_TWICE: Terms("worker", 1, (0.2, 2.5), HEALED),
    Kind.WORKER_SLEEP: Terms("worker", 1, SHORT, SOON),
    Kind.WORKER_REPLACED: Terms("worker", 2, (3.0, 6.0), SOON),
    Kind.WORKER_RESTART: Terms("worker", 1, AT_ONCE, HEALED),
    Kind.BROKER_KILL: Terms("broker", 4, AT_ONCE, HEALED),
    Kind.BROKER_SLEEP: Terms("broker", 1, SHORT, SOON),
    Kind.BROKER_RESET: Terms("broker", 1, AT_ONCE, SOON),
    Kind.BROKER_STALL: Terms("broker", 1, SHORT, SOON),
    Kind.BROKER_HOLE: Terms("broker", 1, SHORT, SOON),
    Kind.DATABASE_KILL: Terms("database", 4, AT_ONCE, HEALED),
    Kind.DATABASE_SLEEP: Terms("database", 1, SHORT, SOON),
    Kind.DATABASE_RESET: Terms("database", 1, AT_ONCE, SOON),
    Kind.DATABASE_STALL: Terms("database", 1, SHORT, SOON),
    Kind.DATABASE_HOLE: Terms("database", 1, SHORT, SOON),
}
KILLS: Final = {
    Kind.WORKER_KILL: 1,
    Kind.WORKER_KILL_TWICE: 2,
    Kind.BROKER_KILL: 1,
    Kind.DATABASE_KILL: 1,
}
"""How many processes or servers a fault kills; Postgres is one, however many processes it has."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One of them, and when, counted from the beginning of its storm."""

    at_s: float
    kind: Kind
    lasting_s: float

    @property
    def until_s(self) -> float:
        return self.at_s + self.lasting_s


Storm = tuple[Fault, ...]


def schedule(seed: int, length_s: float) -> tuple[Storm, ...]:
    """The storms of a run of about this length, the quiet between them counted in."""
    chance = Random(seed)
    deck = _deck(chance)
    number = max(1, round(length_s / (STORM_S + QUIET_S)))
    storm_s = length_s / number - QUIET_S
    return tuple(_storm(chance, deck, storm_s) for _ in range(number))


def _deck(chance: Random) -> Iterator[Kind]:
    """Kinds without end, each as often as its cards say: none is left out by bad luck."""
    while True:
        cards = [kind for kind, terms in TERMS.items() for _ in range(terms.cards)]
        chance.shuffle(cards)
        yield from cards


def _storm(chance: Random, deck: Iterator[Kind], length_s: float) -> Storm:
    faults: list[Fault] = []
    busy_until_s: dict[Target, float] = {}
    at_s = chance.uniform(0.5, 1.5)
    while (fault := _fault(chance, next(deck), at_s, busy_until_s)).until_s < length_s:
        faults.append(fault)
        terms = TERMS[fault.kind]
        if chance.random() < IN_COMPANY:
            at_s = fault.at_s + chance.uniform(0.1, 1.0)
        else:
            at_s = fault.until_s + chance.uniform(*terms.after_s)
    return tuple(faults)


def _fault(chance: Random, kind: Kind, at_s: float, busy_until_s: dict[Target, float]) -> Fault:
    """The fault at this time, or as soon as its target has come through the one before."""
    terms = TERMS[kind]
    at_s = max(at_s, busy_until_s.get(terms.target, 0.0))
    fault = Fault(round(at_s, 2), kind, round(chance.uniform(*terms.lasting_s), 2))
    busy_until_s[terms.target] = fault.until_s + SOON[1]
    return fault
