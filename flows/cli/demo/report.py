"""The demo's report: what DuckDB reads in the ledger, as tables that a newcomer can follow.

Promise: every figure comes from committed rows; "this run" counts from the window in which the run
opened its market, "in all" counts everything that the ledger holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flows.analytics.answers import answer, answer_demo
from flows.analytics.questions import DemoQuestion, Question
from flows.cli.demo.audit import Check
from flows.cli.demo.progress import in_credits, sparkline
from flows.cli.installation import command
from flows.cli.reasons import BECAUSE
from flows.simulation.population import KINDS
from flows.simulation.sender import SendStats

LAST_WINDOWS: Final = 8
TREND_WINDOWS: Final = 20
DIGEST_SHOWN: Final = 12
US_PER_MS: Final = 1000
NS_PER_MS: Final = 1_000_000

NEXT_STEPS: Final = {
    "demo": "run it again: the same market continues",
    'sql "FROM bids LIMIT 5"': "query the ledger in SQL",
    "prices demo": "the clearing prices of the last windows",
    "bids demo patient-005": "the outcomes of one agent's bids",
    "log export --shard {shard} demo.jsonl": "its log, one line of JSON per message",
    "replay demo.jsonl": "the same log gives the same digest",
    "up": "a deployment that runs until you stop it",
}

COUNTED: Final = (
    *("bids", "won", "won_in_part", "lost", "withdrawn", "rejected"),
    *("withdrawals", "transfers", "grants", "bidders"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """What to report: the ledger, where this run begins in it, what the agents measured."""

    ledger: duckdb.DuckDBPyConnection
    market: str
    since: int
    stats: SendStats
    checks: Sequence[Check]

    def show(self, console: Console) -> None:
        """All tables, from the windows to the audit."""
        for part in (
            self._windows(),
            self._prices(),
            self._strategies(),
            self._rejections(),
            self._totals(),
            self._audit(),
        ):
            console.print(Padding(part, (1, 1, 0, 1), expand=False))
        for shard, _window, digest in answer(self.ledger, Question.DIGESTS).rows:
            console.print()
            console.print(f" Final digest of shard {shard}\n\n  [bold]{digest}[/]", highlight=False)

    def _windows(self) -> Table:
        rows = self._answer(Question.WINDOWS)
        shown = rows[-LAST_WINDOWS:]
        table = _table(f"Windows: the last {len(shown)} of {len(rows)}")
        for column in ("window", "closed at", "bids", "won", "rejected", "credits paid"):
            table.add_column(column, justify="right")
        table.add_column("digest", style="dim")
        for row in shown:
            table.add_row(
                str(row["window_id"]),
                row["closed_at"][11:19],
                *(f"{row[name]:,}" for name in ("bids", "won", "rejected")),
                in_credits(row["paid_micros"], decimals=2),
                row["digest"][:DIGEST_SHOWN],
            )
        return table

    def _prices(self) -> Table:
        table = _table("Prices, in credits per unit")
        table.add_column("resource")
        for column in ("supply", "demand", "sold", "reference", "last"):
            table.add_column(column, justify="right")
        table.add_column("by window", style="cyan", no_wrap=True)
        for row in self._ask(DemoQuestion.PRICES):
            table.add_row(
                row["resource"],
                f"{row['supply']:,}",
                _percent(row["demanded_percent"]),
                _percent(row["sold_percent"]),
                *(_price(row[f"{name}_micros"]) for name in ("reference", "last")),
                sparkline((row["history"] or [])[-TREND_WINDOWS:]),
            )
        return table

    def _strategies(self) -> Table:
        rows = self._ask(DemoQuestion.STRATEGIES)
        kinds = [row["strategy"] for row in rows]
        resources = sorted({name for row in rows for name in row["quantities"] or {}})
        table = _table("Allocations: what each strategy won, and paid in credits")
        table.caption = "\n".join(f"{kind}: {KINDS[kind]}" for kind in kinds if kind in KINDS)
        table.caption_justify, table.caption_style = "left", "dim not italic"
        table.add_column("strategy")
        for column in ("bids", "won", *resources, "paid"):
            table.add_column(column, justify="right")
        for row in rows:
            won = row["quantities"] or {}
            table.add_row(
                row["strategy"],
                f"{row['bids']:,}",
                _percent(row["won_percent"]),
                *(f"{won[name]:,}" if name in won else "-" for name in resources),
                in_credits(row["paid_micros"], decimals=2),
            )
        return table

    def _rejections(self) -> Table:
        table = _table("Rejections")
        table.add_column("command")
        table.add_column("reason")
        table.add_column("rejected", justify="right")
        table.add_column("because", style="dim")
        for row in self._answer(Question.REJECTIONS):
            meaning = BECAUSE.get(row["reason"], "")
            table.add_row(row["kind"], row["reason"], f"{row['rejected']:,}", meaning)
        return table

    def _totals(self) -> Table:
        table = _table("In figures")
        table.add_column("")
        table.add_column("this run", justify="right")
        table.add_column("in all", justify="right")
        ours, whole = (dict(self._figures(since)) for since in (self.since, 0))
        for name, figure in ours.items():
            table.add_row(name, figure, whole[name])
        table.add_row("publish to acknowledgement, p50 / p99", _acks(self.stats.ack_ns), "")
        return table

    def _figures(self, since: int) -> Iterator[tuple[str, str]]:
        run = {"market": self.market, "since": since}
        (totals,) = answer_demo(self.ledger, DemoQuestion.FIGURES, **run).records()
        (passed,) = answer(self.ledger, Question.THROUGHPUT, since=since).records()
        (waited,) = answer(self.ledger, Question.LATENCY, since=since).records()
        yield "windows", f"{passed['windows']:,}"
        for name in COUNTED:
            yield name.replace("_", " "), f"{totals[name]:,}"
        yield "credits paid", in_credits(totals["paid_micros"], decimals=2)
        yield "bids per second", f"{passed['bids_per_second']:,}"
        yield "publish to commit, p50 / p99", _ms(waited)
        yield "close of the window to commit, p50 / p99", _ms(totals)

    def _audit(self) -> Table:
        table = _table("Audit")
        table.add_column("")
        table.add_column("")
        for check in self.checks:
            mark = Text("✓", "green") if check.holds else Text("✗", "bold red")
            violations = "" if check.holds else f" (violated {check.violations:,} times)"
            table.add_row(mark, check.promise + violations)
        table.show_header = False
        return table

    def _answer(self, question: Question) -> list[dict[str, Any]]:
        return answer(self.ledger, question, market=self.market, since=self.since).records()

    def _ask(self, question: DemoQuestion) -> list[dict[str, Any]]:
        run = {"market": self.market, "since": self.since}
        return answer_demo(self.ledger, question, **run).records()


def show_next_steps(console: Console, *, shard: int) -> None:
    """Commands that work as they stand, for a market in this shard."""
    walras = command()
    console.print(" [bold]What to try next[/]")
    for words, promise in NEXT_STEPS.items():
        console.print(Text(f"\n   {walras} {words.format(shard=shard)}", "cyan"), soft_wrap=True)
        console.print(Text(f"     {promise}"), soft_wrap=True)


def show_addresses(console: Console, lines: Sequence[str]) -> None:
    """Where the market is, to be copied: a line that is too long is not broken by us."""
    console.print("\n [bold]Where it is[/]\n")
    for line in lines:
        console.print(Text(f" {line}"), soft_wrap=True)


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        header_style="dim",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def _price(micros: int | None) -> str:
    return "-" if micros is None else in_credits(micros)


def _percent(value: int | None) -> str:
    return "-" if value is None else f"{value} %"


def _ms(quantiles: Mapping[str, int | None]) -> str:
    p50_us, p99_us = quantiles["p50_us"], quantiles["p99_us"]
    if p50_us is None or p99_us is None:
        return "-"
    return f"{p50_us // US_PER_MS:,} / {p99_us // US_PER_MS:,} ms"


def _acks(ack_ns: Sequence[int]) -> str:
    if not ack_ns:
        return "-"
    ranked = sorted(ack_ns)
    p50, p99 = (ranked[len(ranked) * percent // 100] / NS_PER_MS for percent in (50, 99))
    return f"{p50:.1f} / {p99:.1f} ms"
