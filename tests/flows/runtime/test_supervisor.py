"""The supervisor: who runs which shard, and how long and how loud an outage is waited out."""

import threading
from dataclasses import dataclass, field

import pytest

from flows.runtime import supervisor
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from flows.runtime.supervisor import Outage, split
from state.errors import ServerUnreachable
from tests.flows.runtime.test_child_process import in_background
from tests.support.eventually import eventually
from walras_client.backoff import Backoff

SILENT = ServerUnreachable("the server is silent", detail="d", hint="h")
SERVERS = Servers(nats_url="nats://n", postgres_dsn="postgresql://p")


@dataclass(slots=True)
class Clock:
    """The seconds that have passed, to be set."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


class NoWait(threading.Event):
    """A stop that is never requested, and on which no wait takes any time."""

    def wait(self, timeout: float | None = None) -> bool:
        return timeout is None


@dataclass(slots=True)
class Place:
    """An outage whose time is set by the test; it is given up after ten seconds."""

    clock: Clock = field(default_factory=Clock)
    outage: Outage = field(init=False)

    def __post_init__(self) -> None:
        backoff = Backoff(10, clock=self.clock)
        self.outage = Outage(NoWait(), backoff=backoff, clock=self.clock)

    def fail(self, *, at_s: float) -> None:
        self.clock.now_s = at_s
        self.outage.wait(SILENT)

    def begin_run(self, *, at_s: float) -> None:
        self.clock.now_s = at_s
        self.outage.run_begins()


@pytest.fixture
def place() -> Place:
    return Place()


def test_it_is_logged_once(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """A line per second buries the one that says what happened."""
    for second in range(9):
        place.fail(at_s=second)
    place.begin_run(at_s=9)
    begin, end = caplog.messages
    assert begin.startswith("server unavailable, retrying: the server is silent")
    assert "servers available again, the flow resumes" == end


def test_it_has_an_end(place: Place) -> None:
    """What waits for ever looks alive to the people who could repair it."""
    place.fail(at_s=0)
    with pytest.raises(ServerUnreachable):
        place.fail(at_s=11)


def test_answers_alone_do_not_begin_it_anew(place: Place) -> None:
    """A database that takes the claim and no window would be tried for ever."""
    place.fail(at_s=0)
    place.begin_run(at_s=6)
    place.fail(at_s=6)
    place.begin_run(at_s=11)
    with pytest.raises(ServerUnreachable):
        place.fail(at_s=11)


def test_a_run_that_worked_ends_it(place: Place) -> None:
    """The outage of tomorrow is not the one of today."""
    place.fail(at_s=0)
    place.begin_run(at_s=1)
    place.fail(at_s=2 + supervisor.WORKED_S)


def test_a_stop_ends_the_wait() -> None:
    """A deployment that is stopped in an outage must not wait for the next attempt."""
    stop = threading.Event()
    outage = Outage(stop, backoff=Backoff(7200, min_s=3600, max_s=3600))
    waiting = in_background(lambda: outage.wait(SILENT))
    stop.set()
    eventually(lambda: not waiting.is_alive())


@pytest.mark.parametrize(
    ("shards", "processes", "expected"),
    [
        (1, 1, [(0,)]),
        (5, 2, [(0, 2, 4), (1, 3)]),
        (4, 4, [(0,), (1,), (2,), (3,)]),
        (2, 3, [(0,), (1,)]),
    ],
)
def test_each_shard_has_one_process_and_each_process_a_shard(
    shards: int, processes: int, expected: list[tuple[int, ...]]
) -> None:
    """Two that claim one shard replace each other; one without any has nothing to do."""
    tasks = split(Settings(shards=shards, processes=processes), SERVERS)
    assert expected == [task.shards for task in tasks]
