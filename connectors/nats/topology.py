"""The streams of a deployment: one log per shard, the ticks that close windows, the windows.

Promise: making them twice changes nothing, and a stream that differs from what is asked for is
reported and left alone: a log is never shortened by a program that starts. Two things of version 1
are the exception: its results are deleted, and its logs take no atomic batches any more.
"""

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from nats.errors import NoRespondersError
from nats.js.errors import APIError, NotFoundError

from connectors.nats.background_loop import run_sync
from connectors.nats.connection import connected, translate_errors
from connectors.nats.mapping import check_mapping
from connectors.nats.subjects import (
    RESULTS,
    TICKS,
    WINDOWS,
    stored_clock,
    stored_subjects,
    stream_name,
)
from state.errors import ServerUnreachable, SettingsError
from state.shard import StreamIdentity
from walras_client.nats.addresses import without_password
from walras_client.nats.connection import Connection
from walras_client.nats.errors import describe
from walras_client.nats.jetstream import NS_PER_S, ask, nanos

FINEST_TICK_MS: Final = 1000
DEDUPE_S: Final = 120
WINDOWS_AGE_S: Final = 7 * 24 * 3600
WINDOWS_BYTES: Final = 1 << 30

Config = dict[str, Any]

log = logging.getLogger(__name__)


async def ensure_streams(
    nc: Connection, *, shards: int, max_bytes: int, tick_ms: int | None
) -> None:
    """Make every stream or check it; `tick_ms` None means that someone else publishes the ticks.

    `max_bytes` bounds the log of each shard: a full log refuses new commands, it forgets nothing.
    """
    assert tick_ms is None or tick_ms % FINEST_TICK_MS == 0, "the server ticks in whole seconds"
    for config in [ticks_config(), *shard_configs(shards, max_bytes)]:
        await _ensure(nc, config)
    await check_mapping(nc, shards)
    await _retire_version_1(nc, shards)
    await _ensure(nc, windows_config())
    await _schedule_ticks(nc, shards, tick_ms)


async def identity(nc: Connection, shard: int) -> StreamIdentity:
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
        "duplicate_window": DEDUPE_S * NS_PER_S,
        # With another number of shards a market would continue in another log than it began in.
        "metadata": {"walras_shards": str(shards)},
    }


def ticks_config() -> Config:
    """Where the server writes the ticks: one schedule per shard, and the last tick of each."""
    return {
        "name": TICKS,
        "subjects": ["schedule.*", "tick.*"],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_msgs_per_subject": 1,
        "allow_msg_schedules": True,
    }


def windows_config() -> Config:
    """What the markets did in each window: kept for a while, the ledger has all of it for ever."""
    return {
        "name": WINDOWS,
        "subjects": ["window.>"],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_age": WINDOWS_AGE_S * NS_PER_S,
        "max_bytes": WINDOWS_BYTES,
        "allow_direct": True,
        "duplicate_window": DEDUPE_S * NS_PER_S,
    }


def results_of_version_1() -> Config:
    """Where version 1 kept all results; today's ledger has them."""
    return {
        "name": RESULTS,
        "subjects": ["result.>", "window.>", "told.*"],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_age": 7 * 24 * 3600 * NS_PER_S,
        "max_bytes": 1 << 30,
        "allow_direct": True,
        "allow_atomic": True,
        "duplicate_window": 10 * NS_PER_S,
    }


def _ticks_of(shard: int) -> Config:
    transform = {"src": f"tick.{shard}", "dest": stored_clock(shard)}
    return {"name": TICKS, "subject_transforms": [transform]}


async def _retire_version_1(nc: Connection, shards: int) -> None:
    """Delete the results of version 1, and turn off batches in logs that it made.

    By batches that it leaves open an agent could keep those of all others out.
    """
    found = await _config_of(nc, RESULTS)
    if found is not None and not _differences(results_of_version_1(), found):
        await ask(nc, f"STREAM.DELETE.{RESULTS}")
        log.info("the stream %s of version 1 is deleted: the ledger has all of it", RESULTS)
    for shard in range(shards):
        found = await _config_of(nc, stream_name(shard))
        if found is not None and found.get("allow_atomic"):
            await _turn_off_batches(nc, found)


async def _turn_off_batches(nc: Connection, found: Config) -> None:
    name = found["name"]
    try:
        await ask(nc, f"STREAM.UPDATE.{name}", found | {"allow_atomic": False})
    except APIError as refused:
        raise SettingsError(
            f"the stream {name} allows atomic batches, and that could not be changed",
            detail=describe(refused),
            hint=f"Turn allow_atomic off with `nats stream edit {name}`",
        ) from refused
    log.info("the stream %s takes no atomic batches any more", name)


async def _config_of(nc: Connection, name: str) -> Config | None:
    """The configuration of a stream as it is; None where there is none."""
    try:
        return Config((await ask(nc, f"STREAM.INFO.{name}"))["config"])
    except NotFoundError:
        return None
    except (NoRespondersError, TimeoutError) as failure:
        raise ServerUnreachable(
            "NATS does not keep streams",
            detail=f"JetStream gave no answer: {describe(failure)}",
            hint="Start nats-server with connectors/nats/nats.conf, which turns JetStream on",
        ) from failure


async def _ensure(nc: Connection, wanted: Config) -> None:
    found = await _config_of(nc, wanted["name"])
    if found is None:
        await _create(nc, wanted)
    else:
        _refuse_other(wanted, found)


async def _create(nc: Connection, wanted: Config) -> None:
    name = wanted["name"]
    try:
        await ask(nc, f"STREAM.CREATE.{name}", wanted)
    except APIError as refused:
        raise SettingsError(
            f"NATS refused to make the stream {name}",
            detail=describe(refused),
            hint="It needs nats-server 2.15 or newer, room on its disk for max_bytes, and no other "
            f"stream on {', '.join(wanted['subjects'])}",
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
    differences = []
    for key, value in wanted.items():
        there = found.get(key)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            differences += _differences(value, there)
        elif value != there:
            differences.append(f"{key} is {there}, asked for {value}")
    return differences


async def _schedule_ticks(nc: Connection, shards: int, tick_ms: int | None) -> None:
    if tick_ms is None:
        await ask(nc, f"STREAM.PURGE.{TICKS}", {"filter": "schedule.*"})
        return
    for shard in range(shards):
        schedule = {
            "Nats-Schedule": f"@every {tick_ms // FINEST_TICK_MS}s",
            "Nats-Schedule-Target": f"tick.{shard}",
        }
        await nc.jetstream().publish(f"schedule.{shard}", b"", headers=schedule)


def make_streams(url: str, *, shards: int, max_bytes: int, tick_ms: int | None) -> None:
    """Make what is missing and check the rest; see `ensure_streams`."""

    async def make() -> None:
        async with _connected(url) as nc:
            await ensure_streams(nc, shards=shards, max_bytes=max_bytes, tick_ms=tick_ms)

    run_sync(make())


def stream_identities(url: str, *, shards: Iterable[int]) -> dict[int, StreamIdentity]:
    """Shard to the stream that holds its log now."""

    async def identify() -> dict[int, StreamIdentity]:
        async with _connected(url) as nc:
            return {shard: await identity(nc, shard) for shard in shards}

    return run_sync(identify())


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Connection]:
    what = "NATS did not answer a question about its streams"
    with translate_errors(what, of=without_password(url)):
        async with connected(url, name="walras streams") as nc:
            yield nc
