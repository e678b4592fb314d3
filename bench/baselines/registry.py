"""The baselines that are measured beside Walras, and how one of them runs.

Promise: each runs in a process of its own, on the log that Walras drained, into an empty database
of the same server.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Final

from bench.baselines.bytewax_tutorial import run_bytewax_tutorial
from bench.baselines.contract import Baseline, Job
from bench.baselines.pathway_run import run_pathway
from bench.baselines.sqlalchemy_session import run_by_batch, run_by_bid
from bench.baselines.version_before import revision_of, run_version
from bench.harness.instrumented_flow import SHARD
from bench.harness.isolated import isolated_process
from bench.harness.testbed import LoadedLog, Testbed
from bench.report.runs import BaselineRun
from bench.workload import Workload

SESSION_LACKS: Final = (
    "no ledger of movements; a bid that is delivered twice fails the batch; the window depends on "
    "the reader; two readers overspend; a crash in a cycle leaves half a window"
)

BASELINES: Final = (
    Baseline(
        key="a",
        what="asyncio and an SQLAlchemy session, a commit per bid, then a sorted greedy cycle",
        does_not_guarantee=SESSION_LACKS,
        bids_max=600,
        run=run_by_bid,
        once=True,
    ),
    Baseline(
        key="b",
        what="the same with a commit per batch of 500 bids",
        does_not_guarantee=SESSION_LACKS,
        bids_max=3_000,
        run=run_by_batch,
        once=True,
    ),
    Baseline(
        key="c",
        what="Bytewax as in its tutorials: one item per bid, its own windows, one transaction each",
        does_not_guarantee="no ledger of movements; bids that come late by the reader's clock are "
        "dropped; a restart loses or repeats windows; nothing fences two writers",
        bids_max=20_000,
        run=run_bytewax_tutorial,
        once=True,
    ),
)


def available_baselines(
    pathway_python: Path | None, version_before: str | None = None
) -> tuple[Baseline, ...]:
    """All baselines; those with an environment of their own only where they are asked for."""
    pathway = [_pathway(pathway_python)] if pathway_python else []
    version = [_version(version_before)] if version_before else []
    return (*BASELINES, *pathway, *version)


def _pathway(python: Path) -> Baseline:
    return Baseline(
        key="d",
        what="Pathway with its own connectors, the greedy allocation in a Python function",
        does_not_guarantee="no balances, as its connector does not say who bids; no ledger of "
        "movements; windows by the sender's clock; outcomes of an open window change",
        bids_max=sys.maxsize,
        run=partial(run_pathway, python),
    )


def _version(commit: str) -> Baseline:
    revision_of(commit)  # a misspelt one is an error now, and not after minutes of other work
    return Baseline(
        key="e",
        what=f"Walras at commit {commit}, with servers and an environment of its own",
        does_not_guarantee="what that version did not",
        bids_max=sys.maxsize,
        run=partial(run_version, commit),
    )


def run_baseline(
    testbed: Testbed,
    baseline: Baseline,
    workload: Workload,
    loaded: LoadedLog,
    *,
    bids_max: int | None = None,
) -> BaselineRun:
    """Let a baseline drain the log, at most up to its own limit of bids or a lower one."""
    with testbed.database() as empty, isolated_process() as process:
        job = Job(
            nats_url=empty.nats_url,
            dsn=empty.postgres_dsn,
            folder=testbed.home.parent,
            workload=workload,
            last_seq=loaded.last_seq[SHARD],
            bids_max=min(baseline.bids_max, bids_max or workload.bids),
        )
        return process.run(baseline.run, job)
