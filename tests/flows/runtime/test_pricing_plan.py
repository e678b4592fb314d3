"""The operator's choice of controllers, from the market file to the pricing flow."""

import tomllib
from pathlib import Path

import psycopg
import pytest

from connectors.postgres.migrate import migrate
from flows.cli.market_file import read_market_file, read_pricing
from flows.runtime.pricing_plan import parse_plan, read_plan, save_plan
from operators.pricing_rules import Eip1559, Ewma, Fixed, Vwap
from operators.quote import Plan
from state.errors import SettingsError

EVENT_ID = "01970000-0000-7000-8000-000000000000"
FILE = """
[resources.cpu]
supply = 5
initial_price_micros = 300
[resources.cpu.pricing]
controller = "ewma"
half_life_windows = 7
min_micros = 10
max_micros = 900

[resources.gpu]
supply = 5
initial_price_micros = 400
pricing = { controller = "fixed" }

[resources.ram]
supply = 5
initial_price_micros = 500

[resources.tape]
supply = 5
initial_price_micros = 600
reserve_ratio_ppm = 1_000_000
pricing = { controller = "eip1559", target_ppm = 900_000 }
"""
PLAN: Plan = {
    "cpu": Ewma(half_life_windows=7, min_micros=10, max_micros=900),
    "gpu": Fixed(price_micros=400),
    "tape": Eip1559(target_ppm=900_000),
}


def pricing_of(table: str, *, ratio_ppm: int = 0) -> Plan:
    text = f"[resources.gpu]\ninitial_price_micros = 3\nreserve_ratio_ppm = {ratio_ppm}\n{table}"
    return parse_plan(tomllib.loads(text))[1]


def test_a_market_file_chooses_controllers(tmp_path: Path) -> None:
    """The command on the wire must not carry what the log would refuse."""
    file = tmp_path / "m.toml"
    file.write_text(FILE)
    assert PLAN == read_pricing(file)
    opened = read_market_file(file, event_id=EVENT_ID)
    assert ["cpu", "gpu", "ram", "tape"] == list(opened.resources)


@pytest.mark.parametrize(
    ("pricing", "named"),
    [
        ("3", "Expected `object`, got `int`"),
        ("{}", "missing required field `controller`"),
        ('{ controller = "pid" }', "Invalid value 'pid' - at `controller`"),
        ('{ controller = "vwap", half_life_windows = 3 }', "unknown field `half_life_windows`"),
        ('{ controller = "vwap", windows = 0 }', "Expected `int` >= 1 - at `windows`"),
        ('{ controller = "vwap", windows = 10_001 }', "<= 10000"),
        ('{ controller = "ewma", half_life_windows = 2.5 }', "Expected `int`, got `float`"),
        ('{ controller = "ewma", half_life_windows = 1_001 }', "<= 1000"),
        ('{ controller = "eip1559", target_ppm = 1_000_001 }', "<= 1000000 - at `target_ppm`"),
        ('{ controller = "fixed", price_micros = 0 }', ">= 1 - at `price_micros`"),
        ('{ controller = "vwap", min_micros = true }', "got `bool` - at `min_micros`"),
        ('{ controller = "vwap", min_micros = 5, max_micros = 4 }', "5 is above max_micros 4"),
    ],
)
def test_what_is_wrong_is_named(pricing: str, named: str) -> None:
    """A choice that is quietly corrected prices the market in a way that nobody chose."""
    with pytest.raises(SettingsError) as refused:
        pricing_of(f"pricing = {pricing}")
    assert refused.value.detail.startswith("resources.gpu.pricing: ")
    assert named in refused.value.detail


@pytest.mark.parametrize("controller", ["vwap", "ewma"])
def test_a_ratchet_is_refused(controller: str) -> None:
    """A floor at the price itself: nothing sells below, and the average could only ever rise."""
    pricing = f'pricing = {{ controller = "{controller}" }}'
    assert pricing_of(pricing, ratio_ppm=999_999)
    with pytest.raises(SettingsError, match="can never fall"):
        pricing_of(pricing, ratio_ppm=1_000_000)


LISTED = """
    INSERT INTO ledger.listed_resource SELECT 'm1', resource, 5, 3, 0, ratio_ppm, 0
    FROM (VALUES ('cpu', 0), ('gpu', 0), ('ram', 0), ('rom', 1)) AS listed (resource, ratio_ppm)
"""


def test_what_is_saved_is_followed(postgres_dsn: str) -> None:
    """A plan that changes on its way is a price that nobody chose; none is the usual one."""
    migrate(postgres_dsn)
    save_plan(postgres_dsn, "m1", PLAN)
    with psycopg.connect(postgres_dsn, autocommit=True) as ledger:
        assert {} == read_plan(ledger, "m1")
        ledger.execute(LISTED)
        usual = {"ram": Vwap(), "rom": Eip1559()}
        assert {"cpu": PLAN["cpu"], "gpu": PLAN["gpu"], **usual} == read_plan(ledger, "m1")
        save_plan(postgres_dsn, "m1", {})
        assert {"cpu": Vwap(), "gpu": Vwap(), **usual} == read_plan(ledger, "m1")
