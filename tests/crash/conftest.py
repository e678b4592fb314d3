"""How much of the crash tests is run: a representative part, or with `--whole` every case."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--whole",
        action="store_true",
        help="every failpoint with every fault in every window (give tests/crash on the line)",
    )
