"""Who is let in at all, how long, and how much of the broker one may take."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from connectors.identity.claims import Limits, credentials, new_key, read, user_jwt
from connectors.identity.keys import HOUSE_ACCOUNT
from connectors.nats.accounts import push_account
from connectors.nats.background_loop import run_sync
from connectors.nats.connection import connect
from state.errors import SettingsError
from tests.isolation.broker import Broker, running, session
from tests.support.eventually import eventually
from walras_client.nats.broker import BrokerAddress

ENDS_S = 2


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running() as started:
        yield started


def refused(broker: Broker, creds: Path | None, login: dict[str, str] | None = None) -> str:
    """What the server says to someone that it does not let in."""

    async def try_it() -> str:
        with pytest.raises(NatsError) as failure:
            async with session(broker, creds, login=login):
                pass
        return str(failure.value).lower()

    return asyncio.run(try_it())


def written(file: Path, jwt: str, seed: str | None = None) -> Path:
    key = new_key("user")
    file.write_text(credentials(jwt, key if seed is None else replace(key, seed=seed)))
    return file


def test_nobody_is_let_in_without_credentials(broker: Broker) -> None:
    """The default set-up of a laptop must not be the one that asks nobody."""
    assert "authorization violation" in refused(broker, None)


def test_a_password_lets_nobody_in(broker: Broker) -> None:
    """A server that also takes passwords has a second door."""
    assert "authorization violation" in refused(
        broker, None, login={"user": "house", "password": "house"}
    )


def test_anothers_claims_without_its_key_let_nobody_in(broker: Broker, tmp_path: Path) -> None:
    """Claims are not secret: what counts is the signature of a nonce."""
    broker.let_in("known")
    jwt = (broker.keys.users / "agent.known.jwt").read_text()
    assert "authorization violation" in refused(broker, written(tmp_path / "stolen", jwt))


def test_an_account_of_ones_own_lets_nobody_in(broker: Broker, tmp_path: Path) -> None:
    """Anyone can sign claims; the broker must ask by whose operator."""
    account, user = new_key("account"), new_key("user")
    jwt = user_jwt(account, user.public, name="house", publish=None, subscribe=None)
    file = written(tmp_path / "own", jwt, user.seed)
    assert "authorization violation" in refused(broker, file)


def test_claims_that_a_user_signs_let_nobody_in(broker: Broker, tmp_path: Path) -> None:
    """Who was let in must not let in others."""
    signer, user = new_key("user"), new_key("user")
    jwt = user_jwt(signer, user.public, name="house", publish=None, subscribe=None)
    assert "authorization violation" in refused(broker, written(tmp_path / "by", jwt, user.seed))


def test_a_foreign_operator_is_not_pushed(broker: Broker) -> None:
    """A deployment that shares a broker must not take over another one's accounts."""
    with pytest.raises(SettingsError, match="refuses the claims"):
        push_account(
            str(BrokerAddress(broker.url, creds=broker.keys.creds("system"))), "eyJ.no.claims"
        )


def test_expired_credentials_let_nobody_in(broker: Broker) -> None:
    """Credentials that were to end and do not are the ones that leak."""
    creds = broker.let_in("late", expires_at=int(time.time()) - 1)
    assert "authorization violation" in refused(broker, creds)


def test_who_expires_while_connected_is_shut_out(broker: Broker) -> None:
    """An agent that never reconnects must not live for ever."""
    creds = broker.let_in("mortal", expires_at=int(time.time()) + ENDS_S)

    async def stay() -> list[str]:
        async with session(broker, creds) as opened:
            await asyncio.wait_for(_until_closed(opened.nc), 20)
            return [str(opened.nc.last_error).lower()]

    (said,) = asyncio.run(stay())
    assert "expired" in said


def test_who_is_revoked_while_connected_is_shut_out(broker: Broker) -> None:
    """Revoking is the way to stop an agent: it must not wait for the agent."""
    creds = broker.let_in("bad")

    async def stay() -> str:
        async with session(broker, creds) as opened:
            await asyncio.to_thread(broker.members.revoke, "bad")
            await asyncio.wait_for(_until_closed(opened.nc), 20)
            return str(opened.nc.last_error).lower()

    assert "revoked" in asyncio.run(stay())
    assert "authorization violation" in refused(broker, creds)


def test_rotated_credentials_let_in_and_the_old_ones_do_not(broker: Broker) -> None:
    """A rotation that leaves the old key valid protects nobody."""
    old = broker.let_in("turned")
    new = old.with_name("turned.new")
    new.write_text(broker.members.rotate("turned"))
    assert "authorization violation" in refused(broker, old)

    async def enter() -> bool:
        async with session(broker, new, inbox="turned") as opened:
            await opened.nc.flush()
            return opened.nc.is_connected

    assert asyncio.run(enter())


def test_a_client_of_ours_reads_rotated_credentials(broker: Broker) -> None:
    """A deployment that has to be restarted for new keys keeps the old ones."""
    creds = broker.let_in("lasting")
    nc = run_sync(connect(str(BrokerAddress(broker.url, creds=creds)), name="test"))
    try:
        creds.write_text(broker.members.rotate("lasting"))
        eventually(lambda: nc.is_connected and nc.stats["reconnects"] > 0)
    finally:
        run_sync(nc.close())


def test_credentials_that_are_refused_are_reported_at_once(broker: Broker) -> None:
    """Who waits for a server that has said no learns nothing."""
    creds = broker.let_in("gone")
    broker.members.revoke("gone")
    with pytest.raises(SettingsError, match="refuses the credentials"):
        run_sync(connect(str(BrokerAddress(broker.url, creds=creds)), name="test"))


def test_there_is_no_fifth_connection(broker: Broker) -> None:
    """One agent must not take the connections of all."""
    creds = broker.let_in("many")

    async def crowd() -> str:
        async with (
            session(broker, creds),
            session(broker, creds),
            session(broker, creds),
            session(broker, creds),
        ):
            with pytest.raises(NatsError) as failure:
                async with session(broker, creds):
                    pass
            return str(failure.value).lower()

    assert "maximum account active connections exceeded" in asyncio.run(crowd())


def test_limits_change_while_it_runs(broker: Broker) -> None:
    """An operator who sees a flood narrows it now, not at the next start."""
    creds = broker.let_in("narrowed")
    broker.members.limit("narrowed", Limits(connections=1, subscriptions=4, payload_bytes=100))
    found = broker.members.get("narrowed")
    assert (1, 4, 100) == (
        found.limits.connections,
        found.limits.subscriptions,
        found.limits.payload_bytes,
    )

    async def crowd() -> str:
        async with session(broker, creds):
            with pytest.raises(NatsError) as failure:
                async with session(broker, creds):
                    pass
            return str(failure.value).lower()

    assert "maximum account active connections exceeded" in asyncio.run(crowd())


@pytest.mark.parametrize("cell", [None, "crew"], ids=["own account", "shared account"])
def test_a_large_payload_ends_the_connection(broker: Broker, cell: str | None) -> None:
    """256 KiB is a thousand commands; more is a flood."""
    name = f"wide-{cell or 'own'}"
    creds = broker.let_in(name, cell=cell)

    async def push() -> str:
        async with session(broker, creds, inbox=name) as opened:
            opened.nc._max_payload = 1 << 20  # noqa: SLF001 - what nats-py would hold back
            await opened.nc.publish(f"market.demo.bid.{name}", b"x" * (300 << 10))
            await asyncio.wait_for(_until_closed(opened.nc), 20)
            return str(opened.nc.last_error).lower()

    assert "payload" in asyncio.run(push())


def test_subscriptions_end_at_64(broker: Broker) -> None:
    """Each costs the server memory for as long as it lasts."""
    creds = broker.let_in("curious")

    async def listen() -> list[str]:
        async with session(broker, creds, inbox="curious") as opened:
            for number in range(80):
                await opened.nc.subscribe(f"_INBOX.curious.{number}")
            await asyncio.wait_for(_until_closed_or_complained(opened.nc, opened.complaints), 20)
            return [*opened.complaints, str(opened.nc.last_error).lower()]

    assert any("subscriptions exceeded" in said for said in asyncio.run(listen()))


@pytest.mark.parametrize(
    "name", ["*", ">", "a.b", "A1", "treasury", "house", "", "a1\n", "{{name}}"]
)
def test_only_a_name_is_a_name(broker: Broker, name: str) -> None:
    """An agent called `*` would be everybody."""
    with pytest.raises(SettingsError, match="no credentials with such a name"):
        broker.let_in(name)


def test_pricing_may_quote_and_nothing_else(broker: Broker) -> None:
    """The pricing flow reads the outside world: it must not be able to print money."""

    async def quote() -> tuple[list[str], bool]:
        async with session(broker, broker.keys.creds("pricing"), inbox="pricing") as opened:
            ack = await opened.nc.request("market.demo.price.tokens", b"{}", timeout=10)
            await opened.nc.publish("market.demo.grant", b"{}")
            await opened.nc.publish("$JS.API.STREAM.DELETE.SHARD_0", b"")
            while len(opened.complaints) < 2:
                await opened.nc.flush()
            return opened.complaints, b"SHARD_" in ack.data

    complaints, acknowledged = asyncio.run(quote())
    assert acknowledged
    assert 2 == len([said for said in complaints if "permissions violation" in said])


def test_no_claim_holds_a_seed(broker: Broker) -> None:
    """Claims are stored and sent in the open."""
    secret = broker.keys.key(HOUSE_ACCOUNT).seed
    for file in broker.keys.cells.glob("*.jwt"):
        assert secret not in file.read_text() + str(read(file.read_text()))


async def _until_closed(nc: Client) -> None:
    while not nc.is_closed:  # noqa: ASYNC110 - nats-py sets no event
        await asyncio.sleep(0.01)


async def _until_closed_or_complained(nc: Client, complaints: list[str]) -> None:
    while not nc.is_closed and not complaints:  # noqa: ASYNC110 - nats-py sets no event
        await asyncio.sleep(0.01)
