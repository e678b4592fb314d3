"""Whatever enters the log of a running deployment leaves one row, and the market keeps trading.

The server here takes payloads of up to 4 MiB, as one that serves others too might be set to do.
"""

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pytest
from nats.aio.client import Client
from nats.errors import MaxPayloadError

from connectors.embedded import nats_server
from connectors.embedded.servers import Servers
from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.nats.export import export_log
from connectors.nats.subjects import shard_of
from tests.client.deployment import Deployment, deployed
from walras_client import new_event_id

LARGE: Final = "4194304"
BID: Final = {"type": "bid_placed", "resource": "tokens", "quantity": 1, "unit_price_micros": 1_000}
GRANT: Final = {"type": "credits_granted", "agent_id": "a1", "amount_micros": 1}
TRANSFER: Final = {"type": "credits_transferred", "to_agent_id": "a2", "amount_micros": 1}
QUOTE: Final = {"type": "price_quoted", "price_micros": 7}

NO_AMOUNTS: Final = [
    *("-1", "0", "-0", "1.0", "1.5", "1e3", "NaN", "Infinity", "-Infinity", "null", "true", '"1"'),
    *("1" + "0" * 22, "9223372036854775808", "[1]", '1, "quantity": 2'),
]
# A space cannot be in a subject at all: it ends one in NATS's protocol.
NO_NAMES: Final = ["a.b", "*", ">", "a*", "\u00e41", "A1", "a\u00a0b", "-a", "a" * 65]
NO_AGENTS: Final = [*NO_NAMES, "house", "treasury"]
SPACED: Final = [" ", "a b", " a1", "a1 ", "a\tb", "a\nb"]
DEAD: Final = """
    SELECT string_agg(concat_ws(' ', subject, payload_bytes, ord), ',')
    FROM walras.dead_letters WHERE shard = %s AND seq = %s
"""
STATUS: Final = "SELECT status FROM walras.bids WHERE market = %s AND event_id = %s"

Sent = tuple[str, bytes]


@pytest.fixture(scope="module")
def deployment(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    config = tmp_path_factory.mktemp("nats") / "nats.conf"
    ours = nats_server.CONFIG.read_text()
    config.write_text(ours.replace("max_payload: 1114112", f"max_payload: {LARGE}"))
    assert LARGE in config.read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nats_server, "CONFIG", config)
        with deployed(servers) as running:
            yield running


@pytest.fixture
def nc(deployment: Deployment) -> Iterator[Client]:
    with open_on_loop(connected(deployment.nats_url, name="test")) as opened:
        yield opened


def text(command: dict[str, object], **fields: object) -> bytes:
    return json.dumps({"event_id": new_event_id(), **command, **fields}).encode()


def odd_amounts(market: str) -> Iterator[Sent]:
    """Each in the place of a quantity, where JSON would let it stand."""
    for amount in NO_AMOUNTS:
        bid = text(BID).decode().replace('"quantity": 1', f'"quantity": {amount}')
        yield f"market.{market}.bid.a1", bid.encode()


def odd_names(market: str) -> Iterator[Sent]:
    """Each wherever a subject or a payload names somebody or something."""
    for name in NO_AGENTS:
        yield f"market.{market}.bid.{name}", text(BID)
        yield f"market.{market}.transfer.{name}", text(TRANSFER)
    for name in [*NO_AGENTS, *SPACED]:
        yield f"market.{market}.grant", text(GRANT, agent_id=name)
        yield f"market.{market}.transfer.a1", text(TRANSFER, to_agent_id=name)
    for name in NO_NAMES:
        yield f"market.{market}.price.{name}", text(QUOTE)
        if name != ">":  # which no stream takes there
            yield f"market.{name}.bid.a1", text(BID)
    for name in [*NO_NAMES, *SPACED]:
        yield f"market.{market}.bid.a1", text(BID, resource=name)


def odd_payloads(market: str) -> Iterator[Sent]:
    """What is no JSON, and what is larger than a message may be, whatever it says."""
    for payload in (b"", b"\xff\xfe", b"[" * 100_000, b"x" * (2 << 20), padded(2 << 20)):
        yield f"market.{market}.bid.a1", payload


def padded(size_bytes: int) -> bytes:
    """A bid of so many bytes that is valid but for its size."""
    bid = text(BID)
    return bid[:-1] + b" " * (size_bytes - len(bid)) + bid[-1:]


async def put(nc: Client, subject: str, payload: bytes) -> tuple[int, int]:
    """Put a message into the log; shard and sequence of where it lies."""
    receipt = json.loads((await nc.request(subject, payload, timeout=10)).data)
    return shard_of(receipt["stream"]), receipt["seq"]


def wins(deployment: Deployment, nc: Client, market: str) -> None:
    """Return once a plain bid of a1's has won."""
    event_id = new_event_id()
    run_sync(put(nc, f"market.{market}.bid.a1", text(BID, event_id=event_id)))
    deployment.until(STATUS, [market, event_id], expected="won")


@pytest.mark.parametrize("odd", [odd_amounts, odd_names, odd_payloads])
def test_what_is_no_command_is_a_dead_letter(
    deployment: Deployment, nc: Client, odd: Callable[[str], Iterator[Sent]]
) -> None:
    """A message that stops the flow stops it again at every start."""
    market = deployment.market("a1")
    sent = list(odd(market))
    places = [run_sync(put(nc, subject, payload)) for subject, payload in sent]
    wins(deployment, nc, market)
    for place, (subject, payload) in zip(places, sent, strict=True):
        deployment.until(DEAD, [*place], expected=f"{subject} {len(payload)} 0")


def test_the_largest_message_is_a_command(deployment: Deployment, nc: Client) -> None:
    """The limit is what a payload may be, and one byte more is what it may not."""
    market = deployment.market("a1")
    run_sync(put(nc, f"market.{market}.bid.a1", largest := padded(1 << 20)))
    deployment.until(STATUS, [market, json.loads(largest)["event_id"]], expected="won")


def test_a_message_that_the_server_refuses_is_no_part_of_the_log(
    deployment: Deployment, nc: Client
) -> None:
    """A sender that was refused may send it again, smaller; one that was not would bid twice."""
    market = deployment.market("a1")
    with pytest.raises(MaxPayloadError):
        run_sync(put(nc, f"market.{market}.bid.a1", padded(int(LARGE) + 1)))
    wins(deployment, nc, market)


RAW_SUBJECTS: Final = [
    b"a\xff",
    b"\xc3",
    b"a\x00b",
    b"a\x0bb",
    b"a\x0c7",
    b"\x1b[31m",
    b"\x7f",
    b"x" * 3000,
]
RAW_HEADERS: Final = [
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0\r\n\xff: \xff\r\n: \r\nno colon\r\n\r\n",
    b"NATS/1.0 \xff\xff\xff \xff\r\n\r\n",
    b"NATS/1.0 503 No Responders\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\nStatus: 409\r\n\r\n",
    b"NATS/1.0",
    b"x",
]


def test_subjects_and_headers_that_no_client_would_send(deployment: Deployment, nc: Client) -> None:
    """One line typed into a socket must not stop a shard, nor any start of it after that."""
    market = deployment.market("a1")
    to = f"market.{market}.bid.".encode()
    bare = [(to + name, b"") for name in RAW_SUBJECTS]
    headed = [(to + b"A1", headers) for headers in RAW_HEADERS]
    places = typed(deployment.nats_url, [*bare, *headed])
    wins(deployment, nc, market)
    for place, (subject, _) in zip(places, [*bare, *headed], strict=True):
        stored = subject.decode(errors="backslashreplace").replace("\0", "\\x00")
        deployment.until(DEAD, [*place], expected=f"{stored} 2 0")
    shard = places[0][0]
    exported = list(export_log(deployment.nats_url, shard=shard))
    assert {seq for _, seq in places} <= {line.seq for line in exported}


def typed(url: str, messages: Sequence[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
    """Where the log put messages of a subject and headers each, sent without any client."""
    places = []
    host, _, port = url.removeprefix("nats://").rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as line,
        line.makefile("rwb") as io,
    ):
        io.write(b'CONNECT {"verbose": false, "headers": true}\r\nSUB inbox 1\r\n')
        for subject, headers in messages:
            io.write(_put(subject, headers))
            io.flush()
            while not (said := io.readline()).startswith(b"MSG"):
                assert said.startswith((b"INFO", b"PING")), said
            receipt = json.loads(io.readline())
            places.append((shard_of(receipt["stream"]), receipt["seq"]))
    return places


def _put(subject: bytes, headers: bytes) -> bytes:
    if not headers:
        return b"PUB %b inbox 2\r\n{}\r\n" % subject
    return b"HPUB %b inbox %d %d\r\n%b{}\r\n" % (subject, len(headers), len(headers) + 2, headers)
