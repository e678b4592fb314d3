"""The embedded NATS learns of accounts, and streams that were made without them go on in one."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
from nats.js.api import StreamInfo

from connectors.embedded.nats_server import ACCOUNTS_CONFIG, CONFIG, Accounts, start_nats
from connectors.identity.keys import KeyFolder, ensure_keys, trust
from state.errors import SettingsError
from tests.support.servers import open_folder

MESSAGES = 1000


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


def accounts_of(keys: KeyFolder) -> Accounts:
    known = trust(keys, shards=1)
    return Accounts(
        operator=known.operator,
        system_account=known.system_account,
        house_account=known.house_account,
        jwts=known.accounts,
    )


async def fill(url: str) -> StreamInfo:
    nc = await nats.connect(url)
    js = nc.jetstream()
    await js.add_stream(name="SHARD_0", subjects=["shard.0.>"])
    for number in range(MESSAGES - 1):
        await nc.publish(f"shard.0.market.m.bid.a{number}", str(number).encode())
    await js.publish("shard.0.market.m.bid.last", str(MESSAGES - 1).encode())
    info = await js.stream_info("SHARD_0")
    await nc.close()
    return info


async def look(url: str, creds: Path | None) -> tuple[StreamInfo, bytes]:
    nc = await nats.connect(url, user_credentials=str(creds) if creds else None)
    info = await nc.jetstream().stream_info("SHARD_0")
    last = await nc.jetstream().get_msg("SHARD_0", seq=MESSAGES)
    await nc.close()
    assert last.data is not None
    return info, last.data


def test_an_earlier_deployment_keeps_its_log(folder: Path) -> None:
    """The ledger knows its log by creation time and sequence: another one would stop the market."""
    keys = KeyFolder(folder / "keys")
    ensure_keys(keys)
    plain = start_nats(folder / "nats", shards=1)
    before = asyncio.run(fill(plain.url))
    plain.stop()
    for accounts, creds in ((accounts_of(keys), keys.creds("house")), (None, None)) * 2:
        server = start_nats(folder / "nats", shards=1, accounts=accounts)
        try:
            after, last = asyncio.run(look(server.url, creds))
        finally:
            server.stop()
        assert (before.created, MESSAGES, str(MESSAGES - 1).encode()) == (
            after.created,
            after.state.last_seq,
            last,
        )
        assert before.state.messages == after.state.messages


def test_keys_are_made_once_and_for_their_owner(folder: Path) -> None:
    """A second start with other keys would shut out everyone who was let in."""
    keys = KeyFolder(folder / "keys")
    ensure_keys(keys)
    first = {file: file.read_bytes() for file in keys.root.glob("*.*")}
    ensure_keys(keys)
    assert first == {file: file.read_bytes() for file in keys.root.glob("*.*")}
    assert {0o600} == {file.stat().st_mode & 0o777 for file in first}
    assert {0o700} == {at.stat().st_mode & 0o777 for at in (keys.root, keys.cells, keys.users)}


def test_keys_that_others_can_read_are_refused(folder: Path) -> None:
    """Whoever reads the operator's seed is the operator."""
    keys = KeyFolder(folder / "keys")
    ensure_keys(keys)
    keys.seed_file("operator").chmod(0o644)
    with pytest.raises(SettingsError, match="can be read by others"):
        trust(keys, shards=1)
    keys.root.chmod(0o755)
    with pytest.raises(SettingsError, match="open to others"):
        ensure_keys(keys)


def test_a_seed_is_in_no_text(folder: Path) -> None:
    """What is printed by chance ends in a log."""
    keys = KeyFolder(folder / "keys")
    ensure_keys(keys)
    key = keys.key("operator")
    assert key.seed not in f"{key!r} {key}"


@pytest.mark.parametrize("setting", ["max_payload", "sync_interval", "default_max_consumers"])
def test_both_configurations_agree(setting: str) -> None:
    """With accounts the log must be no less durable, nor take other messages."""
    value = re.compile(rf"{setting}: *([^\s}}]+)")
    plain, with_accounts = (value.search(file.read_text()) for file in (CONFIG, ACCOUNTS_CONFIG))
    assert plain is not None
    assert with_accounts is not None
    assert plain[1] == with_accounts[1]
