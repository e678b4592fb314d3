"""What was published last on each subject, however many there are."""

from connectors.nats.background_loop import run_sync
from connectors.nats.last_by_subject import SUBJECTS_MAX, last_by_subject
from connectors.nats.publisher import Publisher
from connectors.nats.subjects import RESULTS
from tests.support.nats_logs import make_streams
from walras_client.nats.connection import Connection


async def publish(nc: Connection, subjects: list[str], payload: bytes) -> None:
    publisher = Publisher(nc)
    acks = [
        await publisher.publish_async(subject, payload, msg_id=f"{subject} {payload[:9]!r}")
        for subject in subjects
    ]
    for ack in acks:
        await ack


def test_the_latest_of_many_subjects(nc: Connection) -> None:
    """An old quote that is taken for the last is followed by a second one for its window."""
    make_streams(nc)
    subjects = [f"result.m1.a{number}" for number in range(SUBJECTS_MAX + 200)]
    run_sync(publish(nc, subjects, b"1"))
    run_sync(publish(nc, subjects[::2], b"2"))
    found = run_sync(last_by_subject(nc, RESULTS, [*subjects, "result.m1.nobody"]))
    assert {subject: b"12"[1 - at % 2 :][:1] for at, subject in enumerate(subjects)} == found


def test_nothing_was_published(nc: Connection) -> None:
    """The first window of a market."""
    make_streams(nc)
    assert {} == run_sync(last_by_subject(nc, RESULTS, ["result.m1.a1"]))


def test_answers_that_are_large(nc: Connection) -> None:
    """The server may end its answer before it is complete."""
    make_streams(nc)
    subjects = [f"result.m1.a{number}" for number in range(80)]
    large = bytes(1 << 20)
    run_sync(publish(nc, subjects, large))
    assert dict.fromkeys(subjects, large) == run_sync(last_by_subject(nc, RESULTS, subjects))
