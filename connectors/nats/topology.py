"""The streams of a deployment: one log a shard, the ticks that close windows, the results.

Promise: making them twice changes nothing, and a stream that differs from what is asked for is
told and left alone: a log is never altered, let alone shortened, by a program that starts.
"""

from collections.abc import Mapping
from typing import Any

from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.js.errors import APIError, NotFoundError

from connectors.nats.connection import told
from connectors.nats.jetstream import NS_PER_S, ask, nanos
from connectors.nats.mapping import check_mapping
from connectors.nats.subjects import (
    RESULTS,
    TICKS,
    stored_clock,
    stored_subjects,
    stream_name,
    told_subject,
)
from state.errors import ServerUnreachable, SettingsError
from state.shard import StreamIdentity

FINEST_TICK_MS = 1000
COMMAND_DEDUPE_S = 120
# Results are kept apart by their fence. Each id that the server remembers besides costs it about
# 130 bytes of memory: a short while, or it would be gigabytes at a hundred thousand a second.
RESULT_DEDUPE_S = 10
RESULT_AGE_S = 7 * 24 * 3600
RESULT_BYTES = 1 << 30

Config = dict[str, Any]


async def ensure_streams(nc: Client, *, shards: int, max_bytes: int, tick_ms: int | None) -> None:
    """Make every stream or check it; `tick_ms` None means that someone else publishes the ticks.

    `max_bytes` bounds the log of each shard: a full log refuses new commands, it forgets nothing.
    """
    assert tick_ms is None or tick_ms % FINEST_TICK_MS == 0, "the server ticks in whole seconds"
    for config in [ticks_config(), *shard_configs(shards, max_bytes), results_config()]:
        await _ensure(nc, config)
    await check_mapping(nc, shards)
    await _schedule_ticks(nc, shards, tick_ms)


async def identity(nc: Client, shard: int) -> StreamIdentity:
    """Which stream holds the log of the shard now."""
    name = stream_name(shard)
    try:
        info = await ask(nc, f"STREAM.INFO.{name}")
    except NotFoundError as missing:
        raise SettingsError(
            f"shard {shard} has no log",
            detail=f"NATS has no stream {name}",
            hint="Start `walras up` once to make the streams, or ask for another shard",
        ) from missing
    return StreamIdentity(name=name, created_ns=nanos(info["created"]))


def shard_configs(shards: int, max_bytes: int) -> list[Config]:
    """The logs: written once, never changed, complete for ever."""
    return [shard_config(shard, shards=shards, max_bytes=max_bytes) for shard in range(shards)]


def shard_config(shard: int, *, shards: int, max_bytes: int) -> Config:
    """The log of one shard; its ticks come from the stream that the server schedules them in.

    A stream with schedules cannot refuse new messages when it is full, and a log must.
    """
    return {
        "name": stream_name(shard),
        "subjects": [stored_subjects(shard)],
        "sources": [_ticks_of(shard)],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_bytes": max_bytes,
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": True,
        "allow_atomic": True,
        "duplicate_window": COMMAND_DEDUPE_S * NS_PER_S,
        # With another number of shards a market would go on in another log than it began in.
        "metadata": {"walras_shards": str(shards)},
    }


def ticks_config() -> Config:
    """Where the server writes the ticks: one schedule a shard, and the last tick of each."""
    return {
        "name": TICKS,
        "subjects": ["schedule.*", "tick.*"],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_msgs_per_subject": 1,
        "allow_msg_schedules": True,
    }


def results_config() -> Config:
    """What the market told: kept for a while, made again from the ledger at any time."""
    return {
        "name": RESULTS,
        "subjects": ["result.>", "window.>", told_subject("*")],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_age": RESULT_AGE_S * NS_PER_S,
        "max_bytes": RESULT_BYTES,
        "allow_direct": True,
        "allow_atomic": True,
        "duplicate_window": RESULT_DEDUPE_S * NS_PER_S,
    }


def _ticks_of(shard: int) -> Config:
    transform = {"src": f"tick.{shard}", "dest": stored_clock(shard)}
    return {"name": TICKS, "subject_transforms": [transform]}


async def _ensure(nc: Client, wanted: Config) -> None:
    name = wanted["name"]
    try:
        info = await ask(nc, f"STREAM.INFO.{name}")
    except NotFoundError:
        await _create(nc, wanted)
    except (NoRespondersError, TimeoutError) as silent:
        raise ServerUnreachable(
            "NATS does not keep streams",
            detail=f"JetStream gave no answer: {told(silent)}",
            hint="Start nats-server with connectors/nats/nats.conf, which turns JetStream on",
        ) from silent
    else:
        _refuse_other(wanted, info["config"])


async def _create(nc: Client, wanted: Config) -> None:
    name = wanted["name"]
    try:
        await ask(nc, f"STREAM.CREATE.{name}", wanted)
    except APIError as refused:
        raise SettingsError(
            f"NATS refused to make the stream {name}",
            detail=f"{refused.description} (code {refused.err_code})",
            hint="It needs nats-server 2.15 or newer and room on its disk for the log's max_bytes",
        ) from refused


def _refuse_other(wanted: Config, found: Config) -> None:
    differences = list(_differences(wanted, found))
    if differences:
        raise SettingsError(
            f"the stream {wanted['name']} is not the one that the settings ask for",
            detail="; ".join(differences),
            hint="Set them back, change the stream with the nats CLI, or use another NATS account",
        )


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Each setting that differs; what we did not ask for is the server's or the operator's own."""
    told_apart = []
    for key, value in wanted.items():
        there = found.get(key)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            told_apart += _differences(value, there)
        elif value != there:
            told_apart.append(f"{key} is {there}, asked for {value}")
    return told_apart


async def _schedule_ticks(nc: Client, shards: int, tick_ms: int | None) -> None:
    if tick_ms is None:
        await ask(nc, f"STREAM.PURGE.{TICKS}", {"filter": "schedule.*"})
        return
    for shard in range(shards):
        schedule = {
            "Nats-Schedule": f"@every {tick_ms // FINEST_TICK_MS}s",
            "Nats-Schedule-Target": f"tick.{shard}",
        }
        await nc.jetstream().publish(f"schedule.{shard}", b"", headers=schedule)
