"""The door that runs a market: the deployment, until it is told to stop.

Promise: it ends cleanly on SIGINT and SIGTERM, with exit code 0, and a second start goes on where
it stopped; a second signal does not wait.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from flows.cli.console import note, say
from flows.runtime import supervisor as deployment
from flows.runtime.pricing_process import pricing_beside
from flows.runtime.servers import Servers, open_servers
from flows.runtime.settings import Settings, load_settings

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def up() -> None:
    settings = load_settings()
    with _stopping() as stop, open_servers(settings) as servers:
        deployment.prepare(settings, servers)
        _tell_where(settings, servers)
        with deployment.services(settings, servers), ExitStack() as later:

            def ready() -> None:
                # After a crash the log is settled first: its prices can wait for a processor.
                later.enter_context(pricing_beside(servers))
                say("ready")

            deployment.run(settings, servers, stop, ready=ready)
    note("stopped")


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
        note("stopping; a second signal ends it at once")

    for number in STOP_SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        restore()


def _tell_where(settings: Settings, servers: Servers) -> None:
    """Where the log and the ledger are; a server that was named keeps its password to itself."""
    say(f"windows of {settings.window_ms} ms, {settings.shards} shard(s)")
    if settings.nats_url is None:
        say(f"export WALRAS_NATS_URL={servers.nats_url}")
    if settings.postgres_dsn is None:
        say(f"export WALRAS_POSTGRES_DSN='{servers.postgres_dsn}'")
