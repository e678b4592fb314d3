"""What reading commands print: every form is complete, and no number is ever cut."""

import csv
import io
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, get_args

import pytest
from rich.cells import cell_len

from flows.cli import tables
from flows.cli.output import Format, Output, show
from flows.cli.tables import Sheet, line_lines, table_lines
from state.errors import SettingsError

COLUMNS: Final = ("market", "window_id", "agent_id", "bundle", "paid_micros", "reason", "digest")
ROWS: Final = (
    ("demo", 1795837758, "günstig", {"cpu_ms": 1952, "tokens": 7}, 1_500_000, None, "ab" * 32),
    ("demo", 1795837759, "价格", {"tokens": 10**12}, -(10**18) - 1, "unknown_agent", "cd" * 32),
)
BIDS: Final = Sheet(COLUMNS, ROWS, "Bids", first_to_go=("digest", "market"))
RAW: Final = Sheet(COLUMNS, ROWS, in_units=False)
WHOLE: Final = {"1795837758", "1.500000", "-1000000000000.000001", "tokens=1000000000000", "价格"}


def lines(sheet: Sheet, width: int | None) -> list[str]:
    return list(table_lines(sheet, width=width))


def numbers_in(text: str) -> set[str]:
    return set(re.findall(r"-?\d[\d.]*", text))


@pytest.mark.parametrize("width", range(1, 160))
@pytest.mark.parametrize("sheet", [BIDS, RAW], ids=["units", "raw"])
def test_a_table_fits_and_cuts_nothing(sheet: Sheet, width: int) -> None:
    """A price that lost its last digits is worse than one that is not shown."""
    shown = lines(sheet, width)
    whole = set(re.findall(r"[^\s,]+", "\n".join(lines(sheet, None))))
    as_table = not any(line.startswith("── 1 ") for line in shown)
    if as_table:
        assert [] == [line for line in shown if cell_len(line) > width]
        named = " ".join(shown[-8:])
        headings = [heading for heading, _ in sheet.shows()]
        head = shown[1 if sheet.title else 0]
        assert [] == [each for each in headings if each not in head and each not in named]
    else:
        assert WHOLE & whole <= set(re.findall(r"[^\s,]+", "\n".join(shown)))
    assert numbers_in("\n".join(shown)) - {"1", "2"} <= numbers_in("\n".join(lines(sheet, None)))


def test_the_least_important_columns_go_first() -> None:
    """Who reads bids on a small terminal wants to know who paid, not which digest."""
    shown = lines(BIDS, cell_len(lines(BIDS, None)[2]) - len("ab" * 8) - len("  ") - 1)
    assert ["left out: market, digest", "--format line shows all columns"] == shown[-2:]
    assert "paid" in shown[1]


def test_columns_without_a_value_go_before_all_others() -> None:
    """A column of blanks must not push out one with numbers."""
    sheet = Sheet(("a", "empty", "b"), (("x" * 8, None, 12345678),), in_units=False)
    head, _, row, left_out, *_ = lines(sheet, 20)
    assert ["a                b", "xxxxxxxx  12345678", "left out: empty"] == [head, row, left_out]


@pytest.mark.parametrize("form", [form for form in get_args(Format) if form != "csv"])
@pytest.mark.parametrize("sheet", [BIDS, RAW], ids=["units", "raw"])
def test_no_line_is_blank_or_padded(
    capsys: pytest.CaptureFixture[str], sheet: Sheet, form: Format
) -> None:
    """A pipe into `awk` or `diff` trips over spaces that nobody sees."""
    show(sheet, form)
    printed = capsys.readouterr().out
    assert printed.endswith("\n")
    assert [] == [line for line in printed[:-1].split("\n") if line != line.rstrip() or not line]


def test_json_and_csv_are_the_ledgers_own(capsys: pytest.CaptureFixture[str]) -> None:
    """A program must get the same values whether it reads JSON or CSV, and in one unit."""
    show(BIDS, "json")
    records = json.loads(capsys.readouterr().out)
    assert [dict(zip(COLUMNS, row, strict=True)) for row in ROWS] == records
    show(BIDS, "csv")
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert ("1500000", "", {"cpu_ms": 1952, "tokens": 7}) == (
        first["paid_micros"],
        first["reason"],
        json.loads(first["bundle"]),
    )
    assert str(-(10**18) - 1) == second["paid_micros"]


@pytest.mark.parametrize(("form", "expected"), [("json", []), ("csv", "a,b")])
def test_no_rows_are_still_an_answer(
    capsys: pytest.CaptureFixture[str], form: Format, expected: object
) -> None:
    """A program that reads nothing at all cannot tell an empty ledger from a crash."""
    show(Sheet(("a", "b"), ()), form)
    printed = capsys.readouterr().out
    assert expected == (json.loads(printed) if form == "json" else printed.strip())


def test_markdown_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar in a name would begin another cell."""
    show(Sheet(("name", "paid_micros"), (("a|b", 1_500_000),)), "markdown")
    assert "| name | paid |\n| --- | ---: |\n| a\\|b | 1.5 |\n" == capsys.readouterr().out


def test_one_value_per_line() -> None:
    """The form for wide rows shows every column of every row."""
    assert [
        "── 1 ───────────────────────────────────",
        "agent_id  a1",
        "paid      1.5",
        "── 2 ───────────────────────────────────",
        "agent_id",
        "paid      0.0",
    ] == list(
        line_lines(Sheet(("agent_id", "paid_micros"), (("a1", 1_500_000), (None, 0))), width=80)
    )


def test_units_are_converted() -> None:
    """Micro-credits read as credits would make everyone a millionaire."""
    sheet = Sheet(("paid_micros", "p99_us"), ((1_500_000, 1_234_567), (None, None)))
    assert ["paid        p99", "───────────────", " 1.5  1234.5 ms", ""] == lines(sheet, None)


def test_credits_are_aligned_at_their_points() -> None:
    """A column read by its length would make 22.8 credits look less than 1.000001."""
    sheet = Sheet(("paid_micros",), ((22_800_000,), (-1_000_001,), (0,)))
    assert ["22.800000", "-1.000001", " 0.000000"] == lines(sheet, None)[2:]


def test_a_long_answer_is_never_whole_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three million rows must cost the room of some, and the first ones come at once."""
    monkeypatch.setattr(tables, "BLOCK_ROWS", 10)
    read: list[int] = []

    def rows() -> Iterator[tuple[Any, ...]]:
        for number in range(1_000):
            read.append(number)
            yield (number, Decimal(number))

    table = table_lines(Sheet(("a", "b"), rows(), in_units=False), width=80)
    assert ["a  b", "────", "0  0"] == [next(table) for _ in range(3)]
    assert 10 == len(read)
    assert "999  999" == list(table)[-1]


def test_two_formats_are_refused() -> None:
    """Which of the two was meant cannot be guessed."""
    assert "json" == Output(as_json=True, format="json").form
    with pytest.raises(SettingsError, match="two formats"):
        _ = Output(as_json=True, format="csv").form
