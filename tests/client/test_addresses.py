"""Addresses of NATS as operators write them: several, with any password, and none in a message."""

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from connectors.embedded.nats_server import executable
from tests.support.eventually import eventually
from walras_client.nats.addresses import Addresses, read_addresses, without_password
from walras_client.nats.connection import closing, connect

POLL_INTERVAL_S: Final = 0.02
SECRET: Final = "hunter2"  # noqa: S105 - of nothing
PASSWORDS: Final = [SECRET, "a/b?c#d", "a@b:c", "50%", "ä ö", '"quoted"', "a,b"]
ODD: Final = [
    f"nats://w:{SECRET}@h:1,nats://w:{SECRET}@h:2",
    f"nats://w:{SECRET}@h:port",
    f"nats://w:{SECRET}@",
    f"nats://w:{SECRET}@h:99999",
    f"nats://w:{SECRET}/x@h:1",
    f"nats://w:x@{SECRET}@h:1",
    f"nats://w:x,{SECRET}@h:1",
    f"nats://w:{SECRET}@h:1,nats://w:other@h:2",
    f"nats://w:{SECRET}@h 1",
    f"http://w:{SECRET}@h:1",
    f"w:{SECRET}@",
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def why_refused(text: str) -> str:
    """The error, or nothing where the text can be read."""
    try:
        read_addresses(text)
    except ValueError as wrong:
        return str(wrong)
    return ""


@contextmanager
def nats_server(
    folder: Path, port: int, *options: str, password: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that asks for a password."""
    conf = folder / f"{port}.conf"
    conf.write_text(f"authorization {{ user: w, password: {json_text(password)} }}")
    process = subprocess.Popen(
        [executable(), "-a", "127.0.0.1", "-p", str(port), "-c", str(conf), *options],
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: accepts(port))
        yield process
    finally:
        process.kill()
        process.wait()


def json_text(text: str) -> str:
    """As nats-server reads a string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nats://h", Addresses(("nats://h",))),
        ("h:1", Addresses(("nats://h:1",))),
        ("nats://h:1/", Addresses(("nats://h:1",))),
        ("tls://[::1]:4222", Addresses(("tls://[::1]:4222",))),
        ("nats://a:1, nats://b:2", Addresses(("nats://a:1", "nats://b:2"))),
        ("nats://a:1,b:2", Addresses(("nats://a:1", "nats://b:2"))),
        ("nats://u:p@a,nats://b", Addresses(("nats://a", "nats://b"), "u", "p")),
        ("nats://u:@a", Addresses(("nats://a",), "u", "")),
        ("nats://token@a", Addresses(("nats://a",), None, None, "token")),
        ("nats://u%40x:p%2Fq@a", Addresses(("nats://a",), "u@x", "p/q")),
    ],
)
def test_addresses_are_read(text: str, expected: Addresses) -> None:
    """A cluster that can be named by one of its servers alone is lost with that one."""
    assert expected == read_addresses(text)


@pytest.mark.parametrize(
    "text", ["", "nats://", "nats://:4222", "nats://h:x", "nats://h:0", "nats://a b", "http://h"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Otherwise it fails later, as a server that is not there."""
    with pytest.raises(ValueError, match="it must look like"):
        read_addresses(text)


@pytest.mark.parametrize("text", ODD)
def test_no_secret_is_shown(text: str) -> None:
    """What is logged is read by many."""
    assert SECRET not in without_password(text)
    assert SECRET not in why_refused(text)


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("encoded", [True, False], ids=["encoded", "as-it-is"])
def test_a_password_may_have_any_character(tmp_path: Path, password: str, *, encoded: bool) -> None:
    """A password that a safe made must not have to be changed for us."""
    written = quote(password, safe="") if encoded else password
    port = free_port()

    async def connects() -> None:
        async with closing(await connect(f"nats://w:{written}@127.0.0.1:{port}", name="test")):
            pass

    with nats_server(tmp_path, port, password=password):
        asyncio.run(connects())


def test_a_dead_and_a_silent_server_of_a_list_are_passed_over(nats_url: str) -> None:
    """One server that is down must not take a deployment down that has three."""

    async def connects(silent: int) -> None:
        url = f"nats://127.0.0.1:1,nats://127.0.0.1:{silent},{nats_url}"
        async with closing(await connect(url, name="test")) as nc:
            assert nc.is_connected

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(connects(listener.getsockname()[1]))


def test_the_password_is_good_for_a_server_that_the_cluster_named(tmp_path: Path) -> None:
    """A client that knows one server of two must survive its end."""
    (first, second), routes = (free_port(), free_port()), (free_port(), free_port())

    def options(own: int, other: int) -> list[str]:
        cluster = ["--cluster_name", "c", "--cluster", f"nats://127.0.0.1:{own}"]
        return [*cluster, "--routes", f"nats://127.0.0.1:{other}"]

    async def survives(one: subprocess.Popen[bytes]) -> None:
        url = f"nats://w:{SECRET}@127.0.0.1:{first}"
        nc = await connect(url, name="test", reconnect_wait_s=0.05)
        async with closing(nc), asyncio.timeout(30):
            while len(nc.servers) == 1:
                await nc.flush()
            one.kill()
            while nc.connected_url is None or nc.connected_url.port != second:  # noqa: ASYNC110 - nats-py tells nobody
                await asyncio.sleep(POLL_INTERVAL_S)

    with (
        nats_server(tmp_path, first, *options(*routes), password=SECRET) as one,
        nats_server(tmp_path, second, *options(*reversed(routes)), password=SECRET),
    ):
        asyncio.run(survives(one))
