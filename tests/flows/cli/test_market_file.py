"""The file that opens a market: what is accepted is what was meant."""

from pathlib import Path

import pytest

from flows.cli.market_file import read_market_file
from state.errors import SettingsError
from walras_schemas import MarketOpened, ResourceRules

EVENT_ID = "01970000-0000-7000-8000-000000000000"
EXAMPLE = Path(__file__).parents[3] / "examples" / "market.toml"


def refusal(path: Path) -> str:
    with pytest.raises(SettingsError) as raised:
        read_market_file(path, event_id=EVENT_ID)
    assert 2 == raised.value.exit_code
    return raised.value.detail


def test_the_example_opens_a_market() -> None:
    """The first file that a newcomer copies must be one that works."""
    opened = read_market_file(EXAMPLE, event_id=EVENT_ID)
    expected = MarketOpened(
        event_id=EVENT_ID,
        rule="uniform",
        stale_after_windows=60,
        resources={
            "tokens": ResourceRules(supply=100_000, initial_price_micros=1_000),
            "cpu_ms": ResourceRules(supply=60_000, initial_price_micros=2_000),
            "memory_mb": ResourceRules(
                supply=32_768, initial_price_micros=1_500, reserve_micros=500
            ),
            "attention": ResourceRules(
                supply=40, initial_price_micros=2_000_000, reserve_ratio_ppm=500_000
            ),
        },
    )
    assert expected == opened


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["resources"]),
        ("[resources]", ["resources"]),
        ("[resources.gpu]\nsupply = 1", ["resources.gpu.initial_price_micros"]),
        (
            "[resources.gpu]\nsupply = 1.5\ninitial_price_micros = 0",
            ["resources.gpu.supply", "resources.gpu.initial_price_micros"],
        ),
        ("rule = 'dutch'\n[resources.gpu]\nsupply = 1\ninitial_price_micros = 1", ["rule"]),
        ("rules = 'x'\n[resources.gpu]\nsupply = 1\ninitial_price_micros = 1", ["rules"]),
        ("type = 'market_opened'", ["type"]),
        ("rule =", ["invalid TOML"]),
        ("rule = 'uniform'\nrule = 'vickrey'", ["invalid TOML"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: list[str]) -> None:
    """A market that opens with another rule or supply than its file says sells at wrong prices."""
    file = tmp_path / "market.toml"
    file.write_text(text)
    assert expected == [line.split(":")[0] for line in refusal(file).splitlines()]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A typing error in a path is the first mistake of all."""
    (tmp_path / "latin1.toml").write_bytes(b"rule = '\xe9'")
    assert f"{tmp_path}/none.toml: No such file or directory" == refusal(tmp_path / "none.toml")
    assert f"{tmp_path}: Is a directory" == refusal(tmp_path)
    assert refusal(tmp_path / "latin1.toml").startswith("invalid TOML")
