"""Where a NATS server or the servers of a cluster are, and who connects, from one text.

`nats://user:password@host1:4222,nats://user:password@host2:4222`; the user may stand in the first
address alone. Promise: a user name and a password may have any character, percent-encoded or, where
nothing else can be meant, as it is; no part of them is in an error or in `without_password`.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

SCHEMES: Final = ("nats", "tls", "ws", "wss")
FORM: Final = "nats://host:4222 or nats://user:password@host:4222, several with commas between them"
_NEXT: Final = re.compile(r",\s*(?=(?:nats|tls|wss?)://)")
_FILES: Final = re.compile(r"(?P<addresses>.*?)(?:\?(?P<files>(?:creds|ca)=[^?@]*))?", re.DOTALL)
_HOST: Final = re.compile(r"[\w.:\[\]-]+")


@dataclass(frozen=True, slots=True)
class Addresses:
    """The servers of one cluster; either user and password, or a token, or neither."""

    servers: tuple[str, ...]
    user: str | None = None
    password: str | None = None
    token: str | None = None


def split_files(text: str) -> tuple[str, str]:
    """The addresses in a text, and behind the `?` the files that go with them, or ""."""
    parts = _FILES.fullmatch(text)
    assert parts is not None, "it matches any text"
    return parts["addresses"], parts["files"] or ""


def read_addresses(text: str) -> Addresses:
    """The addresses in a text; `ValueError` says what is wrong, without the text."""
    servers: list[str] = []
    logins: set[str] = set()
    for one in _NEXT.split(text.strip()):
        scheme, login, hosts = _parts(one)
        servers += [f"{scheme}://{_checked(host.strip())}" for host in hosts.split(",")]
        logins |= {login} - {""}
    if len(logins) > 1:
        raise ValueError("all addresses must have the same user and password")
    user, has_password, password = logins.pop().partition(":") if logins else ("", "", "")
    if has_password:
        return Addresses(tuple(servers), user=unquote(user), password=unquote(password))
    return Addresses(tuple(servers), token=unquote(user) or None)


def without_password(text: str) -> str:
    """The addresses as a message may show them."""
    try:
        return ",".join(read_addresses(split_files(text)[0]).servers)
    except ValueError:
        return "an address that cannot be read"


def _parts(address: str) -> tuple[str, str, str]:
    """Scheme, login and hosts of an address."""
    scheme, has_scheme, rest = address.partition("://")
    if not has_scheme:
        scheme, rest = "nats", address
    if scheme not in SCHEMES:
        raise ValueError(f"it must look like {FORM}")
    login, _, hosts = rest.rpartition("@")
    return scheme, login, hosts.rstrip("/")


def _checked(host: str) -> str:
    """The host with its port, if it has one, where both can be."""
    wrong = ValueError(f"it must look like {FORM}")
    if not _HOST.fullmatch(host):
        raise wrong
    try:
        parts = urlsplit(f"//{host}")
        if not parts.hostname or parts.port == 0:
            raise wrong
    except ValueError:
        raise wrong from None
    return host
