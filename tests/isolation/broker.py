"""A broker in the default set-up, with a house that trades, a victim, and someone who attacks.

Every act is done with a connection of nats-py, as an attacker would: the project's own client asks
for less.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from connectors.embedded.nats_server import Accounts, start_nats
from connectors.identity.cells import Members
from connectors.identity.keys import KeyFolder, ensure_keys, trust
from connectors.nats.accounts import push_account
from connectors.nats.topology import make_streams
from tests.support.servers import open_folder
from walras_client.nats.broker import BrokerAddress

SHARDS = 2
MARK = b"from the attacker"
SENTINEL = b"all before this has been delivered"


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker and the keys to it."""

    url: str
    keys: KeyFolder
    members: Members

    def creds(self, name: str) -> Path:
        """The creds of a member, or of the house."""
        return self.keys.root.parent / "agents" / f"{name}.creds"

    def let_in(self, name: str, **parts: object) -> Path:
        """A new agent's creds file."""
        file = self.creds(name)
        file.parent.mkdir(exist_ok=True)
        file.write_text(self.members.create(name, **parts))  # type: ignore[arg-type]
        return file


@contextmanager
def running() -> Iterator[Broker]:
    """The broker for a block, with its streams."""
    with open_folder() as folder:
        keys = KeyFolder(folder / "keys")
        ensure_keys(keys)
        known = trust(keys, shards=SHARDS)
        accounts = Accounts(
            operator=known.operator,
            system_account=known.system_account,
            house_account=known.house_account,
            jwts=known.accounts,
        )
        server = start_nats(folder / "nats", shards=SHARDS, accounts=accounts)
        try:
            system = str(BrokerAddress(server.url, creds=keys.creds("system")))
            house = str(BrokerAddress(server.url, creds=keys.creds("house")))
            make_streams(house, shards=SHARDS, max_bytes=1 << 24, tick_ms=None)
            yield Broker(server.url, keys, Members(keys, lambda jwt: push_account(system, jwt)))
        finally:
            server.stop()


@dataclass(slots=True)
class Session:
    """A connection, and what the server said to it and sent to it."""

    nc: Client
    complaints: list[str] = field(default_factory=list)
    heard: list[Msg] = field(default_factory=list)

    async def hear(self, *subjects: str) -> None:
        """Subscribe; what comes is kept."""
        for subject in subjects:
            await self.nc.subscribe(subject, cb=self._keep)
        await self.nc.flush()

    async def _keep(self, msg: Msg) -> None:
        self.heard.append(msg)


@asynccontextmanager
async def session(
    broker: Broker, creds: Path | None, *, inbox: str = "x", login: dict[str, str] | None = None
) -> AsyncIterator[Session]:
    """Connect once: no second attempt covers up a refusal."""
    opened = Session(Client())

    async def complain(error: Exception) -> None:
        opened.complaints.append(str(error).lower())

    try:
        await opened.nc.connect(
            broker.url,
            user_credentials=str(creds) if creds else None,
            inbox_prefix=f"_INBOX.{inbox}",
            allow_reconnect=False,
            error_cb=complain,
            connect_timeout=10,
            **dict[str, Any](login or {}),
        )
        yield opened
    finally:
        await opened.nc.close()
        transport: Any = opened.nc._transport  # noqa: SLF001 - left open where it is refused
        if transport:
            transport.close()
            with suppress(OSError):
                await transport.wait_closed()


@dataclass(slots=True)
class World:
    """The house, the victim b, and the attacker."""

    house: Session
    victim: Session
    attacker: Session
    name: str
    """Of the attacker."""
    victim_name: str

    async def settled(self) -> None:
        """Return when all that was sent until now has reached whoever it reaches."""
        await self.attacker.nc.flush()
        await self.house.nc.flush()
        for session, name in ((self.victim, self.victim_name), (self.attacker, self.name)):
            before = _sentinels(session)
            await self.house.nc.publish(f"result.demo.{name}", SENTINEL)
            deadline = time.monotonic() + 10
            while _sentinels(session) == before:
                assert time.monotonic() < deadline, "the sentinel did not come"
                await asyncio.sleep(0.005)

    async def log(self) -> dict[str, tuple[int, list[str]]]:
        """Stream to its last sequence and its subjects."""
        js = self.house.nc.jetstream()
        found = {}
        for name in ("SHARD_0", "SHARD_1", "WINDOWS", "TICKS"):
            info = await js.stream_info(name, subjects_filter=">")
            found[name] = (info.state.last_seq, sorted(info.state.subjects or {}))
        return found


def _sentinels(session: Session) -> int:
    return sum(msg.data == SENTINEL for msg in session.heard)


def others(session: Session) -> list[tuple[str, bytes]]:
    """What a session heard besides the sentinels."""
    return [(msg.subject, msg.data) for msg in session.heard if msg.data != SENTINEL]


@asynccontextmanager
async def world(broker: Broker, *, name: str, victim: str, inbox: str) -> AsyncIterator[World]:
    """All three connected; the victim hears whatever it may."""
    house_creds = broker.keys.creds("house")
    async with (
        session(broker, house_creds, inbox="house") as house,
        session(broker, broker.creds(victim), inbox=victim) as of_victim,
        session(broker, broker.creds(name), inbox=inbox) as attacker,
    ):
        await of_victim.hear(f"result.demo.{victim}", "window.demo", f"_INBOX.{victim}.>")
        await attacker.hear(f"result.demo.{name}")
        yield World(house, of_victim, attacker, name, victim)
