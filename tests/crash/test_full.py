"""Full logs and full disks: senders are refused, what was acknowledged is settled in the end."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from connectors.nats import publisher as outbox
from connectors.nats.background_loop import run_sync
from connectors.nats.commands import open_commands
from connectors.nats.topology import shard_config
from state.errors import ServerUnreachable, WalrasError
from tests.crash.log import TICK, next_window, publish
from tests.crash.process import WITHIN_S
from tests.crash.server_pair import WINDOW_MS, Market, market, server_pair
from tests.support.eventually import eventually
from tests.support.nats_logs import last_seq
from tests.support.servers import open_folder
from walras_client import new_event_id
from walras_client.nats.jetstream import ask

LOG = "SHARD_0"
SOME_BYTES = 1 << 20
OUTCOMES = """
    SELECT (SELECT count(*) FROM walras.bids) + (SELECT count(*) FROM walras.commands)
        + (SELECT count(*) FROM walras.dead_letters)
"""


def bid(places: int) -> tuple[str, str, bytes]:
    """A bid, the larger the more places it names: subject, event id, payload."""
    event_id = new_event_id()
    bundle = {f"{place:060}": 1 for place in range(places)}
    command = {"type": "bid_placed", "event_id": event_id, "bundle": bundle, "limit_micros": 1}
    return "market.m1.bid.a1", event_id, json.dumps(command).encode()


def bid_until_refused(place: Market, *, places: int) -> tuple[int, WalrasError]:
    """How many bids were acknowledged before one was refused, and how it was."""
    acknowledged = 0
    with open_commands(str(place.settings.nats_url)) as commands:
        while True:
            subject, event_id, payload = bid(places)
            try:
                commands.publish_command(subject, payload, msg_id=event_id)
            except WalrasError as refused:
                return acknowledged, refused
            acknowledged += 1


def outcomes(place: Market) -> int:
    with psycopg.connect(place.dsn) as ledger:
        (counted,) = ledger.execute(OUTCOMES).fetchone() or (0,)
    return int(counted)


@contextmanager
def small_disk(folder: Path, *, size: str) -> Iterator[Path]:
    """A disk of its own for a folder, where this machine lets us have one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder],  # noqa: S607
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk takes root and the right to mount: {mounted.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)  # noqa: S607


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """A disk without room for a block."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        room = os.statvfs(disk)
        file.seek(room.f_bavail * room.f_frsize - SOME_BYTES)
        os.posix_fallocate(file.fileno(), 0, file.tell())
        with suppress(OSError):
            while file.write(bytes(SOME_BYTES // 64)):
                pass
    try:
        yield
    finally:
        ballast.unlink()


def test_a_full_log_refuses_and_forgets_nothing() -> None:
    """A log that dropped its oldest command for the newest would have no beginning to replay."""
    with server_pair() as on, market(on, log_bytes=1 << 20) as place, place.up() as up:
        many, refused = bid_until_refused(place, places=16)
        few, still = bid_until_refused(place, places=1)
        assert {"the log refused the command"} == {refused.what, still.what}
        assert "maximum bytes exceeded (code 10077)" in refused.detail
        assert "raise max_bytes" in refused.hint
        # A tick of the server may lie between them.
        assert 100 < many <= many + few <= last_seq(place.nc, LOG)

        # Ticks are refused too: what is in the open window waits until there is room.
        larger = shard_config(0, shards=1, max_bytes=1 << 24)
        run_sync(ask(place.nc, f"STREAM.UPDATE.{LOG}", larger))
        next_window(WINDOW_MS)
        publish(place.nc, [TICK])
        place.await_end()
        assert many + few == outcomes(place)
        assert 0 == up.stop()
        place.check()


def test_the_disk_of_the_log_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server gives up its streams until it is started again; acknowledged is acknowledged."""
    monkeypatch.setattr(outbox, "ACK_DEADLINE_S", 1.0)
    with (
        open_folder() as folder,
        small_disk(folder / "nats", size="2g") as disk,  # the results reserve one
        server_pair(folder) as on,
        market(on) as place,
        place.up() as up,
    ):
        place.trade([0])
        place.await_end()
        before = outcomes(place)
        with filled(disk):
            acknowledged, refused = bid_until_refused(place, places=16)
            assert ServerUnreachable.exit_code == refused.exit_code
            again, still = bid_until_refused(place, places=1)
            assert (0, refused.exit_code) == (again, still.exit_code)
        with on.without("nats"):
            pass
        place.trade([1])
        place.await_end()
        assert 0 == up.stop()
        place.check()
        assert before + acknowledged <= outcomes(place)


def test_the_disk_of_the_ledger_is_full() -> None:
    """A window that half fits must be there as a whole once there is room, and until then not."""
    with (
        open_folder() as folder,
        small_disk(folder / "postgres", size="1g") as disk,
        server_pair(folder) as on,
        market(on) as place,
        place.up() as up,
    ):
        place.trade([0])
        place.await_end()
        with filled(disk):
            place.trade([1])
            eventually(lambda: "No space left on device" in up.output, within_s=WITHIN_S)
            assert up.runs
        place.trade([2])
        place.await_end()
        assert 0 == up.stop()
        place.check()
