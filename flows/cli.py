"""The command `walras`: every door of the house, with one plain message when one stays shut.

Promise: data goes to stdout and everything else to stderr; an error is told in three parts and ends
with its exit code, never with a traceback. A command is imported when it is called, so that help
comes at once.
"""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from cyclopts import App, CycloptsError, Group

from flows.cli_words import tell_failure
from state.errors import SettingsError, WalrasError

INTERRUPTED: Final = 130
READER_LEFT: Final = 141

SETTINGS_HELP: Final = """
Settings are read from the environment:

- `WALRAS_HOME`: folder of the embedded servers (`.walras`)
- `WALRAS_NATS_URL`, `WALRAS_POSTGRES_DSN`: servers of your own; without them the embedded ones run
- `WALRAS_WINDOW_MS`: length of a window (`1000`)
- `WALRAS_SHARDS`: logs that the markets are spread over (`1`)
- `WALRAS_WORKERS`, `WALRAS_PROCESSES`: who runs the flow (`1`)
- `WALRAS_STREAM_MAX_BYTES`: size at which a log is full (`4294967296`)
"""

app: Final = App(
    name="walras",
    help="The auctioneer of an agent economy: agents bid, every window the market clears.",
    help_epilogue=SETTINGS_HELP,
    version=lambda: version("walras"),
    group_commands=Group.create_ordered("Options"),
)


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Run a command; what went wrong is told on stderr, and the exit code says which kind."""
    try:
        code = app(
            words, exit_on_error=False, print_error=False, result_action="return_value"
        )
        sys.stdout.flush()
    except CycloptsError as misread:
        return _fail(_misread(misread))
    except WalrasError as failure:
        return _fail(failure)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Python would write what is left once more at the exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_LEFT
    return code if isinstance(code, int) else 0


def _fail(failure: WalrasError) -> int:
    tell_failure(failure)
    return failure.exit_code


def _misread(error: CycloptsError) -> SettingsError:
    return SettingsError(
        "the command line is not understood",
        detail=str(error),
        hint="`walras --help` lists the commands, `walras COMMAND --help` what one takes",
    )


def _register() -> None:
    """Name every command with what the list of commands says of it."""
    running = Group.create_ordered("Run a market")
    trading = Group.create_ordered("Take part")
    reading = Group.create_ordered("Read the ledger")
    logs = Group.create_ordered("The log and its events")
    market = App(name="market", help="Open a market.", group=trading)
    log = App(name="log", help="Save a log to a file.", group=logs)
    commands = {
        "up": ("cli_running:up", "Run the deployment until it is stopped.", running),
        "demo": ("cli_running:demo", "Open a market, let agents trade, show the books.", running),
        "agents": ("cli_running:agents", "Let simulated agents trade in a market.", running),
        "doctor": ("cli_registry:doctor", "Check dependencies, servers and schemas.", running),
        "grant": ("cli_trading:grant", "Give an agent credits from the treasury.", trading),
        "bid": ("cli_trading:bid", "Place a bid for one resource or for a bundle.", trading),
        "windows": ("cli_reading:windows", "Show the last windows and what they cleared.", reading),
        "prices": ("cli_reading:prices", "Show what each resource cleared at.", reading),
        "bids": ("cli_reading:bids", "Show the bids of a market and their outcomes.", reading),
        "balance": ("cli_reading:balance", "Show what agents own.", reading),
        "sql": ("cli_reading:sql", "Ask the ledger in SQL; it is only read.", reading),
        "replay": ("cli_log:replay", "Run a saved log into an empty ledger.", logs),
        "schemas": ("cli_registry:schemas", "List the events and their JSON Schemas.", logs),
    }
    for name, (path, sentence, group) in commands.items():
        app.command(f"flows.{path}", name=name, help=sentence, group=group)
    market.command(
        "flows.cli_trading:open_market", name="open", help="Open a market from a TOML file."
    )
    log.command("flows.cli_log:export", name="export", help="Write the log of a shard to a file.")
    app.command(market)
    app.command(log)


_register()
