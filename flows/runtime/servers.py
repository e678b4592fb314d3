"""The two servers of a deployment: where the log and the ledger are.

Promise: a server that the settings name is used as it is; one that they do not name is embedded,
and runs for as long as the block.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from connectors.embedded.servers import embedded
from flows.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the log and the ledger are."""

    nats_url: str
    postgres_dsn: str


@contextmanager
def open_servers(settings: Settings) -> Iterator[Servers]:
    """The servers that the settings name; what they do not name is embedded for the block."""
    if settings.nats_url and settings.postgres_dsn:
        yield Servers(settings.nats_url, settings.postgres_dsn)
        return
    with embedded(settings.home, shards=settings.shards) as own:
        yield Servers(
            nats_url=settings.nats_url or own.nats_url,
            postgres_dsn=settings.postgres_dsn or own.postgres_dsn,
        )
