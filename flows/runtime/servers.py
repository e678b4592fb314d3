"""The two servers of a deployment: where the log and the ledger are, and the keys to the log.

Promise: a server that the settings name is used as it is; one that they do not name is embedded,
and runs for as long as the block. Embedded servers that are named are used like unnamed ones: they
do not stop under a command that was given their addresses. The embedded NATS asks for credentials
unless the settings say otherwise; its keys are made at the first start.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from connectors.embedded.nats_server import Accounts
from connectors.embedded.servers import embedded, has_data, kept_running, make_folder, recorded
from connectors.identity.keys import KeyFolder, ensure_keys, trust
from flows.runtime.settings import Settings
from state.errors import SettingsError
from walras_client.nats.broker import BrokerAddress

NO_AUTHENTICATION: Final = "no authentication: whoever reaches NATS may act as anybody"


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the log and the ledger are."""

    nats_url: str
    """With the files that let us in: see `BrokerAddress`."""
    postgres_dsn: str

    @property
    def plain_nats_url(self) -> str:
        """The same broker for someone with credentials of its own."""
        return BrokerAddress.parse(self.nats_url).url

    @property
    def is_authenticated(self) -> bool:
        """Whether the broker asks who speaks."""
        return BrokerAddress.parse(self.nats_url).creds is not None


@contextmanager
def open_servers(settings: Settings) -> Iterator[Servers]:
    """The servers that the settings name; what they do not name is embedded for the block."""
    if settings.nats_url is not None and settings.postgres_dsn is not None:
        home = home_of(settings)
        with kept_running(home) if home else nullcontext():
            yield Servers(broker_address(settings, settings.nats_url), settings.postgres_dsn)
        return
    accounts = None if settings.nats_auth == "none" else _accounts(settings)
    with embedded(settings.home, shards=settings.shards, accounts=accounts) as own:
        yield Servers(
            nats_url=broker_address(settings, settings.nats_url or own.nats_url),
            postgres_dsn=settings.postgres_dsn or own.postgres_dsn,
        )


def home_of(settings: Settings) -> Path | None:
    """The folder of the embedded servers that these settings use; None where they use none."""
    if settings.nats_url is None or settings.postgres_dsn is None:
        return settings.home
    for home in (settings.home, *_around_socket(settings.postgres_dsn)):
        if has_data(home) and settings.nats_url == recorded(home):
            return home
    return None


def _around_socket(dsn: str) -> list[Path]:
    """The folder around that of a Postgres socket, where the embedded servers have theirs."""
    try:
        host = str(conninfo_to_dict(dsn).get("host", ""))
    except ProgrammingError:
        return []  # whoever connects says what is wrong with it
    return [Path(host).parent] if host.startswith("/") else []


def key_folder(settings: Settings) -> KeyFolder:
    """Where the keys of a deployment are kept."""
    return KeyFolder(settings.home.resolve() / "keys")


def broker_address(settings: Settings, url: str) -> str:
    """The broker with the credentials of the settings; without any, with those of the keys."""
    if settings.nats_auth == "none":
        if settings.nats_creds:
            raise SettingsError(
                "the settings of NATS contradict each other",
                detail="WALRAS_NATS_AUTH is none, and WALRAS_NATS_CREDS is set",
                hint="Unset one of them",
            )
        return str(BrokerAddress(url, ca=settings.nats_ca))
    creds = credentials(settings)
    assert creds is not None, "it asks for some"
    if not creds.exists():
        raise SettingsError(
            "there are no credentials for the NATS server",
            detail=f"{creds} does not exist",
            hint="Set WALRAS_NATS_CREDS to a creds file of the server, or WALRAS_NATS_AUTH=none if "
            "it asks for none",
        )
    return str(BrokerAddress(url, creds=creds, ca=settings.nats_ca))


def credentials(settings: Settings) -> Path | None:
    """The file that lets us in, which may not exist; None where nobody asks for one."""
    if settings.nats_auth == "none":
        return None
    return (settings.nats_creds or key_folder(settings).creds("house")).resolve()


def as_pricing(servers: Servers) -> Servers:
    """The same servers as the pricing flow sees them, which may do less."""
    broker = BrokerAddress.parse(servers.nats_url)
    own = broker.creds and broker.creds.with_name("pricing.creds")
    if own is None or not own.exists():
        return servers
    return replace(servers, nats_url=str(broker.using(creds=own, ca=None)))


def _accounts(settings: Settings) -> Accounts:
    """What the embedded NATS gets of the keys, which are made if there are none."""
    make_folder(settings.home.resolve())
    folder = key_folder(settings)
    ensure_keys(folder)
    known = trust(folder, shards=settings.shards)
    return Accounts(
        operator=known.operator,
        system_account=known.system_account,
        house_account=known.house_account,
        jwts=known.accounts,
    )
