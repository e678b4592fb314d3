"""Two workers on one shard: one writes, the other stops and says why, however long it slept."""

import signal
import time

import pytest
from nats.aio.client import Client

from connectors.nats.api import NS_PER_S, ask
from connectors.nats.loop import wait_for
from connectors.nats.streams import RESULT_DEDUPE_S, results_config
from connectors.nats.subjects import RESULTS
from tests.connectors.nats.logs import eventually
from tests.crash.log import TICK, next_window, say
from tests.crash.process import WITHIN_S, Limits, Up, stand_still
from tests.crash.stand import Stand

REPLACED = 5
ASLEEP = ["copy.bid", "publish.before"]
"""With the shard's lock in its hands, and with results that its successor will have told."""


def wake(zombie: Up, nc: Client) -> None:
    """Let it go on; where it has done all there was, the next window is what tells it."""
    zombie.signal(signal.SIGCONT)
    next_window()
    say(nc, [TICK])
    assert REPLACED == zombie.wait(within_s=WITHIN_S)
    assert "error: another worker has claimed shard 0: " in zombie.said


@pytest.mark.parametrize("point", ASLEEP)
def test_asleep_for_longer_than_any_timeout(stand: Stand, point: str) -> None:
    """When it wakes up, the servers have forgotten its locks, its sessions and its message ids."""
    with stand.case() as case:
        forget_ids_after(stand.nc, seconds=1)
        with case.up(f"{point}:pause@2", Limits(late_s=0.5)) as zombie:
            stand_still(zombie)
            with case.up(limits=Limits(late_s=0.5)) as successor:
                case.await_end()
                forgotten_at_s = time.monotonic() + 2
                eventually(lambda: time.monotonic() > forgotten_at_s)
                wake(zombie, stand.nc)
                assert 0 == successor.stop()
        case.check()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("point", ASLEEP)
def test_asleep_for_longer_than_any_real_timeout(
    stand: Stand, point: str, request: pytest.FixtureRequest
) -> None:
    """The limits above are shortened; these are the ones of a deployment."""
    if not request.config.getoption("--whole", default=False):
        pytest.skip("five minutes and a half for each point: only with --whole")
    with stand.case() as case, case.up(f"{point}:pause@2") as zombie:
        stand_still(zombie)
        with case.up() as successor:
            case.await_end()
            forgotten_at_s = time.monotonic() + RESULT_DEDUPE_S + 30
            eventually(lambda: time.monotonic() > forgotten_at_s, within_s=RESULT_DEDUPE_S + 60)
            wake(zombie, stand.nc)
            assert 0 == successor.stop()
        case.check()


def forget_ids_after(nc: Client, *, seconds: int) -> None:
    """Let the stream of results know the ids of the last moments only."""
    wait_for(ask(nc, f"STREAM.DELETE.{RESULTS}"))
    forgetful = results_config() | {"duplicate_window": seconds * NS_PER_S}
    wait_for(ask(nc, f"STREAM.CREATE.{RESULTS}", forgetful))
