"""Who was let in: agents and offices, each a user of an account ("cell") that holds its rights.

An agent has a cell of its own, or shares one with others of one owner. What is known of it is its
user's JWT and its cell's account JWT, and nothing else is written down. Promise: the broker hears
of a change before its file is written, so what a file says is never more than the broker allows.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from connectors.identity.claims import (
    Key,
    Limits,
    Right,
    cell_jwt,
    credentials,
    new_key,
    read,
    user_jwt,
)
from connectors.identity.keys import HOUSE_ACCOUNT, OPERATOR, KeyFolder, read_key, write_private
from connectors.identity.rights import EVERY, OFFICES, OfficeRole, agent_rights, permissions
from state.errors import SettingsError
from walras_schemas.names import is_agent_name, is_name

AGENT_LIMITS: Final = Limits(connections=4, subscriptions=64, payload_bytes=256 << 10)
OFFICE_LIMITS: Final = Limits(connections=16, subscriptions=256, payload_bytes=1 << 20)
SHARED_LIMITS: Final = Limits(connections=-1, subscriptions=-1, payload_bytes=256 << 10)

Push = Callable[[str], None]
"""Tells the broker of an account's JWT."""
Role = Literal["agent"] | OfficeRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An agent or an office, as its JWTs say."""

    name: str
    role: Role
    market: str
    """`*` is every market."""
    cell: str | None
    """The shared cell; None where it has one of its own."""
    user: str
    """Its public key."""
    issued_at: int
    expires_at: int | None
    revoked: bool
    limits: Limits
    """Of its cell."""


@dataclass(frozen=True, slots=True)
class Members:
    """All that were let in, and the changes to them."""

    keys: KeyFolder
    push: Push

    def create(
        self,
        name: str,
        *,
        role: Role = "agent",
        market: str = EVERY,
        cell: str | None = None,
        expires_at: int | None = None,
    ) -> str:
        """Let someone in; the text of its creds file. A name is taken until it is revoked."""
        _check_names(name, market, cell)
        with self.keys.locked():
            if self._user_file(role, name).exists() and not self.get(name, role=role).revoked:
                raise SettingsError(
                    f"there is {_article(role)} {name} already",
                    detail="its credentials are valid",
                    hint=f"Use `walras {_noun(role)} rotate {name}` for new ones",
                )
            limits = OFFICE_LIMITS if role != "agent" else SHARED_LIMITS if cell else AGENT_LIMITS
            member = Member(
                name=name,
                role=role,
                market=market,
                cell=cell,
                user="",
                issued_at=0,
                expires_at=expires_at,
                revoked=False,
                limits=limits,
            )
            account = self._account(member)
            if not cell or not account.jwt_file.exists():
                self._sign(account, member, limits=limits)
            return self._issue(account, member)

    def rotate(self, name: str, *, role: Role = "agent", expires_at: int | None = None) -> str:
        """Void the credentials and make new ones with the same rights; the text of the file."""
        with self.keys.locked():
            member = self._valid(name, role)
            account = self._account(member)
            self._sign(account, member, void=member.user)
            return self._issue(account, replace(member, expires_at=expires_at))

    def revoke(self, name: str, *, role: Role = "agent") -> None:
        """Void the credentials: who is connected with them is shut out at once."""
        with self.keys.locked():
            member = self._valid(name, role)
            self._sign(self._account(member), member, void=member.user)

    def limit(self, name: str, limits: Limits) -> Member:
        """Change what the cell of an agent may take of the broker, for whoever is connected too."""
        with self.keys.locked():
            member = self._valid(name, "agent")
            self._sign(self._account(member), member, limits=limits)
            return replace(member, limits=limits)

    def get(self, name: str, *, role: Role = "agent") -> Member:
        """The member of that name; `SettingsError` where there is none."""
        file = self._user_file(role, name)
        if not file.exists():
            raise SettingsError(
                f"there is no {_noun(role)} {name}",
                detail=f"{self.keys.root} has no claims of it",
                hint=f"`walras {_noun(role)} list` shows all, `… create` adds one",
            )
        return self._read(file)

    def all(self, role: Role | None = None) -> Iterator[Member]:
        """All members by name, those of one role only if it is given."""
        for file in sorted(self.keys.users.glob(f"{role or '*'}.*.jwt")):
            yield self._read(file)

    def _valid(self, name: str, role: Role) -> Member:
        member = self.get(name, role=role)
        if member.revoked:
            raise SettingsError(
                f"the {_noun(role)} {name} is revoked",
                detail="its credentials are void",
                hint=f"`walras {_noun(role)} create {name}` lets it in again",
            )
        return member

    def _account(self, member: Member) -> "_Account":
        stem = f"cell.{member.cell}" if member.cell else f"{member.role}.{member.name}"
        return _Account(self.keys.cells / f"{stem}.nk", self.keys.cells / f"{stem}.jwt")

    def _user_file(self, role: Role, name: str) -> Path:
        return self.keys.users / f"{role}.{name}.jwt"

    def _sign(
        self,
        account: "_Account",
        member: Member,
        *,
        limits: Limits | None = None,
        void: str | None = None,
    ) -> None:
        """Sign the account of a member anew and push it; `void` is a user to shut out."""
        revoked = {**account.revoked, **({void: int(time.time())} if void else {})}
        jwt = cell_jwt(
            self.keys.key(OPERATOR),
            account.key().public,
            name=account.name,
            house=self.keys.key(HOUSE_ACCOUNT),
            rights=_cell_rights(member),
            limits=limits or member.limits,
            revoked=revoked,
        )
        self.push(jwt)
        write_private(account.jwt_file, jwt)

    def _issue(self, account: "_Account", member: Member) -> str:
        user = new_key("user")
        allowed = permissions(
            rights_of(member), inbox=member.name, whole_account=member.cell is None
        )
        shared = member.cell is not None
        jwt = user_jwt(
            account.key(),
            user.public,
            name=member.name,
            publish=allowed.publish,
            subscribe=allowed.subscribe,
            limits=AGENT_LIMITS if shared else Limits(),
            expires_at=member.expires_at,
            tags=[
                f"role:{member.role}",
                f"market:{member.market}",
                *([f"cell:{member.cell}"] if shared else []),
            ],
        )
        write_private(self._user_file(member.role, member.name), jwt)
        return credentials(jwt, user)

    def _read(self, file: Path) -> Member:
        claims = read(file.read_text())
        tags = dict(tag.split(":", 1) for tag in claims["nats"]["tags"])
        member = Member(
            name=claims["name"],
            role=tags["role"],
            market=tags["market"],
            cell=tags.get("cell"),
            user=claims["sub"],
            issued_at=claims["iat"],
            expires_at=claims.get("exp"),
            revoked=False,
            limits=Limits(),
        )
        account = self._account(member)
        return replace(member, revoked=member.user in account.revoked, limits=account.limits)


def _check_names(name: str, market: str, cell: str | None) -> None:
    """A name stands in subjects, and one like `*` there would be everybody's."""
    parts = {"name": is_agent_name(name), "market": market == EVERY or is_name(market)}
    parts["cell"] = cell is None or is_name(cell)
    if wrong := [part for part, is_right in parts.items() if not is_right]:
        raise SettingsError(
            "there can be no credentials with such a name",
            detail=f"the {wrong[0]} is not a name",
            hint="A name has small letters, digits, - and _, begins with a letter or digit, and is "
            "not that of an account of the market itself",
        )


def state_of(member: Member, *, now_s: float) -> Literal["valid", "expired", "revoked"]:
    """Whether its credentials let it in at that time."""
    if member.revoked:
        return "revoked"
    return "expired" if member.expires_at is not None and member.expires_at <= now_s else "valid"


def rights_of(member: Member) -> tuple[Right, ...]:
    """What a member may use of the house."""
    if member.role == "agent":
        return agent_rights(member.name, member.market)
    return OFFICES[member.role](member.market)


def _cell_rights(member: Member) -> tuple[Right, ...]:
    """A shared cell reaches what any agent may; its users are limited by their permissions."""
    return agent_rights(EVERY, EVERY) if member.cell else rights_of(member)


@dataclass(frozen=True, slots=True)
class _Account:
    """The files of a cell's account."""

    seed_file: Path
    jwt_file: Path

    @property
    def name(self) -> str:
        return self.seed_file.stem

    def key(self) -> Key:
        """Its key, which is made when it is first asked for."""
        if not self.seed_file.exists():
            write_private(self.seed_file, new_key("account").seed)
        return read_key(self.seed_file)

    @property
    def revoked(self) -> dict[str, int]:
        return dict(self._claims().get("revocations", {}))

    @property
    def limits(self) -> Limits:
        bounds = self._claims().get("limits", {"conn": -1, "subs": -1, "payload": -1})
        return Limits(
            connections=bounds["conn"],
            subscriptions=bounds["subs"],
            payload_bytes=bounds["payload"],
        )

    def _claims(self) -> dict[str, Any]:
        """The account's claims; none before it was signed first."""
        return dict(read(self.jwt_file.read_text())["nats"]) if self.jwt_file.exists() else {}


def _noun(role: Role) -> str:
    return "agent" if role == "agent" else "operator"


def _article(role: Role) -> str:
    return f"an {_noun(role)}"
