"""A shard's log in a file, and a file as a shard's log.

Promise: a file is written whole or not at all; the same file gives the same digest in every replay,
and a replay never touches a ledger that holds anything.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final, TypeVar

from cyclopts import Parameter
from cyclopts.validators import Number

from flows.cli.console import counting, is_terminal, print_json, print_status, start
from flows.cli.numbers import WHOLE
from state.errors import SettingsError

WINDOW_MS: Final = Number(gte=1, lte=86_400_000)
BATCH: Final = Number(gte=1, lte=1_000_000)
STDOUT: Final = Path("-")

T = TypeVar("T")


def export(
    file: Annotated[
        Path,
        Parameter(
            help="File to write, one line of JSON per message; - for standard output.",
            allow_leading_hyphen=True,
        ),
    ],
    /,
    *,
    shard: Annotated[int, WHOLE, Parameter(validator=Number(gte=0), help="Shard to export.")] = 0,
    force: Annotated[
        bool, Parameter(negative="", show_default=False, help="Replace a file that exists.")
    ] = False,
) -> None:
    from connectors.files.logfile import write_log
    from connectors.nats.export import export_log
    from flows.runtime.deployment import for_reading
    from flows.runtime.servers import open_servers

    if file == STDOUT:
        file = Path("/dev/stdout")
    if file.is_file() and not file.samefile("/dev/stdout") and not force:
        raise SettingsError(
            "the file exists already",
            detail=str(file),
            hint="Name another one, or replace it with --force",
        )
    settings = for_reading(start())
    if shard >= settings.shards:
        raise SettingsError(
            f"there is no shard {shard}",
            detail=f"the deployment has {settings.shards}, and they are counted from 0",
            hint="Name another one with --shard",
        )
    with (
        open_servers(settings) as servers,
        _whole_or_not(file) as part,
        counting("exporting") as count,
        closing(export_log(servers.nats_url, shard=shard)) as log,
    ):
        messages = write_log(part, each_counted(log, count))
    print_status(f"{messages:,} messages of shard {shard} are in {file}")


def replay(
    file: Annotated[Path, Parameter(help="File that `walras log export` wrote.")],
    /,
    *,
    window_ms: Annotated[
        int | None,
        WHOLE,
        Parameter(validator=WINDOW_MS, help="Window in ms (default: as set)."),
    ] = None,
    postgres: Annotated[
        str | None, Parameter(help="DSN of an empty database (default: a temporary one).")
    ] = None,
    batch_size: Annotated[
        int, WHOLE, Parameter(validator=BATCH, help="Messages per batch: no outcome depends on it.")
    ] = 1000,
) -> None:
    from flows.replay import replay as run_replay

    settings = start(context=False)
    with _empty_ledger(postgres) as dsn, counting("replaying") as count:
        report = run_replay(
            file,
            postgres_dsn=dsn,
            window_ms=window_ms or settings.window_ms,
            batch_size=batch_size,
            on_messages=count,
        )
    print_json(asdict(report))
    if is_terminal():
        print_status(
            f"{file} gives {report.windows:,} windows with {report.bids:,} bids; the same log "
            "always gives this digest"
        )


def each_counted(lines: Iterable[T], count: Callable[[int], None]) -> Iterator[T]:
    """The lines, each counted as it passes."""
    for line in lines:
        count(1)
        yield line


@contextmanager
def _whole_or_not(file: Path) -> Iterator[Path]:
    """Where to write what becomes the file, which is replaced at the end.

    What exists and is not a file, such as a device or a pipe, is written to and never replaced.
    """
    in_place = file.exists() and not file.is_file()
    part = file if in_place else file.with_name(f"{file.name}.part")
    try:
        yield part
        part.replace(file)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SettingsError(
            "the log cannot be written",
            detail=f"{file}: {error.strerror or error}",
            hint="Name a file in a folder that exists, on a disk with room",
        ) from error
    finally:
        if not in_place:
            part.unlink(missing_ok=True)


@contextmanager
def _empty_ledger(postgres_dsn: str | None) -> Iterator[str]:
    """The database that was named, or one that is deleted after the block."""
    if postgres_dsn is not None:
        yield postgres_dsn
        return
    from connectors.embedded.servers import embedded

    with (
        TemporaryDirectory(prefix="walras-replay-") as folder,
        embedded(Path(folder), shards=1) as own,
    ):
        yield own.postgres_dsn
