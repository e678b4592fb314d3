"""Signed claims of NATS: an operator vouches for accounts, an account for its users.

Source: the NATS documentation on JWTs (version 2 of the claims) and nkeys. Promise: what is signed
here is what a nats-server in operator mode accepts; no secret is in a claim.
"""

import base64
import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import nkeys

ALGORITHM: Final = {"typ": "JWT", "alg": "ed25519-nkey"}
VERSION: Final = 2
NO_LIMIT: Final = -1
EVERYONE: Final = "*"
"""In place of a user's public key, where users are shut out."""
KINDS: Final = {
    "operator": nkeys.PREFIX_BYTE_OPERATOR,
    "account": nkeys.PREFIX_BYTE_ACCOUNT,
    "user": nkeys.PREFIX_BYTE_USER,
}
STORED: Final = ("mem_storage", "disk_storage", "streams", "consumer")
"""The limits of an account that keep streams."""

KeyKind = Literal["operator", "account", "user"]
Flow = Literal["service", "stream"]
"""A service is asked and answers; a stream is heard."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key pair; `public` is its name to everyone else."""

    seed: str = field(repr=False)

    @property
    def public(self) -> str:
        name: bytes = nkeys.from_seed(bytearray(self.seed.encode())).public_key
        return name.decode()

    def sign(self, text: bytes) -> bytes:
        """The signature of a text."""
        signature: bytes = nkeys.from_seed(bytearray(self.seed.encode())).sign(text)
        return signature


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """A subject of the house that another account may use."""

    flow: Flow
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an account may take of the broker; -1 is no limit."""

    connections: int = NO_LIMIT
    subscriptions: int = NO_LIMIT
    payload_bytes: int = NO_LIMIT


def new_key(kind: KeyKind) -> Key:
    """A key pair that nobody has."""
    return Key(nkeys.encode_seed(os.urandom(32), KINDS[kind]).decode())


def operator_jwt(operator: Key, *, system_account: str) -> str:
    """The root of trust of a broker, signed by itself."""
    claims = {"type": "operator", "system_account": system_account}
    return _signed(operator, subject=operator.public, name="walras", claims=claims)


def house_jwt(
    operator: Key,
    account: str,
    *,
    exports: Iterable[Right],
    mappings: Mapping[str, str],
    void_until: int,
) -> str:
    """The account with the streams: it offers rights and maps subjects to shards.

    Its users that were signed up to the second `void_until` are shut out.
    """
    offered = [_export(right) for right in sorted(exports)]
    mapped = {key: [{"subject": to, "weight": 100}] for key, to in mappings.items()}
    claims = _account(Limits(), streams=NO_LIMIT)
    claims |= {"exports": offered, "mappings": mapped, "revocations": {EVERYONE: void_until}}
    return _signed(operator, subject=account, name="WALRAS", claims=claims)


def system_jwt(operator: Key, account: str, *, void_until: int) -> str:
    """The account that watches the broker and takes other accounts in."""
    claims = _account(Limits(), streams=0) | {"revocations": {EVERYONE: void_until}}
    return _signed(operator, subject=account, name="SYS", claims=claims)


def cell_jwt(  # noqa: PLR0913 - an account has so many parts
    operator: Key,
    account: str,
    *,
    name: str,
    house: Key,
    rights: Iterable[Right],
    limits: Limits,
    revoked: Mapping[str, int],
) -> str:
    """An account that holds nothing but rights that the house signed for it alone.

    `revoked`: public key of a user to the second up to which what was signed for it is void.
    """
    claims = _account(limits, streams=0)
    claims["imports"] = [_import(house, account, right) for right in sorted(rights)]
    claims["revocations"] = dict(revoked)
    return _signed(operator, subject=account, name=name, claims=claims)


def user_jwt(  # noqa: PLR0913 - a user has so many parts
    account: Key,
    user: str,
    *,
    name: str,
    publish: Sequence[str] | None,
    subscribe: Sequence[str] | None,
    limits: Limits = Limits(),
    expires_at: int | None = None,
    tags: Sequence[str] = (),
) -> str:
    """Someone who may connect; None is no restriction within the account."""
    claims: dict[str, Any] = {
        "type": "user",
        "pub": _allow(publish),
        "sub": _allow(subscribe),
        "subs": limits.subscriptions,
        "data": NO_LIMIT,
        "payload": limits.payload_bytes,
        "allowed_connection_types": ["STANDARD"],
        "tags": list(tags),
    }
    return _signed(account, subject=user, name=name, claims=claims, expires_at=expires_at)


def credentials(jwt: str, user: Key) -> str:
    """The text of a creds file, as every NATS client reads it."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n"
        "Whoever has this file speaks in its owner's name: keep it secret.\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )


def issued_at(creds: str) -> int:
    """The second at which the claims in a creds file were signed."""
    return int(read(creds.split()[4])["iat"])


def read(jwt: str) -> dict[str, Any]:
    """The claims of a JWT that we keep ourselves; its signature is the broker's to check."""
    body = jwt.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def _account(limits: Limits, *, streams: int) -> dict[str, Any]:
    bounds = {
        "subs": limits.subscriptions,
        "conn": limits.connections,
        "payload": limits.payload_bytes,
        "data": NO_LIMIT,
        "leaf": 0,
        "imports": NO_LIMIT,
        "exports": NO_LIMIT if streams else 0,
        "wildcards": bool(streams),
        **dict.fromkeys(STORED, streams),
    }
    return {"type": "account", "limits": bounds, "default_permissions": {"pub": {}, "sub": {}}}


def _export(right: Right) -> dict[str, Any]:
    offered = {
        "name": right.subject,
        "subject": right.subject,
        "type": right.flow,
        "token_req": True,
    }
    return offered | ({"response_type": "Singleton"} if right.flow == "service" else {})


def _import(house: Key, account: str, right: Right) -> dict[str, Any]:
    token = {"type": "activation", "subject": right.subject, "kind": right.flow}
    return {
        "name": right.subject,
        "subject": right.subject,
        "account": house.public,
        "type": right.flow,
        "token": _signed(house, subject=account, name=right.subject, claims=token),
    }


def _allow(subjects: Sequence[str] | None) -> dict[str, Any]:
    """An empty list would allow everything, so what allows nothing denies it."""
    if subjects is None:
        return {}
    return {"allow": list(subjects)} if subjects else {"deny": [">"]}


def _signed(
    issuer: Key,
    *,
    subject: str,
    name: str,
    claims: Mapping[str, Any],
    expires_at: int | None = None,
) -> str:
    body: dict[str, Any] = {
        "iat": int(time.time()),
        "iss": issuer.public,
        "name": name,
        "sub": subject,
        "nats": {**claims, "version": VERSION},
    }
    if expires_at is not None:
        body["exp"] = expires_at
    digest = hashlib.sha256(_json(body)).digest()
    body["jti"] = base64.b32encode(digest).decode().rstrip("=")
    text = f"{_base64(_json(ALGORITHM))}.{_base64(_json(body))}"
    return f"{text}.{_base64(issuer.sign(text.encode()))}"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _base64(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")
