"""What was told last on each subject, however many there are."""

from connectors.nats.background_loop import wait_for
from connectors.nats.connection import Line
from connectors.nats.last_by_subject import SUBJECTS_MAX, latest
from connectors.nats.publisher import Outbox
from connectors.nats.subjects import RESULTS
from tests.support.nats_logs import make_streams


async def tell(nc: Line, subjects: list[str], payload: bytes) -> None:
    async with Outbox(nc) as outbox:
        receipts = [
            await outbox.post(subject, payload, msg_id=f"{subject} {payload[:9]!r}")
            for subject in subjects
        ]
        for receipt in receipts:
            await receipt


def test_the_latest_of_many_subjects(nc: Line) -> None:
    """A result that is taken for untold is told twice, one that is taken for told never."""
    make_streams(nc)
    subjects = [f"result.m1.a{number}" for number in range(SUBJECTS_MAX + 200)]
    wait_for(tell(nc, subjects, b"1"))
    wait_for(tell(nc, subjects[::2], b"2"))
    found = wait_for(latest(nc, RESULTS, [*subjects, "result.m1.nobody"]))
    assert found == {subject: b"12"[1 - at % 2 :][:1] for at, subject in enumerate(subjects)}


def test_nothing_was_told(nc: Line) -> None:
    """The first window of a market."""
    make_streams(nc)
    assert {} == wait_for(latest(nc, RESULTS, ["result.m1.a1"]))


def test_answers_that_are_large(nc: Line) -> None:
    """The server may end its answer before it is complete."""
    make_streams(nc)
    subjects = [f"result.m1.a{number}" for number in range(80)]
    large = bytes(1 << 20)
    wait_for(tell(nc, subjects, large))
    assert dict.fromkeys(subjects, large) == wait_for(latest(nc, RESULTS, subjects))
