"""The command `walras`: every command of the platform, and one plain message when one fails.

Promise: data goes to stdout and everything else to stderr; an error has three parts and ends the
command with its exit code, never with a traceback. A command is imported when it is called, and
what it needs when it runs, so that help comes at once.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from cyclopts import App, CycloptsError, Group, Parameter

from flows.cli.console import print_data, print_error, print_status
from flows.cli.installation import release
from flows.cli.streams import drop_rest, open_closed, output_lost
from state.errors import SettingsError, WalrasError

INTERRUPTED: Final = 130
READER_LEFT: Final = 141

BID_HELP: Final = """
Place a bid for one resource, or for a bundle as a whole.

- `walras bid m1 a1 tokens 500 --price 0.0015`
- `walras bid m1 a1 --bundle tokens=500,cpu_ms=2000 --limit 145`
"""

BENCH_HELP: Final = """
Measure how fast this machine clears markets, beside other designs.

- `walras bench`: a quick measurement in about a minute (`walras bench quick`)
- `walras bench full`: all of it, in under ten minutes
- `walras bench scaling`: what grows as agents, ledger, windows and shards do
- `walras bench show FILE`: the tables of an earlier run
- `python -m bench full --help` lists what each of them takes
"""

SQL_HELP: Final = """
Query the ledger in SQL, read-only.

- `walras sql "SHOW TABLES"`
- `walras sql "SELECT status, count(*) FROM bids GROUP BY status"`
- `walras sql -f report.sql --format csv > report.csv`
- `walras sql`: a prompt on a terminal, otherwise queries from standard input
"""

SETTINGS_HELP: Final = """
Settings are read from the environment:

- `WALRAS_HOME`: folder of the embedded servers (`.walras`)
- `WALRAS_NATS_URL`, `WALRAS_POSTGRES_DSN`: servers of your own; without them the embedded ones run
- `WALRAS_NATS_CREDS`: credentials on NATS; without them those in `WALRAS_HOME/keys`
- `WALRAS_NATS_CA`: certificates to trust for `tls://`
- `WALRAS_NATS_AUTH`: `none` for a NATS server that asks nobody who they are (`accounts`)
- `WALRAS_WINDOW_MS`: length of a window (`1000`)
- `WALRAS_SHARDS`: logs that the markets are spread over (`1`)
- `WALRAS_PROCESSES`: processes that run the flow (`1`)
- `WALRAS_STREAM_MAX_BYTES`: size at which a log is full (`4294967296`)
- `WALRAS_HEALTH_PORT`: port of `/healthz` and `/readyz` of `up`, 0 for none (`7117`)
- `WALRAS_LOG_LEVEL`: `DEBUG`, `INFO`, `WARNING` or `ERROR`, logged to stderr (`INFO`)
- `WALRAS_METRICS`: `off`, `page` for `/metrics`, or `otlp` for both (`page`)
- `WALRAS_TRACES`: `otlp` makes spans of the bids that senders sampled (`off`)
- `WALRAS_TRACE_RATIO`: share of those that is kept (`0.01`)
- `WALRAS_LOGS`: `otlp` sends log events over OTLP too (`off`)
"""

# The commands of each group: where the command is, and what the help says of it.
COMMANDS: Final = {
    "Run a market": {
        "up": ("up:up", "Run the deployment until it is stopped."),
        "demo": ("simulate:demo", "Open a market, let agents trade in it, audit the ledger."),
        "agents": ("simulate:agents", "Let simulated agents trade in an open market."),
        "env": ("context:env", "Print the addresses of the deployment for a shell."),
        "context add": ("context:add", "Give a deployment a name (default: that which runs here)."),
        "context use": ("context:use", "Choose the deployment that commands use."),
        "context list": ("context:show_all", "List them."),
        "doctor": ("registry:doctor", "Check the installation, the servers and the schema."),
        "bench": ("bench:bench", BENCH_HELP),
    },
    "Take part": {
        "market open": ("trade:open_market", "Open a market as a TOML file describes it."),
        "market example": ("registry:example", "Print such a file, to begin with."),
        "market close": ("trade:close_market", "Close a market; it can be opened again."),
        "grant": ("trade:grant", "Give an agent credits from the treasury."),
        "bid": ("trade:bid", BID_HELP),
    },
    "Say who may speak": {
        "agent create": ("agent:create", "Let an agent in: write its credentials."),
        "agent list": ("agent:list_agents", "List the agents that were let in."),
        "agent show": ("agent:show_agent", "Show what an agent may do."),
        "agent rotate": ("agent:rotate", "Void its credentials and write new ones."),
        "agent revoke": ("agent:revoke", "Void its credentials: it is shut out at once."),
        "agent limits": ("agent:limits", "Show or change what it may take of the broker."),
        "keys init": ("keys:init", "Make the keys of a deployment, for a broker of your own."),
        "keys show": ("keys:show_keys", "Show whose keys they are; no secret is printed."),
        "keys server-config": ("keys:server_config", "Print what the broker's file needs."),
        "keys rotate": ("keys:rotate", "Void the deployment's own credentials and make new ones."),
        "operator create": ("agent:create_operator", "Let an operator in, or another role."),
        "operator list": ("agent:list_operators", "List them."),
        "operator rotate": ("agent:rotate_operator", "Void its credentials and write new ones."),
        "operator revoke": ("agent:revoke_operator", "Void its credentials at once."),
    },
    "Read the ledger": {
        "windows": ("read:windows", "Show the last windows and the outcomes of their bids."),
        "prices": ("read:prices", "Show what each resource cleared at."),
        "bids": ("read:bids", "Show the bids of a market and their outcomes."),
        "balance": ("read:balance", "Show what agents own."),
        "allowance": ("read:allowance", "Show what agents won and can spend."),
        "trace": ("trace:trace", "Show the life of one bid, step by step, with times."),
        "sql": ("sql:sql", SQL_HELP),
        "audit": ("audit:audit", "Check that the books hold, and name the rows that break them."),
    },
    "The log and its events": {
        "log export": ("log:export", "Write the log of a shard to a file."),
        "replay": ("log:replay", "Run a saved log into an empty ledger, for its digest."),
        "schemas": ("registry:schemas", "List the events; as JSON, their JSON Schemas."),
        "completion": ("app:completion", "Print what completes commands in a shell."),
    },
}

app: Final = App(
    name="walras",
    help="The auctioneer of an agent economy: agents bid, every window the market clears.",
    help_epilogue=SETTINGS_HELP,
    version=release,
    suppress_keyboard_interrupt=False,
    group_commands=Group("Options", sort_key=len(COMMANDS)),
)


def main() -> None:
    """Run the command line of this process."""
    open_closed()
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Run a command; what went wrong is said on stderr, and the exit code says which kind."""
    try:
        code = app(words, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as misread:
        return _fail(_misread(misread, words))
    except WalrasError as failure:
        return _fail(failure)
    except KeyboardInterrupt:
        print_status("\nstopped")
        return INTERRUPTED
    except BrokenPipeError:
        drop_rest()
        return READER_LEFT
    except OSError as failure:
        if (lost := output_lost(failure)) is None:
            raise
        code = _fail(lost)
        drop_rest()
    return code if isinstance(code, int) else 0


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Shell to complete in.")], /
) -> None:
    print_data(app.generate_completion(shell=shell).rstrip())


def _fail(failure: WalrasError) -> int:
    print_error(failure)
    return failure.exit_code


def _misread(error: CycloptsError, words: Sequence[str]) -> SettingsError:
    known = [name for names in COMMANDS.values() for name in names]
    named = [name for name in known if name.split() == list(words)[: len(name.split())]]
    hint = "`walras --help` lists the commands"
    if named:
        hint = f"`walras {named[0]} --help` shows what it takes"
    return SettingsError("invalid command line", detail=str(error), hint=hint)


def _register() -> None:
    """Register every command with its line of help, in the order of use."""
    parents: dict[str, App] = {}
    for place, (group, commands) in enumerate(COMMANDS.items()):
        panel = Group(group, sort_key=place)
        for number, (words, (path, sentence)) in enumerate(commands.items()):
            name, _, inner = words.partition(" ")
            parent = app
            if inner:
                parent = parents.setdefault(
                    name, App(name=name, group=panel, sort_key=number, help_epilogue="")
                )
                parent.help = "; ".join(filter(None, [parent.help, f"{inner}: {sentence}"]))
            parent.command(
                f"flows.cli.{path}",
                name=inner or name,
                help=sentence,
                group=panel,
                sort_key=number,
                help_epilogue="",
            )
    for parent in parents.values():
        app.command(parent)


_register()
