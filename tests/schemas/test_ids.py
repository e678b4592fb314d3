"""The time inside an event id."""

import uuid

import pytest

from walras_schemas import uuid7_ms


@pytest.mark.parametrize(
    ("event_id", "expected"),
    [
        ("017f22e2-79b0-7cc3-98c4-dc0c0c07398f", 1645557742000),  # the example of RFC 9562
        ("017F22E2-79B0-7CC3-98C4-DC0C0C07398F", 1645557742000),
        ("00000000-0000-7000-8000-000000000000", 0),
        ("00000000-0001-7fff-bfff-ffffffffffff", 1),
        ("ffffffff-ffff-7000-8000-000000000000", 2**48 - 1),
    ],
)
def test_an_id_holds_its_milliseconds(event_id: str, expected: int) -> None:
    """A digit too many or too few would make every id stale, or from the future."""
    assert expected == uuid7_ms(event_id)


def test_the_rest_of_an_id_is_no_time() -> None:
    """Two ids of one millisecond, whatever their random bits, are of one time."""
    tail = uuid.UUID(int=2**74 - 1).hex[-12:]
    assert uuid7_ms("017f22e2-79b0-7000-8000-000000000000") == uuid7_ms(
        f"017f22e2-79b0-7fff-bfff-{tail}"
    )
