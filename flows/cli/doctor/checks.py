"""The doctor: checks everything a deployment depends on and says what to do about each problem.

Promise: it starts nothing, changes nothing and continues after a problem with whatever does not
depend on it. What it calls failed would stop `walras up`; a warning would not, or not yet.
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
    Addresses,
    Check,
    examine_ledger,
    examine_log,
    nats_program_version,
    running_servers,
)
from flows.runtime.health import measure
from flows.runtime.servers import Servers, broker_address
from flows.runtime.settings import GIB, Settings
from state.errors import SettingsError, WalrasError

PYTHONS: Final = ((3, 11), (3, 12))
DISTRIBUTION: Final = "walras"
REQUIREMENT: Final = re.compile(r"[A-Za-z0-9._-]+")
SETUP: Final = "Install walras again (in a clone: `make setup`)"


class Verdict(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check; the hint says what to do where it is not ok."""

    thing: str
    health: Verdict
    found: str
    hint: str = ""
    exit_code: int = 0
    """What `walras up` would end with."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Make one check after the other."""
    yield _check("python", _python)
    yield from (_check(f"package {name}", partial(_package, name)) for name in dependencies())
    yield _check("DuckDB's Postgres extension", _extension)
    yield _disk(settings)
    if settings.nats_url is None:
        yield _check("nats-server program", nats_program_version)
    yield from _servers(settings, running_servers(settings))


def dependencies() -> list[str]:
    """The names of the packages that this installation asks for."""
    try:
        asked_for = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return []
    return sorted({match[0] for each in asked_for if (match := REQUIREMENT.match(each))})


def _check(thing: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(thing, Verdict.OK, check())
    except WalrasError as failure:
        found = f"{failure.what}: {failure.detail}"
        return Finding(thing, Verdict.FAIL, found, failure.hint, failure.exit_code)


def _until_failure(part: str, checks: Iterable[Check]) -> Iterator[Finding]:
    """Later checks of a server depend on earlier ones."""
    for thing, check in checks:
        finding = _check(f"{part}: {thing}", check)
        yield finding
        if finding.health is Verdict.FAIL:
            return


def _python() -> str:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] not in PYTHONS:
        hint = "Use Python 3.11 or 3.12: the engine has wheels for these only"
        raise SettingsError("this Python is not supported", detail=found, hint=hint)
    return found


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError as error:
        raise SettingsError("not installed", detail=name, hint=SETUP) from error


def _extension() -> str:
    with duckdb.connect(config=OFFLINE) as connection:
        load_extension(connection)
    return f"loads into DuckDB {duckdb.__version__} without a download"


def _disk(settings: Settings) -> Finding:
    """Space for logs that grow to their limit, where the embedded servers keep them."""
    thing, needed = "disk space", settings.shards * settings.stream_max_bytes
    home = settings.home.resolve()
    folder = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    found = f"{_in_gib(free)} free at {folder}"
    if free < GIB:
        hint = "Free some space, or set WALRAS_HOME to another disk"
        return Finding(thing, Verdict.FAIL, found, hint, SettingsError.exit_code)
    if settings.nats_url is None and free < needed:
        hint = f"The logs may grow to {_in_gib(needed)}: see WALRAS_STREAM_MAX_BYTES"
        return Finding(thing, Verdict.WARN, found, hint)
    return Finding(thing, Verdict.OK, found)


def _servers(settings: Settings, addresses: Addresses) -> Iterator[Finding]:
    """Each server that runs, and where both are healthy what the flow does with them."""
    nats_url, postgres_dsn = addresses.nats_url, addresses.postgres_dsn
    checks = {
        "log": nats_url and examine_log(settings, nats_url),
        "ledger": postgres_dsn and examine_ledger(postgres_dsn),
    }
    healthy = True
    for part, part_checks in checks.items():
        for finding in _until_failure(part, part_checks or ()):
            yield finding
            healthy = healthy and finding.health is not Verdict.FAIL
    if absent := [part for part, part_checks in checks.items() if not part_checks]:
        yield _not_running(settings, absent)
    elif healthy and nats_url and postgres_dsn:
        yield _flow(settings, Servers(broker_address(settings, nats_url), postgres_dsn))


def _flow(settings: Settings, servers: Servers) -> Finding:
    """What `/readyz` of a running deployment shows, and of a stopped one what is left to do."""
    health = measure(settings, servers)
    if not health.problems:
        return Finding("flow", Verdict.OK, health.summary)
    hint = "Start `walras up`, or see its log on stderr for why it waits"
    if health.ahead:
        hint = "docs/guides/outages.md says under “The clock” what can be done"
    return Finding("flow", Verdict.WARN, health.summary, hint)


def _in_gib(size_bytes: int) -> str:
    return f"{size_bytes * 10 // GIB / 10} GiB"


def _not_running(settings: Settings, absent: Sequence[str]) -> Finding:
    return Finding(
        "servers",
        Verdict.WARN,
        f"no embedded servers run in {settings.home}: {' and '.join(absent)} not checked",
        "Start `walras up` in another terminal and check again: the doctor starts nothing",
    )
