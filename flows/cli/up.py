"""The command that runs a market: the deployment, until a signal stops it.

Promise: it ends cleanly on SIGINT and SIGTERM, with exit code 0, and a second start resumes where
it stopped; a second signal does not wait.
"""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from flows.cli.console import addresses, print_data, start
from flows.cli.installation import command

if TYPE_CHECKING:
    from flows.runtime.servers import Servers
    from flows.runtime.settings import Settings

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger(__name__)


Replace = Annotated[
    bool,
    Parameter(negative="", show_default=False, help="Stop the deployment that runs here first."),
]


def up(*, replace: Replace = False) -> None:
    from connectors.nats.request_reply import is_served
    from flows.cli.pulse import showing_windows
    from flows.queries.service import NAME as QUERIES
    from flows.runtime import supervisor as deployment
    from flows.runtime.deployment import claimed
    from flows.runtime.pricing_process import pricing_beside
    from flows.runtime.servers import home_of, open_servers
    from flows.runtime.watching import open_telemetry

    settings = start(context=False)
    with (
        open_telemetry(settings, role="up") as telemetry,
        _stopping() as stop,
        claimed(settings, "up", replace=replace) as announce,
        open_servers(settings) as servers,
    ):
        if home_of(settings) is None and is_served(servers.nats_url, QUERIES):
            log.warning("another deployment runs on these servers: taking over, it will stop")
        deployment.prepare(settings, servers)
        with deployment.services(settings, servers, telemetry=telemetry), ExitStack() as later:

            def ready() -> None:
                # After a crash the log is settled first: its prices can wait for a processor.
                later.enter_context(pricing_beside(servers))
                announce(servers)
                _print_addresses(settings, servers)
                print_data("ready")
                later.enter_context(showing_windows(settings, servers))

            deployment.run(settings, servers, stop, ready=ready, telemetry=telemetry)
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
    """Where everything is; the address of a server that was named may hold a password."""
    from flows.runtime.servers import NO_AUTHENTICATION

    if not servers.is_authenticated:
        print_data(NO_AUTHENTICATION)
    shards = "1 shard" if settings.shards == 1 else f"{settings.shards} shards"
    print_data(f"windows of {settings.window_ms} ms, {shards}")
    for line in addresses(settings, servers):
        print_data(line)
    print_data(f"in this folder, other terminals use it as it is: {command()} windows")
    print_data(f'programs find it after: eval "$({command()} env)"')
