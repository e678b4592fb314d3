"""How much of the crash tests is run, and the bench that the matrix and the fencing share."""

from collections.abc import Iterator

import pytest

from tests.crash.bench import CrashBench, crash_bench


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--whole",
        action="store_true",
        help="every failpoint with every fault in every window (give tests/crash on the line)",
    )


@pytest.fixture(scope="package")
def bench() -> Iterator[CrashBench]:
    """Servers with a log that has ended; each case has a ledger of its own."""
    with crash_bench() as made:
        yield made
