"""The doctor: looks at everything a deployment leans on and says what to do about each trouble.

Promise: it starts nothing, changes nothing and goes on after a trouble to whatever does not lean on
it. What it calls failed would stop `walras up`; a warning would not, or not yet.
"""

import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

import duckdb

from connectors.duckdb.ledger import OFFLINE, load_extension
from flows.cli.doctor.servers import (
    Look,
    Standing,
    examine_ledger,
    examine_log,
    nats_program_version,
    standing_servers,
)
from flows.runtime.health import measure
from flows.runtime.servers import Servers
from flows.runtime.settings import GIB, Settings
from state.errors import SettingsError, WalrasError

PYTHONS: Final = ((3, 11), (3, 12))
DISTRIBUTION: Final = "walras"
REQUIREMENT: Final = re.compile(r"[A-Za-z0-9._-]+")
SETUP: Final = "Run `make setup`"


class Health(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; the hint says what to do where it is not ok."""

    thing: str
    health: Health
    found: str
    hint: str = ""
    exit_code: int = 0
    """What the trouble would end `walras up` with."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at one thing after the other."""
    yield _look("python", _python)
    yield from (_look(f"package {name}", partial(_package, name)) for name in dependencies())
    yield _look("DuckDB's Postgres extension", _extension)
    yield _disk(settings)
    if settings.nats_url is None:
        yield _look("nats-server program", nats_program_version)
    yield from _servers(settings, standing_servers(settings))


def dependencies() -> list[str]:
    """The names of the packages that this installation asks for."""
    try:
        asked_for = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return []
    return sorted({match[0] for each in asked_for if (match := REQUIREMENT.match(each))})


def _look(thing: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(thing, Health.OK, look())
    except WalrasError as trouble:
        told = f"{trouble.what}: {trouble.detail}"
        return Finding(thing, Health.FAIL, told, trouble.hint, trouble.exit_code)


def _look_until_trouble(part: str, looks: Iterable[Look]) -> Iterator[Finding]:
    """What comes later in a server leans on what comes first."""
    for thing, look in looks:
        finding = _look(f"{part}: {thing}", look)
        yield finding
        if finding.health is Health.FAIL:
            return


def _python() -> str:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] not in PYTHONS:
        hint = "Use Python 3.11 or 3.12: the engine has wheels for these alone"
        raise SettingsError("this Python is not supported", detail=found, hint=hint)
    return found


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError as error:
        raise SettingsError("it is not installed", detail=name, hint=SETUP) from error


def _extension() -> str:
    with duckdb.connect(config=OFFLINE) as connection:
        load_extension(connection)
    return f"loads into DuckDB {duckdb.__version__} without a download"


def _disk(settings: Settings) -> Finding:
    """Room for logs that grow to their limit, where the embedded servers keep them."""
    thing, needed = "disk space", settings.shards * settings.stream_max_bytes
    home = settings.home.resolve()
    folder = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    found = f"{_in_gib(free)} free at {folder}"
    if free < GIB:
        hint = "Make room, or set WALRAS_HOME to another disk"
        return Finding(thing, Health.FAIL, found, hint, SettingsError.exit_code)
    if settings.nats_url is None and free < needed:
        hint = f"The logs may grow to {_in_gib(needed)}: see WALRAS_STREAM_MAX_BYTES"
        return Finding(thing, Health.WARN, found, hint)
    return Finding(thing, Health.OK, found)


def _servers(settings: Settings, standing: Standing) -> Iterator[Finding]:
    """Each server that stands, and where nothing is wrong with both what the flow makes of them."""
    nats_url, postgres_dsn = standing.nats_url, standing.postgres_dsn
    looks = {
        "log": nats_url and examine_log(settings, nats_url),
        "ledger": postgres_dsn and examine_ledger(postgres_dsn),
    }
    well = True
    for part, look in looks.items():
        for finding in _look_until_trouble(part, look or ()):
            yield finding
            well = well and finding.health is not Health.FAIL
    if absent := [part for part, look in looks.items() if not look]:
        yield _not_running(settings, absent)
    elif well and nats_url and postgres_dsn:
        yield _flow(settings, Servers(nats_url, postgres_dsn))


def _flow(settings: Settings, servers: Servers) -> Finding:
    """What `/readyz` of a running deployment says, and of one that does not run what is left."""
    health = measure(settings, servers)
    if not health.problems:
        return Finding("flow", Health.OK, health.summary)
    hint = "Start `walras up`, or see why it waits in what it says on stderr"
    return Finding("flow", Health.WARN, health.summary, hint)


def _in_gib(size_bytes: int) -> str:
    return f"{size_bytes * 10 // GIB / 10} GiB"


def _not_running(settings: Settings, absent: Sequence[str]) -> Finding:
    return Finding(
        "servers",
        Health.WARN,
        f"no embedded servers run in {settings.home}: {' and '.join(absent)} not looked at",
        "Start `walras up` in another terminal and ask again: the doctor starts nothing",
    )
