"""The two forms of a bid, and every way to be neither: the rule is shared with fast decoders."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import pytest

from tests.schemas.examples import COMMAND, EVENT_ID, example, refusals, without
from walras_schemas import BidPlaced, bid_form_error

INCOMPLETE: Final = (
    "a bid needs resource, quantity and unit_price_micros, or bundle and limit_micros"
)
HALF_BUNDLE: Final = "a bundle needs bundle and limit_micros"
BOTH: Final = "a bid is a unit bid or a bundle, never fields of both"


@dataclass(frozen=True, slots=True)
class Sketch:
    """A bid as another decoder may hold it: no pydantic, None where nothing was sent."""

    resource: str | None = None
    quantity: int | None = None
    unit_price_micros: int | None = None
    min_quantity: int | None = None
    bundle: Mapping[str, int] | None = None
    limit_micros: int | None = None


UNIT: Final = Sketch(resource="gpu", quantity=3, unit_price_micros=10)
BUNDLE: Final = Sketch(bundle={"gpu": 3}, limit_micros=10)
FORMS: Final = [
    (UNIT, None),
    (replace(UNIT, min_quantity=1), None),
    (replace(UNIT, min_quantity=3), None),
    (replace(UNIT, min_quantity=4), "min_quantity 4 is above quantity 3"),
    (BUNDLE, None),
    (Sketch(), INCOMPLETE),
    (Sketch(min_quantity=1), INCOMPLETE),
    (replace(UNIT, resource=None), INCOMPLETE),
    (replace(UNIT, quantity=None), INCOMPLETE),
    (replace(UNIT, unit_price_micros=None), INCOMPLETE),
    (replace(BUNDLE, bundle=None), HALF_BUNDLE),
    (replace(BUNDLE, limit_micros=None), HALF_BUNDLE),
    (replace(UNIT, limit_micros=10), BOTH),
    (replace(UNIT, bundle={"gpu": 3}), BOTH),
    (replace(UNIT, bundle={"gpu": 3}, limit_micros=10), BOTH),
    (replace(BUNDLE, resource="gpu"), BOTH),
    (replace(BUNDLE, quantity=3), BOTH),
    (replace(BUNDLE, unit_price_micros=10), BOTH),
    (replace(BUNDLE, min_quantity=1), BOTH),
]


@pytest.mark.parametrize(("bid", "expected"), FORMS)
def test_a_bid_is_a_unit_bid_or_a_bundle(bid: Sketch, expected: str | None) -> None:
    """A bid of both forms, or of half a form, could hold one price and pay another."""
    assert expected == bid_form_error(bid)


@pytest.mark.parametrize(("bid", "expected"), FORMS)
def test_the_model_follows_the_same_rule(bid: Sketch, expected: str | None) -> None:
    """If the model and the shared rule parted, two decoders would read two different logs."""
    sent = {
        field: value for field in Sketch.__slots__ if (value := getattr(bid, field)) is not None
    }
    message = {"type": "bid_placed", "event_id": EVENT_ID} | sent
    assert ([] if expected is None else [("", "value_error")]) == refusals(message)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (without("unit bid", "min_quantity"), 1),
        (example("unit bid", min_quantity=500), 500),
        (example("bundle"), None),
    ],
)
def test_only_a_unit_bid_has_a_least_quantity(
    message: dict[str, object], expected: int | None
) -> None:
    """The default of 1 must not turn a bundle into a bid of both forms."""
    bid = COMMAND.validate_python(message)
    assert isinstance(bid, BidPlaced)
    assert expected == bid.min_quantity


def test_a_wrong_field_is_named_once() -> None:
    """The form is judged after the fields, so that a dead letter names one mistake, not two."""
    expected = [("quantity", "int_type")]
    assert expected == refusals(example("unit bid", quantity="5", min_quantity=600))
