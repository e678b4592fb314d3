"""The latest windows of a shard come back from the ledger as they were committed."""

import pytest
from psycopg import Connection

from connectors.postgres.reads import windows
from connectors.postgres.reads.windows import recent_windows
from operators.results import market_windows
from state.window import Settlement
from tests.connectors.postgres.settled import commit_all, settled
from tests.connectors.postgres.windows import WINDOW_MS
from tests.operators.steps import settlements


def active(seed: int) -> list[Settlement]:
    return [each for each in settlements(settled(seed)) if each.markets]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_same_messages_are_made_of_them(conn: Connection, seed: int) -> None:
    """What a crash kept back would be published with other content than its readers can check."""
    commit_all(conn, settled(seed))
    found = list(recent_windows(conn, 0))[::-1]
    assert [each.window_id for each in active(seed)] == [each.window_id for each in found]
    for settlement, summary in zip(active(seed), found, strict=True):
        expected = list(market_windows(settlement, window_ms=WINDOW_MS))
        assert expected == list(market_windows(summary, window_ms=WINDOW_MS))


def test_they_are_read_a_few_at_a_time(conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start looks at the newest: to read a year of windows for it would take minutes."""
    monkeypatch.setattr(windows, "READ_TOGETHER", 2)
    monkeypatch.setattr(windows, "LATEST_MAX", 4)
    commit_all(conn, settled(1))
    latest = [each.window_id for each in settlements(settled(1))[-4:] if each.markets]
    assert latest
    assert latest == [each.window_id for each in recent_windows(conn, 0)][::-1]


def test_a_ledger_without_windows_has_none(conn: Connection) -> None:
    """The first start of a deployment must not fail for want of a past."""
    assert [] == list(recent_windows(conn, 0))
