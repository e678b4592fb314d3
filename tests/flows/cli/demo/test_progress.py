"""What a person sees while the market runs is readable on a terminal and in a file."""

import asyncio
from io import StringIO

import pytest
from rich.console import Console

from flows.cli.demo import progress as demo_progress
from flows.cli.demo.progress import RunView, in_credits, progress, sparkline
from flows.simulation.session import Run
from tests.client.fake_market import window_of
from walras_schemas import ResourcePrice


def running() -> Run:
    """A run of which three windows have cleared; the second sold nothing."""
    run = Run()
    for window_id, clearing_micros in enumerate((1_200, None, 1_400)):
        price = ResourcePrice(
            resource="tokens",
            reference_micros=1_000,
            reserve_micros=0,
            clearing_micros=clearing_micros,
            supply=200,
            demanded=300,
            wanted=300,
            sold=150 if clearing_micros else 0,
            stale=True,
        )
        window = window_of(window_id, next_seq=1).model_copy(update={"prices": [price]})
        run.market.update(window)
    run.market.outcomes.update(won=5, partially_won=1, lost=3, rejected=2, applied=4)
    return run


def text_of(display: object, *, width: int) -> str:
    console = Console(file=StringIO(), width=width, force_terminal=False)
    console.print(display)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_display_fits_its_terminal() -> None:
    """A display that wraps cannot be refreshed in place: it would scroll away."""
    lines = text_of(RunView(running(), seconds=20).display(7.3), width=100).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert ["7", "of", "20", "s", "3", "windows", "cleared"] == lines[0].split()[1:]


def test_display_shows_the_last_price_and_its_trend() -> None:
    """A window that sold nothing has no price: none may be made up for it."""
    (row,) = [
        line.split()
        for line in text_of(RunView(running(), seconds=20).display(3), width=100).splitlines()
        if "tokens" in line
    ]
    assert ["tokens", "0.001400", "75", "%", "▁█"] == row


def test_counts_are_those_of_the_outcomes() -> None:
    """Partly won is won; what was applied is answered, and is not a bid."""
    assert (
        "4 s: 3 windows cleared, 0 commands in the log, 15 answered: 6 won, 3 lost, 2 rejected"
        == RunView(running(), seconds=20).line(4.9)
    )


def test_a_file_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log full of cursor movements is read by nobody."""
    monkeypatch.setattr(demo_progress, "LINE_INTERVAL_S", 0.01)
    console = Console(file=StringIO(), force_terminal=False, width=40)
    assert isinstance(console.file, StringIO)
    written = console.file

    async def watch() -> None:
        async with asyncio.timeout(10), progress(console, running(), seconds=20):
            while written.getvalue().count("\n") < 2:  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.005)

    asyncio.run(watch())
    assert {"0 s: 3 windows cleared"} == {
        line.partition(",")[0] for line in written.getvalue().splitlines()
    }


def test_a_failure_of_the_display_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A display that stops silently looks like a market that stopped."""
    monkeypatch.setattr(demo_progress, "LINE_INTERVAL_S", 0.0)

    async def watch() -> None:
        console = Console(file=StringIO(), force_terminal=False)
        async with progress(console, Run(market=None), seconds=20):  # type: ignore[arg-type]
            await asyncio.sleep(0.05)

    with pytest.raises(AttributeError):
        asyncio.run(watch())


@pytest.mark.parametrize(
    ("values", "bars"),
    [([], ""), ([5], "▁"), ([5, 5], "▁▁"), ([0, 7], "▁█"), ([0, 1, 2, 7], "▁▂▃█")],
)
def test_sparkline_spans_its_values(values: list[int], bars: str) -> None:
    """Equal values must not divide by nothing, and the highest has to look the highest."""
    assert bars == sparkline(values)


@pytest.mark.parametrize(
    ("micros", "decimals", "text"),
    [
        (0, 6, "0.000000"),
        (1, 6, "0.000001"),
        (1_234_567_890, 6, "1,234.567890"),
        (1_234_567_890, 2, "1,234.56"),
    ],
)
def test_credits_are_exact(micros: int, decimals: int, text: str) -> None:
    """Amounts above 2^53 micros would lose their last digits as floats."""
    assert text == in_credits(micros, decimals=decimals)
