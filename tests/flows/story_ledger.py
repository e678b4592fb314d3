"""A ledger that a story wrote: its log through the real flow into a real, empty Postgres."""

from connectors.postgres.connection import connect
from connectors.postgres.ledger.transaction import claim, commit_window
from connectors.postgres.migrate import migrate
from state.shard import StreamIdentity
from tests.stories.writer import WINDOW_MS, read_story
from tests.support.flow import settle_log

IDENTITY = StreamIdentity(name="story", created_ns=1)


def write_ledger(dsn: str, story: str) -> None:
    """Commit every window of the story."""
    migrate(dsn)
    with connect(dsn) as connection:
        shard = claim(connection, 0, identity=IDENTITY, window_ms=WINDOW_MS)
        for closed in settle_log(read_story(story).log, window_ms=WINDOW_MS, shard=shard):
            commit_window(connection, closed, token=shard.token)
