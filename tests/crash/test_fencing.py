"""Two workers on one shard: one writes, the other stops and says why, however long it slept."""

import signal
import time

import pytest

from tests.crash.bench import CrashBench
from tests.crash.log import TICK, next_window, publish
from tests.crash.process import WITHIN_S, Up, await_paused
from tests.support.eventually import eventually
from walras_client.nats.connection import Connection

REPLACED = 5
LONGEST_TIMEOUT_S = 90
"""Postgres ends what idles in a transaction after a minute; all other limits are shorter."""
ASLEEP = ["copy.bid", "publish.before", "publish.live"]
"""With the shard's lock in its hands, and with a window that its successor will have published."""


def wake(zombie: Up, nc: Connection) -> None:
    """Let it resume; where it has done all there was, only the next window shows it."""
    zombie.signal(signal.SIGCONT)
    next_window()
    publish(nc, [TICK])
    assert REPLACED == zombie.wait(within_s=WITHIN_S)
    assert "error: another process took over shard 0: " in zombie.output


@pytest.mark.parametrize("point", ASLEEP)
def test_asleep_for_longer_than_any_timeout(bench: CrashBench, point: str) -> None:
    """When it wakes up, the servers have forgotten its locks, its sessions and its message ids."""
    with bench.case(ids_kept_s=1) as case:
        with case.up(f"{point}:pause@2") as zombie:
            await_paused(zombie)
            with case.up() as successor:
                case.await_end(claims=2)
                forgotten_at_s = time.monotonic() + 2
                eventually(lambda: time.monotonic() > forgotten_at_s)
                wake(zombie, bench.nc)
                assert 0 == successor.stop()
        case.check()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("point", ASLEEP)
def test_asleep_for_longer_than_any_real_timeout(
    bench: CrashBench, point: str, request: pytest.FixtureRequest
) -> None:
    """The limits above are shortened; these are the ones of a deployment."""
    if not request.config.getoption("--whole", default=False):
        pytest.skip("a minute and a half for each point: only with --whole")
    with bench.case() as case, case.up(f"{point}:pause@2") as zombie:
        await_paused(zombie)
        with case.up() as successor:
            case.await_end(claims=2)
            forgotten_at_s = time.monotonic() + LONGEST_TIMEOUT_S
            eventually(lambda: time.monotonic() > forgotten_at_s, within_s=2 * LONGEST_TIMEOUT_S)
            wake(zombie, bench.nc)
            assert 0 == successor.stop()
        case.check()
