"""The words of a story's commands, read into the events they stand for.

**Promise:** a command is read from its words alone. All amounts are micro-credits. What the words
do not say stays out of the event, so that the defaults of the wire are tested too.

    market open uniform gpu=10@1      supply 10, initial price 1; several resources stand side by
                                      side; `reserve gpu=3`, `ratio gpu=900000` (ppm), `stale 2`
                                      and `quota 3` follow where needed, and where it is metered
                                      `allowance gpu=3`, `lag 10`, `meters 2`; without a rule none
                                      is sent
    market close
    grant a1 100
    transfer a1 a2 50
    supply gpu 5
    quote gpu 12
    bid a1 gpu 3 @ 10 min 2
    bid a2 gpu:1,cpu:2 for 30
    withdraw a1 x                     the bid that was placed `as x`; `?` is a bid that never was
    meter open 1                      the epoch that begins
    hold 1 a1 gpu 5                   n, agent, resource and quantity; it names the window that is
                                      open, or `window 2`, counted from the story's first
    settle 1 4 partial                n, used and outcome, which is `completed` where none is said

Events of meters are of meter 0 in epoch 1, or say `meter 2` or `epoch 2`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Event = dict[str, Any]
Command = tuple[str, Event]  # the channel below the market, and the event without its id
IdOf = Callable[[str], str]


def read_command(verb: str, words: list[str], id_of: IdOf) -> Command:
    """The channel and the event of a command; a ValueError says which words were expected."""
    match verb:
        case "bid":
            return _bid(words)
        case "withdraw":
            agent, name = words
            return f"bid.{agent}", {"type": "bid_withdrawn", "bid_event_id": id_of(name)}
        case "market" if words == ["close"]:
            return "market", {"type": "market_closed"}
        case "market":
            return _market(words[1:])
        case "meter" | "hold" | "settle":
            return _metering(verb, words)
    return _movement(verb, words)


def take(words: list[str], name: str) -> str | None:
    """The word after `name`, both taken out of the words; None where it is not there."""
    if name not in words:
        return None
    at = words.index(name)
    value = words[at + 1]
    del words[at : at + 2]
    return value


def _movement(verb: str, words: list[str]) -> Command:
    match verb, words:
        case "grant", [agent, amount]:
            event: Event = {"type": "credits_granted", "agent_id": agent}
            return "grant", event | {"amount_micros": int(amount)}
        case "transfer", [giver, taker, amount]:
            event = {"type": "credits_transferred", "to_agent_id": taker}
            return f"transfer.{giver}", event | {"amount_micros": int(amount)}
        case "supply", [resource, supply]:
            event = {"type": "supply_changed", "resource": resource}
            return "market", event | {"supply": int(supply)}
        case "quote", [resource, price]:
            return f"price.{resource}", {"type": "price_quoted", "price_micros": int(price)}
    raise ValueError(f"no command: {verb} {' '.join(words)}")


def _metering(verb: str, words: list[str]) -> Command:
    channel, epoch = f"meter.{take(words, 'meter') or 0}", int(take(words, "epoch") or 1)
    match verb, words:
        case "meter", ["open", epoch_begun]:
            return channel, {"type": "meter_opened", "epoch": int(epoch_begun)}
        case "hold", [n, agent, resource, quantity]:
            event: Event = {"type": "units_held", "epoch": epoch, "n": int(n), "agent_id": agent}
            return channel, event | {"resource": resource, "quantity": int(quantity)}
        case "settle", [n, used, *outcome]:
            event = {"type": "units_settled", "epoch": epoch, "n": int(n), "used": int(used)}
            return channel, event | {"outcome": outcome[0] if outcome else "completed"}
    raise ValueError(f"no event of a meter: {verb} {' '.join(words)}")


def _bid(words: list[str]) -> Command:
    least = take(words, "min")
    event: Event = {"type": "bid_placed"} | ({"min_quantity": int(least)} if least else {})
    match words:
        case [agent, resource, quantity, "@", price]:
            event |= {"resource": resource, "quantity": int(quantity)}
            return f"bid.{agent}", event | {"unit_price_micros": int(price)}
        case [agent, bundle, "for", limit]:
            event["bundle"] = _numbers(bundle, between=":")
            return f"bid.{agent}", event | {"limit_micros": int(limit)}
    raise ValueError("expected: AGENT RESOURCE QUANTITY @ PRICE, or AGENT R:Q,R:Q for LIMIT")


def _market(words: list[str]) -> Command:
    floors = {"reserve_micros": take(words, "reserve"), "reserve_ratio_ppm": take(words, "ratio")}
    floors |= {"allowance_windows": take(words, "allowance")}
    limits = {"stale_after_windows": take(words, "stale"), "max_commands": take(words, "quota")}
    limits |= {"lag_windows": take(words, "lag"), "meters": take(words, "meters")}
    event: Event = {"type": "market_opened", "resources": {}}
    for word in words:
        resource, named, terms = word.partition("=")
        if named:
            event["resources"][resource] = _listing(terms)
        else:
            event["rule"] = word
    for name, floor in floors.items():
        for resource, value in _numbers(floor or "", between="=").items():
            event["resources"][resource][name] = value
    stated = {name: int(limit) for name, limit in limits.items() if limit}
    return "market", event | stated


def _listing(terms: str) -> dict[str, int]:
    supply, _, price = terms.partition("@")
    return {"supply": int(supply), "initial_price_micros": int(price)}


def _numbers(text: str, *, between: str) -> dict[str, int]:
    pairs = [word.split(between) for word in text.split(",") if word]
    return {name: int(value) for name, value in pairs}
