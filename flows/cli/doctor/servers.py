"""What the doctor checks in the servers: NATS with its streams, Postgres with its schema.

Promise: nothing is written, not even to make a stream that is missing.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from nats.errors import NoRespondersError
from nats.js.errors import NotFoundError

from connectors.duckdb.ledger import open_ledger
from connectors.embedded import nats_server, postgres_server
from connectors.embedded.supervisor import Record, ServerFolder
from connectors.nats.background_loop import run_sync
from connectors.nats.connection import connected, translate_errors
from connectors.nats.mapping import check_mapping
from connectors.nats.topology import shard_configs, ticks_config, windows_config
from connectors.postgres.connection import connect
from connectors.postgres.migrate import MIGRATIONS, schema_version
from connectors.postgres.reads.doubles import WINDOWS, count_doubles
from flows.runtime.servers import NO_AUTHENTICATION, broker_address
from flows.runtime.settings import Settings
from state.errors import LedgerDiverged, SettingsError
from walras_client.nats.addresses import without_password
from walras_client.nats.broker import BrokerAddress
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import ask

Check = tuple[str, Callable[[], str]]

VERSION: Final = re.compile(r"([0-9]+)\.([0-9]+)\.[0-9]+(?:-[0-9A-Za-z.]+)?")
OLDEST_NATS: Final = (2, 14)
OLDEST_POSTGRES: Final = 15
PROGRAM_DEADLINE_S: Final = 10
UP: Final = "Run `walras up` once with this version"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers are that can be checked."""

    nats_url: str | None
    postgres_dsn: str | None


def running_servers(settings: Settings) -> Addresses:
    """The servers that the settings name; the embedded ones only where they run already."""
    own = _embedded(ServerFolder(settings.home.resolve()))
    return Addresses(
        nats_url=settings.nats_url or (own.nats_url if own else None),
        postgres_dsn=settings.postgres_dsn or (own.postgres_dsn if own else None),
    )


def nats_program_version() -> str:
    """The version of the nats-server that would be started."""
    output = subprocess.run(
        [nats_server.executable(), "--version"],
        capture_output=True,
        text=True,
        timeout=PROGRAM_DEADLINE_S,
        check=False,
    ).stdout
    return _new_enough(output.strip())


def examine_log(settings: Settings, nats_url: str) -> Iterator[Check]:
    """The checks of NATS, one after the other."""

    def request(question: Callable[[Connection], Any]) -> Callable[[], str]:
        return lambda: run_sync(_asked(broker_address(settings, nats_url), question))

    yield "authentication", lambda: _authentication(broker_address(settings, nats_url))
    yield "NATS", request(_server)
    yield "JetStream", request(_jetstream)
    yield "streams", request(lambda nc: _streams(nc, settings))
    yield "mapping", request(lambda nc: _mapping(nc, settings))


def examine_ledger(postgres_dsn: str) -> Iterator[Check]:
    """The checks of Postgres, one after the other."""
    yield "Postgres", lambda: _postgres(postgres_dsn)
    yield "schema", lambda: _schema(postgres_dsn)
    yield "each bid once", lambda: _doubles(postgres_dsn)
    yield "windows, through DuckDB", lambda: _windows(postgres_dsn)


def _embedded(folder: ServerFolder) -> Record | None:
    try:
        record = msgspec.json.decode(folder.record.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None
    lives = nats_server.is_reachable(record.nats_url, folder.nats)
    return record if lives and postgres_server.is_reachable(record.postgres_dsn) else None


async def _asked(url: str, question: Callable[[Connection], Any]) -> str:
    with translate_errors("NATS did not answer the doctor", of=without_password(url)):
        async with connected(url, name="walras doctor") as nc:
            answer: str = await question(nc)
            return answer


async def _server(nc: Connection) -> str:
    return _new_enough(str(nc.connected_server_version))


def _new_enough(text: str) -> str:
    """The version that a nats-server names in this text."""
    found = VERSION.search(text)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_NATS:
        raise SettingsError(
            "this nats-server is too old",
            detail=f"{text}; the ticks need the message schedules of 2.14",
            hint="Use a newer nats-server, or unset WALRAS_NATS_URL for the one of this package",
        )
    return found[0]


def _authentication(nats_url: str) -> str:
    creds = BrokerAddress.parse(nats_url).creds
    return f"by the credentials in {creds}" if creds else NO_AUTHENTICATION


async def _jetstream(nc: Connection) -> str:
    try:
        info = await ask(nc, "INFO")
    except NoRespondersError as error:
        raise SettingsError(
            "JetStream is off",
            detail="there is no answer to requests about streams",
            hint="Start nats-server with connectors/nats/nats.conf",
        ) from error
    return f"{info['streams']} streams, {info['storage']} bytes stored"


async def _streams(nc: Connection, settings: Settings) -> str:
    """Whether each stream is there; `walras up` itself refuses one that was made differently."""
    shards = shard_configs(settings.shards, settings.stream_max_bytes)
    names = [config["name"] for config in (ticks_config(), *shards, windows_config())]
    missing = [name for name in names if not await _exists(nc, name)]
    if missing:
        raise SettingsError("streams are missing", detail=", ".join(missing), hint=UP)
    return ", ".join(names)


async def _exists(nc: Connection, stream: str) -> bool:
    try:
        await ask(nc, f"STREAM.INFO.{stream}")
    except NotFoundError:
        return False
    return True


async def _mapping(nc: Connection, settings: Settings) -> str:
    await check_mapping(nc, settings.shards)
    return f"markets are spread over {settings.shards} shard(s)"


def _postgres(dsn: str) -> str:
    with closing(connect(dsn)) as connection:
        major, minor = divmod(connection.info.server_version, 10_000)
    found = f"{major}.{minor}"
    if major < OLDEST_POSTGRES:
        raise SettingsError(
            "this Postgres is too old",
            detail=f"{found}, and {OLDEST_POSTGRES} is the oldest supported version",
            hint="Use a newer one, or unset WALRAS_POSTGRES_DSN for the one of this package",
        )
    return found


def _schema(dsn: str) -> str:
    with closing(connect(dsn)) as connection:
        applied = schema_version(connection)
    newest = max(file.stem for file in MIGRATIONS.glob("*.sql"))
    if applied != newest:
        raise SettingsError(
            "the schema is not the one of this version",
            detail=f"the ledger has {applied or 'none'}, this version {newest}",
            hint=UP if applied is None or applied < newest else "Use the newer walras",
        )
    return newest


def _doubles(dsn: str) -> str:
    """Bids have no key that would refuse a second copy of them."""
    with closing(connect(dsn)) as connection:
        counted = count_doubles(connection)
    if counted.doubles:
        raise LedgerDiverged(
            "bids are in the ledger twice",
            detail=f"{counted.doubles} of {counted.bids} in the latest {WINDOWS} windows",
            hint="Was a backup restored into it, or were rows written by hand? Replay the log "
            "into an empty database, and use that one",
        )
    return f"{counted.bids} in the latest {WINDOWS} windows"


def _windows(dsn: str) -> str:
    with open_ledger(dsn) as ledger:
        counted = ledger.execute("SELECT count(*) FROM windows").fetchone()
    assert counted is not None
    return f"{counted[0]} committed"
