"""Who may speak: credentials of agents and of a market's operators.

Promise: a creds file is complete and readable by its owner alone, and its path goes to stdout; a
revoked agent is shut out when the command returns. What a command needs is loaded when it runs.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from flows.cli.console import print_data, print_json, print_status, start
from flows.cli.output import AS_TABLE, Output, show

if TYPE_CHECKING:
    from connectors.identity.cells import Member, Role

DAYS: Final = re.compile(r"([1-9][0-9]{0,4})d")

Name = Annotated[str, Parameter(help="Agent name.")]
OperatorName = Annotated[str, Parameter(help="Name of the operator, or of what has the role.")]
OneMarket = Annotated[
    str | None, Parameter(help="Market that the credentials are for (default: all).")
]
Expires = Annotated[
    str | None, Parameter(help="Days that they are valid, as in 90d (default: until revoked).")
]
OfficeRoles = Literal["operator", "proxy", "runner", "reader"]


def create(  # noqa: PLR0913 - a command line names each
    name: Name,
    /,
    *,
    market: OneMarket = None,
    cell: Annotated[
        str | None, Parameter(help="Account shared with other agents of one owner (default: own).")
    ] = None,
    expires: Expires = None,
    credits: Annotated[  # noqa: A002 - the option is named so
        str | None, Parameter(help="Credits to grant in --market at once: 12.5")
    ] = None,
    micros: Annotated[
        bool, Parameter(negative="", show_default=False, help="Amounts are in micro-credits.")
    ] = False,
) -> None:
    from flows.cli.amounts import credits_text, micros_of
    from flows.cli.sending import await_outcome, checked, require_applied, send
    from flows.cli.wording import require_names
    from flows.runtime.access import expiry, open_members, write_creds
    from flows.runtime.deployment import for_trading
    from state.errors import SettingsError
    from walras_schemas import CreditsGranted, subjects

    if credits is not None and market is None:
        raise SettingsError(
            "credits are owned in a market",
            detail="--credits was given without --market",
            hint="Name the market, or grant them later with `walras grant`",
        )
    amount = micros_of(credits, name="--credits", in_micros=micros) if credits else None
    if market is not None:
        require_names(market=market)
    ends = expiry(_days(expires))
    settings = start() if amount is None else for_trading(start())
    with open_members(settings) as (members, servers):
        text = members.create(name, market=market or "*", cell=cell, expires_at=ends)
        print_data(str(write_creds(settings, "agent", name, text)))
        if amount is not None and market is not None:
            words = {"agent_id": "NAME", "amount_micros": "--credits"}
            granted = checked(CreditsGranted, words, agent_id=name, amount_micros=amount)
            sent = send(servers, subjects.grant(market), granted)
            require_applied(await_outcome(settings, servers, sent))
            print_status(f"granted: {name} has {credits_text(amount)} more credits in {market}")


def create_operator(
    name: OperatorName,
    /,
    *,
    market: OneMarket = None,
    role: Annotated[OfficeRoles, Parameter(help="What it may do.")] = "operator",
    expires: Expires = None,
) -> None:
    from flows.runtime.access import expiry, open_members, write_creds

    ends = expiry(_days(expires))
    settings = start()
    with open_members(settings) as (members, _):
        text = members.create(name, role=role, market=market or "*", expires_at=ends)
        print_data(str(write_creds(settings, role, name, text)))


def list_agents(*, output: Output = AS_TABLE) -> None:
    from flows.runtime.access import listed_members

    _show(listed_members(start()).all("agent"), output)


def list_operators(*, output: Output = AS_TABLE) -> None:
    from flows.runtime.access import listed_members

    _show((each for each in listed_members(start()).all() if each.role != "agent"), output)


def show_agent(name: Name, /, *, output: Output = AS_TABLE) -> None:
    from connectors.identity.cells import rights_of
    from flows.runtime.access import listed_members

    member = listed_members(start()).get(name)
    fields = _fields(member) | {
        "user": member.user,
        "connections": member.limits.connections,
        "subscriptions": member.limits.subscriptions,
        "payload_bytes": member.limits.payload_bytes,
        "may": [f"{right.flow} {right.subject}" for right in rights_of(member)],
    }
    if output.form == "json":
        print_json(fields)
        return
    for field, value in fields.items():
        lines = value if isinstance(value, list) else [value]
        for number, line in enumerate(lines):
            print_data(f"{'' if number else field:<14} {'' if line is None else line}")


def rotate(name: Name, /, *, expires: Expires = None) -> None:
    _rotate("agent", name, expires)


def rotate_operator(name: OperatorName, /, *, expires: Expires = None) -> None:
    _rotate(_role_of(name), name, expires)


def revoke(name: Name, /) -> None:
    _revoke("agent", name)


def revoke_operator(name: OperatorName, /) -> None:
    _revoke(_role_of(name), name)


def limits(
    name: Name,
    /,
    *,
    connections: Annotated[int | None, Parameter(validator=Number(gte=-1))] = None,
    subscriptions: Annotated[int | None, Parameter(validator=Number(gte=-1))] = None,
    payload_bytes: Annotated[int | None, Parameter(validator=Number(gte=-1))] = None,
) -> None:
    from dataclasses import replace

    from flows.runtime.access import open_members

    asked = {
        "connections": connections,
        "subscriptions": subscriptions,
        "payload_bytes": payload_bytes,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    with open_members(start()) as (members, _):
        member = members.get(name)
        if given:
            member = members.limit(name, replace(member.limits, **given))
    for field in asked:
        print_data(f"{field:<14} {getattr(member.limits, field)}")


def _rotate(role: "Role", name: str, expires: str | None) -> None:
    from flows.runtime.access import expiry, open_members, write_creds

    ends = expiry(_days(expires))
    settings = start()
    with open_members(settings) as (members, _):
        text = members.rotate(name, role=role, expires_at=ends)
        print_data(str(write_creds(settings, role, name, text)))


def _revoke(role: "Role", name: str) -> None:
    from flows.runtime.access import creds_file, open_members

    settings = start()
    with open_members(settings) as (members, _):
        members.revoke(name, role=role)
    Path(creds_file(settings, role, name)).unlink(missing_ok=True)
    print_status(f"{name} is shut out")


def _role_of(name: str) -> "Role":
    from flows.runtime.access import listed_members
    from state.errors import SettingsError

    for member in listed_members(start()).all():
        if member.role != "agent" and member.name == name:
            return member.role
    raise SettingsError(
        f"there is no operator {name}",
        detail="the keys have no claims of it",
        hint="`walras operator list` shows all",
    )


def _fields(member: "Member") -> dict[str, Any]:
    from connectors.identity.cells import state_of

    return {
        "name": member.name,
        "role": member.role,
        "market": member.market,
        "cell": member.cell or "its own",
        "state": state_of(member, now_s=datetime.now(UTC).timestamp()),
        "expires": _time(member.expires_at),
        "issued": _time(member.issued_at),
    }


def _show(members: Iterable["Member"], output: Output) -> None:
    from flows.cli.tables import Sheet

    rows = [_fields(member) for member in members]
    if not rows and output.form != "json":
        print_status("there are none yet")
        return
    columns = tuple(rows[0]) if rows else ()
    show(Sheet(columns, (tuple(row.values()) for row in rows), in_units=False), output.form)


def _time(second: int | None) -> str | None:
    return None if second is None else datetime.fromtimestamp(second, UTC).isoformat()


def _days(text: str | None) -> int | None:
    from state.errors import SettingsError

    if text is None:
        return None
    if not (found := DAYS.fullmatch(text)):
        raise SettingsError(
            "that is no time for credentials to be valid",
            detail="--expires must be a number of days",
            hint="Write it like 90d",
        )
    return int(found[1])
