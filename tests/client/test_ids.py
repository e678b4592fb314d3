"""The ids of commands: in time for the market, and in the order in which they were drawn."""

import re
import time
from itertools import pairwise
from typing import Final

from walras_client import new_event_id
from walras_schemas import EVENT_ID_PATTERN, uuid7_ms

COUNT: Final = 100_000


def test_ids_ascend_also_within_a_millisecond() -> None:
    """Who sorts an agent's commands by their ids must see them in the order it sent them."""
    ids = [new_event_id() for _ in range(COUNT)]
    assert all(earlier < later for earlier, later in pairwise(ids))
    milliseconds = {uuid7_ms(one) for one in ids}
    assert len(milliseconds) < COUNT / 10, "too few shared a millisecond to prove anything"


def test_an_id_is_one_of_the_registry_and_of_now() -> None:
    """Any other is malformed or stale, and the command is lost."""
    before_ms = time.time_ns() // 1_000_000
    drawn = new_event_id()
    after_ms = time.time_ns() // 1_000_000
    assert re.fullmatch(EVENT_ID_PATTERN, drawn)
    assert before_ms <= uuid7_ms(drawn) <= after_ms
