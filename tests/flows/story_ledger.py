"""A ledger that a story wrote: its log through the real flow into a real, empty Postgres."""

from connectors.postgres.connection import connect
from connectors.postgres.ledger.transaction import claim, commit_window
from connectors.postgres.migrate import migrate
from flows.testing import settle_log
from state.shard import StreamIdentity
from tests.stories.writer import WINDOW_MS, read_story

IDENTITY = StreamIdentity(name="story", created_ns=1)


def write_ledger(dsn: str, story: str) -> None:
    """Commit every window of the story."""
    migrate(dsn)
    with connect(dsn) as connection:
        shard = claim(connection, 0, identity=IDENTITY, window_ms=WINDOW_MS)
        settled = settle_log(read_story(story).log, window_ms=WINDOW_MS, shard=shard)
        for closed in settled.windows:
            commit_window(connection, closed, token=shard.token)
