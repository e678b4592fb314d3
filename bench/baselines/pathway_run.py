"""Run and measure baseline (d), from the start of its engine until all bids are in its table.

Promise: its process ends with the measurement, however that ends.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import UndefinedTable

from bench.baselines.contract import Job
from bench.report.runs import BaselineRun
from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.nats.subjects import stream_name
from state.errors import WalrasError
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import ask

PROGRAM: Final = Path(__file__).with_name("pathway_program.py")
POLL_INTERVAL_S: Final = 0.1
DEADLINE_S: Final = 120.0
STREAM: Final = stream_name(0)

Program = subprocess.Popen[str]


def run_pathway(python: Path, job: Job) -> BaselineRun:
    """Run the program with a Python that has Pathway installed."""
    with open_on_loop(connected(job.nats_url, name="walras bench")) as nc:
        run_sync(_delete_consumers(nc))
    with (
        TemporaryFile("w+") as stderr,
        _running(python, job, stderr) as program,
        psycopg.connect(job.dsn, autocommit=True) as connection,
    ):
        began = time.perf_counter()
        settled = _wait_for(job.workload.bids, connection, program, stderr)
        seconds = time.perf_counter() - began
    return BaselineRun(settled=settled, dropped=job.workload.bids - settled, seconds=seconds)


@contextmanager
def _running(python: Path, job: Job, stderr: IO[str]) -> Iterator[Program]:
    job_fields = {
        "nats_url": job.nats_url,
        "postgres": conninfo_to_dict(job.dsn),
        "stream": STREAM,
        "subjects": f"shard.0.market.{job.workload.market}.bid.>",
        "window_ms": job.workload.window_ms,
        "supply": job.workload.supply,
    }
    with subprocess.Popen(
        [python, PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    ) as program:
        try:
            _start(program, job_fields, stderr)
            yield program
        finally:
            program.kill()


def _start(program: Program, job_fields: object, stderr: IO[str]) -> None:
    """Hand the job over, and return when the engine is about to start."""
    assert program.stdin is not None
    assert program.stdout is not None
    with suppress(BrokenPipeError), program.stdin:  # it has exited: the next line is missing
        program.stdin.write(json.dumps(job_fields))
    if program.stdout.readline() != "running\n":
        raise _exited(program, stderr)


async def _delete_consumers(nc: Connection) -> None:
    """Its consumer is durable under one name: a second run would find nothing left."""
    consumers = await ask(nc, f"CONSUMER.NAMES.{STREAM}")
    for consumer in consumers["consumers"] or []:
        await ask(nc, f"CONSUMER.DELETE.{STREAM}.{consumer}")


def _wait_for(bids: int, connection: psycopg.Connection, program: Program, stderr: IO[str]) -> int:
    deadline_s = time.monotonic() + DEADLINE_S
    while (settled := _settled(connection)) < bids and time.monotonic() < deadline_s:
        if program.poll() is not None:
            raise _exited(program, stderr)
        time.sleep(POLL_INTERVAL_S)
    if not settled:
        raise WalrasError(
            "the Pathway program settled nothing",
            detail=f"no bid was in its table after {DEADLINE_S:.0f} s",
            hint="Run the benchmark without it",
        )
    return settled


def _settled(connection: psycopg.Connection) -> int:
    try:
        ((count,),) = connection.execute("SELECT count(*) FROM bid").fetchall()
    except UndefinedTable:
        return 0
    return int(count)


def _exited(program: Program, stderr: IO[str]) -> WalrasError:
    code = program.wait()
    stderr.seek(0)
    lines = stderr.read().splitlines() or ["it printed nothing"]
    return WalrasError(
        "the Pathway program exited before its work was done",
        detail=f"exit code {code}: {lines[-1]}",
        hint="Give a Python whose `import pathway` works",
    )
