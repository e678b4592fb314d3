"""The keys of a deployment, in a folder that only its owner can read.

Promise: keys are made once, by whoever comes first, and never overwritten; folders are 0700 and
files 0600, and what is open to others is refused; a seed leaves its file for no message.
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors.identity.claims import (
    Key,
    KeyKind,
    credentials,
    house_jwt,
    issued_at,
    new_key,
    operator_jwt,
    system_jwt,
    user_jwt,
)
from connectors.identity.rights import EXPORTS, HOUSE, PRICING, Permissions
from state.errors import SettingsError

NEXT_SECOND_S: Final = 0.05
OPERATOR: Final = "operator"
SYSTEM: Final = "SYS"
HOUSE_ACCOUNT: Final = "WALRAS"
ROOTS: Final[dict[str, KeyKind]] = {
    OPERATOR: "operator",
    SYSTEM: "account",
    HOUSE_ACCOUNT: "account",
}
USERS: Final[dict[str, tuple[str, Permissions]]] = {
    "house": (HOUSE_ACCOUNT, HOUSE),
    "pricing": (HOUSE_ACCOUNT, PRICING),
    "system": (SYSTEM, HOUSE),
}
"""Who runs the deployment: creds file to the account, and the rights in it."""


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """The folder and the files in it."""

    root: Path

    def seed_file(self, name: str) -> Path:
        """The seed of the operator or of an account of the house."""
        return self.root / f"{name}.nk"

    def creds(self, user: str) -> Path:
        """The creds of one of `USERS`."""
        return self.root / f"{user}.creds"

    @property
    def cells(self) -> Path:
        """Of each cell the seed and the JWT of its account."""
        return self.root / "cells"

    @property
    def users(self) -> Path:
        """The JWT of each agent and office that was let in, which hold no secret."""
        return self.root / "users"

    @property
    def exists(self) -> bool:
        """Whether all keys were made: the creds of the system are written last."""
        return self.creds("system").exists()

    def key(self, name: str) -> Key:
        """The key of the operator or of an account."""
        return read_key(self.seed_file(name))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Change keys and claims alone."""
        _make_private(self.root)
        lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def ensure_keys(folder: KeyFolder) -> None:
    """Make what is missing; twice is the same as once."""
    with folder.locked():
        for inner in (folder.cells, folder.users):
            _make_private(inner)
        for name, kind in ROOTS.items():
            if not folder.seed_file(name).exists():
                write_private(folder.seed_file(name), new_key(kind).seed)
        for user in USERS:
            if not folder.creds(user).exists():
                write_creds_of(folder, user)


def rotate_creds(folder: KeyFolder) -> None:
    """Write new creds for the deployment; the broker needs `trust` again."""
    with folder.locked():
        newest = max(issued_at(folder.creds(user).read_text()) for user in USERS)
        while int(time.time()) <= newest:  # claims count in seconds
            time.sleep(NEXT_SECOND_S)
        for user in USERS:
            write_creds_of(folder, user)


def write_creds_of(folder: KeyFolder, user: str) -> None:
    """Write new creds of one of `USERS` over the old ones."""
    account, allowed = USERS[user]
    key = new_key("user")
    jwt = user_jwt(
        folder.key(account),
        key.public,
        name=user,
        publish=allowed.publish,
        subscribe=allowed.subscribe,
    )
    write_private(folder.creds(user), credentials(jwt, key))


@dataclass(frozen=True, slots=True)
class Trust:
    """What a broker needs to know: nothing of it is secret."""

    operator: str
    """The operator's JWT."""
    system_account: str
    house_account: str
    accounts: dict[str, str]
    """Public key to JWT of the accounts that the broker starts with."""


def trust(folder: KeyFolder, *, shards: int) -> Trust:
    """The broker's side of the keys; the markets are spread over so many shards."""
    operator, system, house = (folder.key(name) for name in ROOTS)
    # Whatever is older than the creds in the folder was rotated away.
    void_until = min(issued_at(folder.creds(user).read_text()) for user in USERS) - 1
    accounts = {
        system.public: system_jwt(operator, system.public, void_until=void_until),
        house.public: house_jwt(
            operator,
            house.public,
            exports=EXPORTS,
            mappings=shard_mappings(shards),
            void_until=void_until,
        ),
    }
    return Trust(
        operator=operator_jwt(operator, system_account=system.public),
        system_account=system.public,
        house_account=house.public,
        accounts=accounts,
    )


def shard_mappings(shards: int) -> dict[str, str]:
    """As nats.conf maps the subjects of a broker without accounts."""
    return {
        "market.*.>": f"shard.{{{{partition({shards},1)}}}}.market.{{{{wildcard(1)}}}}.>",
        "clock.*": "shard.{{wildcard(1)}}.clock",
    }


def read_key(file: Path) -> Key:
    """The key in a file that nobody else can read."""
    try:
        mode = file.stat().st_mode
        seed = file.read_text().strip()
    except OSError as failure:
        raise SettingsError(
            "a key cannot be read",
            detail=f"{file}: {failure.strerror}",
            hint="Run this as the user who owns the deployment, or restore its keys folder",
        ) from failure
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(
            "a key can be read by others",
            detail=f"{file} has mode {stat.S_IMODE(mode):o}",
            hint=f"Run `chmod 600 {file}`, and rotate the key if somebody may have read it",
        )
    return Key(seed)


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read; it appears as a whole."""
    draft = file.with_name(f".{file.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as failure:
        raise SettingsError(
            "the folder of the keys cannot be used",
            detail=f"{folder}: {failure.strerror}",
            hint="Set WALRAS_HOME to a folder that you can write to",
        ) from failure
    if mode & 0o077:
        raise SettingsError(
            "the folder of the keys is open to others",
            detail=f"{folder} has mode {mode:o}",
            hint=f"Run `chmod 700 {folder}`",
        )
