"""The operator's choice of controllers, from the market file to the pricing flow."""

import tomllib
from pathlib import Path

import psycopg
import pytest

from connectors.postgres.migrate import migrate
from flows.cli.market_file import read_market_file, read_pricing
from flows.runtime.pricing_plan import Choices, parse_choices, read_plan, save_choices
from operators.pricing_rules import (
    AnchoredEip1559,
    Eip1559,
    Ewma,
    Fixed,
    Tatonnement,
    Vwap,
)
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
CHOSEN: Choices = {
    "cpu": Ewma(half_life_windows=7, min_micros=10, max_micros=900),
    "gpu": Fixed(price_micros=400),
    "tape": Eip1559(target_ppm=900_000),
}


def pricing_of(table: str, *, ratio_ppm: int = 0, reserve_micros: int = 0) -> Choices:
    reserves = f"reserve_ratio_ppm = {ratio_ppm}\nreserve_micros = {reserve_micros}"
    text = f"[resources.gpu]\ninitial_price_micros = 3\n{reserves}\n{table}"
    return parse_choices(tomllib.loads(text))[1]


def test_a_market_file_chooses_controllers(tmp_path: Path) -> None:
    """The command on the wire must not carry what the log would refuse."""
    file = tmp_path / "m.toml"
    file.write_text(FILE)
    assert CHOSEN == read_pricing(file)
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


def test_a_tatonnement_above_its_own_price_is_refused() -> None:
    """Each price paid is above the reference, and each step would begin there: nothing sells."""
    pricing = 'pricing = { controller = "tatonnement" }'
    assert pricing_of(pricing, ratio_ppm=1_000_000)
    with pytest.raises(SettingsError, match="eip1559 can price it"):
        pricing_of(pricing, ratio_ppm=1_000_001)


def test_a_bound_below_the_reserve_is_refused() -> None:
    """A reference that cannot reach the reserve would weigh and tell a price that nobody pays."""
    bounded = 'pricing = { controller = "vwap", max_micros = 40 }'
    assert pricing_of(bounded, reserve_micros=40)
    with pytest.raises(SettingsError, match="max_micros 40 is below reserve_micros 41"):
        pricing_of(bounded, reserve_micros=41)


LISTED = """
    INSERT INTO ledger.listed_resource SELECT %s, resource, 5, 3, reserve, ratio_ppm, 0
    FROM (VALUES ('cpu', 0, 0), ('gpu', 0, 0), ('ram', 0, 0), ('rom', 0, 1), ('tape', 60, 0))
        AS listed (resource, reserve, ratio_ppm)
    WHERE resource = ANY(%s)
"""


def test_what_is_saved_is_followed(postgres_dsn: str) -> None:
    """A plan that changes on its way is a price that nobody chose; none is the usual one."""
    migrate(postgres_dsn)
    save_choices(postgres_dsn, "m1", CHOSEN)
    with psycopg.connect(postgres_dsn, autocommit=True) as ledger:
        assert {} == read_plan(ledger, "m1")
        ledger.execute(LISTED, ["m1", ["cpu", "gpu", "ram", "rom", "tape"]])
        usual = {"ram": Tatonnement(), "rom": Tatonnement()}
        tape = AnchoredEip1559(target_ppm=900_000, min_micros=60)
        chosen = {"cpu": CHOSEN["cpu"], "gpu": CHOSEN["gpu"], "tape": tape}
        assert chosen | usual == read_plan(ledger, "m1")
        save_choices(postgres_dsn, "m1", {})
        unchosen = {"cpu": Tatonnement(), "gpu": Tatonnement(), "tape": Tatonnement(min_micros=60)}
        assert unchosen | usual == read_plan(ledger, "m1")


@pytest.mark.parametrize(("resource", "usual"), [("cpu", Vwap()), ("rom", Eip1559())])
def test_a_market_of_one_resource_is_priced_by_other_rules(
    postgres_dsn: str, resource: str, usual: Vwap | Eip1559
) -> None:
    """Where nothing is weighed against it a price may follow more slowly."""
    migrate(postgres_dsn)
    with psycopg.connect(postgres_dsn, autocommit=True) as ledger:
        ledger.execute(LISTED, ["m1", [resource]])
        assert {resource: usual} == read_plan(ledger, "m1")
