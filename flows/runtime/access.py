"""Changes to who may speak: in the keys of the deployment, and at its broker at once.

Promise: the broker knows of a change before a file says so; the credentials of an agent are written
for its owner alone, beside the keys and never among them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from connectors.identity.cells import Members, Role
from connectors.identity.keys import KeyFolder, rotate_creds, trust, write_private
from connectors.nats.accounts import push_account
from flows.runtime.deployment import joined
from flows.runtime.servers import Servers, key_folder, open_servers
from flows.runtime.settings import Settings
from state.errors import SettingsError
from walras_client.nats.broker import BrokerAddress

DAY_S: Final = 86_400
FOLDERS: Final = {"agent": "agents"}
"""Role to the folder of its credentials; all others are offices."""


@contextmanager
def open_members(settings: Settings) -> Iterator[tuple[Members, Servers]]:
    """Those that were let in, and the servers whose broker hears of changes."""
    keys = known_keys(settings)
    with open_servers(joined(settings) or settings) as servers:
        broker = BrokerAddress.parse(servers.nats_url).using(creds=keys.creds("system"), ca=None)
        yield Members(keys, lambda jwt: push_account(str(broker), jwt)), servers


def listed_members(settings: Settings) -> Members:
    """Those that were let in, to read only."""

    def push(_jwt: str) -> None:
        raise AssertionError("only read")

    return Members(known_keys(settings), push)


def known_keys(settings: Settings) -> KeyFolder:
    """The keys of the deployment; `SettingsError` where there are none to let anyone in with."""
    keys = key_folder(settings)
    if settings.nats_auth == "none":
        raise SettingsError(
            "there is no authentication",
            detail="WALRAS_NATS_AUTH is none",
            hint="Unset it: credentials mean nothing to a server that asks for none",
        )
    if not keys.exists:
        raise SettingsError(
            "there are no keys of a deployment here",
            detail=f"{keys.root} has none",
            hint="`walras up` makes them with the embedded servers, `walras keys init` for a "
            "broker of your own; WALRAS_HOME says where they are",
        )
    return keys


def creds_file(settings: Settings, role: Role, name: str) -> Path:
    """Where the credentials of a member are written."""
    return settings.home / FOLDERS.get(role, "operators") / f"{name}.creds"


def write_creds(settings: Settings, role: Role, name: str, text: str) -> Path:
    """Write a creds file that its owner alone can read."""
    file = creds_file(settings, role, name)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, text)
    return file


def expiry(days: int | None) -> int | None:
    """The second at which credentials of so many days end."""
    return None if days is None else int(time.time()) + days * DAY_S


def rotate_keys(settings: Settings) -> None:
    """Make new credentials for the deployment itself, and have the broker refuse the old ones."""
    keys = known_keys(settings)
    with open_servers(joined(settings) or settings) as servers:
        rotate_creds(keys)
        broker = BrokerAddress.parse(servers.nats_url).using(creds=keys.creds("system"), ca=None)
        for jwt in trust(keys, shards=settings.shards).accounts.values():
            push_account(str(broker), jwt)
