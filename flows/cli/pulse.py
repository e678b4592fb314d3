"""What a person sees of a deployment while it runs: one line for some windows, on a terminal.

Promise: it only reads, beside the flow; what fails here is left to the log and to the health pages.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from connectors.postgres.connection import connect
from connectors.postgres.reads.progress import Activity, read_activity, read_last_window
from flows.cli.console import is_terminal, print_status
from flows.runtime.health import Health, measure
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from state.errors import WalrasError

INTERVAL_S: Final = 5.0
MS_PER_S: Final = 1000


@contextmanager
def showing_windows(settings: Settings, servers: Servers) -> Iterator[None]:
    """Print a line every few windows beside the block; nothing where stderr is no terminal."""
    if not is_terminal():
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_show, args=(settings, servers, stop), name="pulse")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _show(settings: Settings, servers: Servers, stop: threading.Event) -> None:
    interval_s = max(INTERVAL_S, 2 * settings.window_ms / MS_PER_S)
    last, was_idle = None, False
    while not stop.wait(interval_s if last is not None else 0):
        try:
            with closing(connect(servers.postgres_dsn)) as ledger:
                if last is None:
                    last = read_last_window(ledger)
                    continue
                seen = read_activity(ledger, after_window=last)
        except WalrasError:
            continue
        if seen.windows or not was_idle:
            print_status(line(seen, measure(settings, servers)))
        last, was_idle = seen.last_window, not seen.windows


def line(seen: Activity, health: Health) -> str:
    """Some windows and how far the ledger is behind the log, in less than 80 columns."""
    at = time.strftime("%H:%M:%S")
    if not seen.windows:
        what = "no commands; the next line comes with the next ones"
    else:
        windows = "1 window" if seen.windows == 1 else f"{seen.windows} windows"
        what = f"{windows} to {seen.last_window}: {seen.bids:,} bids, {seen.won:,} won"
    if health.problems:
        return f"{at}  {what}; not ready, see the log"
    behind_s = max((shard.behind_s for shard in health.shards), default=0.0)
    return f"{at}  {what}; lag {behind_s:.1f} s"
