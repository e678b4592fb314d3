"""How much of the crash tests is run, and the stand that the matrix and the fencing share."""

from collections.abc import Iterator

import pytest

from tests.crash.bench import Stand, standing


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--whole",
        action="store_true",
        help="every failpoint with every fault in every window (give tests/crash on the line)",
    )


@pytest.fixture(scope="package")
def stand() -> Iterator[Stand]:
    """Servers with a log that has ended; each case has a ledger of its own."""
    with standing() as made:
        yield made
