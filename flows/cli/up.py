"""The command that runs a market: the deployment, until a signal stops it.

Promise: it ends cleanly on SIGINT and SIGTERM, with exit code 0, and a second start resumes where
it stopped; a second signal does not wait.
"""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from flows.cli.console import print_data, start

if TYPE_CHECKING:
    from flows.runtime.servers import Servers
    from flows.runtime.settings import Settings

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger(__name__)


def up() -> None:
    from flows.runtime import supervisor as deployment
    from flows.runtime.pricing_process import pricing_beside
    from flows.runtime.servers import open_servers

    settings = start()
    with _stopping() as stop, open_servers(settings) as servers:
        deployment.prepare(settings, servers)
        _print_addresses(settings, servers)
        with deployment.services(settings, servers), ExitStack() as later:

            def ready() -> None:
                # After a crash the log is settled first: its prices can wait for a processor.
                later.enter_context(pricing_beside(servers))
                print_data("ready")

            deployment.run(settings, servers, stop, ready=ready)
    log.info("stopped")


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that the first signal sets; the second one acts as it would anywhere."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def restore() -> None:
        for number, reaction in before.items():
            signal.signal(number, reaction)

    def on_signal(_number: int, _frame: object) -> None:
        stop.set()
        restore()
        log.info("stopping; a second signal ends it at once")

    for number in STOP_SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        restore()


def _print_addresses(settings: "Settings", servers: "Servers") -> None:
    """Where the log and the ledger are; the password of a server that was named is not printed."""
    from connectors.postgres.reader import reader_url
    from flows.runtime.servers import NO_AUTHENTICATION

    if not servers.is_authenticated:
        print_data(NO_AUTHENTICATION)
    print_data(f"windows of {settings.window_ms} ms, {settings.shards} shard(s)")
    if settings.nats_url is None:
        print_data(f"export WALRAS_NATS_URL={servers.plain_nats_url}")
    if settings.postgres_dsn is None:
        print_data(f"export WALRAS_POSTGRES_DSN='{servers.postgres_dsn}'")
        print_data(f"to read it with psql: psql '{reader_url(servers.postgres_dsn)}'")
