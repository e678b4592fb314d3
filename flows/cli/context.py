"""Deployments by name, and the addresses of the one in use.

Promise: a password is written to the context's own file and to `walras env` alone.
"""

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.cli.console import AsJson, print_data, print_json, print_status, start

Name = Annotated[str, Parameter(help="Name of the context.")]


def add(
    name: Name,
    /,
    *,
    nats_url: Annotated[str | None, Parameter(help="NATS server: nats://host:4222")] = None,
    postgres_dsn: Annotated[
        str | None, Parameter(help="Database: postgresql://user:password@host:5432/database")
    ] = None,
    creds: Annotated[Path | None, Parameter(help="File of credentials for NATS.")] = None,
) -> None:
    from flows.runtime import contexts
    from flows.runtime.deployment import for_trading
    from flows.runtime.servers import credentials
    from flows.runtime.settings import load_settings

    given = {"nats_url": nats_url, "postgres_dsn": postgres_dsn, "nats_creds": creds}
    settings = for_trading(load_settings(**{k: v for k, v in given.items() if v is not None}))
    fields = {each: getattr(settings, each) for each in contexts.SETTINGS}
    context = contexts.Context(**fields | {"nats_creds": credentials(settings)})
    print_status(f"the context {name} is in {contexts.add(name, context)}")


def use(
    name: Annotated[str, Parameter(help="Name of the context, or `local` for none.")], /
) -> None:
    from flows.runtime import contexts

    contexts.choose(name)
    print_status(f"commands use the context {name} now; `up` and `demo` run here as before")


def show_all(*, as_json: AsJson = False) -> None:
    from flows.runtime import contexts
    from walras_client.nats.addresses import without_password

    chosen = contexts.chosen()
    known = {contexts.LOCAL: "the deployment of WALRAS_HOME"}
    known |= {name: without_password(contexts.read(name).nats_url) for name in contexts.names()}
    if as_json:
        rows = [{"name": name, "at": at, "chosen": name == chosen} for name, at in known.items()]
        print_json(rows)
        return
    width = max(map(len, known))
    for name, at in known.items():
        print_data(f"{'*' if name == chosen else ' '} {name:<{width}}  {at}")


def env() -> None:
    from flows.runtime.deployment import for_trading
    from flows.runtime.servers import credentials

    settings = for_trading(start())
    creds = credentials(settings)
    print_data(f"export WALRAS_NATS_URL={shlex.quote(settings.nats_url or '')}")
    print_data(f"export WALRAS_POSTGRES_DSN={shlex.quote(settings.postgres_dsn or '')}")
    if creds is None:
        print_data(f"export WALRAS_NATS_AUTH={settings.nats_auth}")
    else:
        print_data(f"export WALRAS_NATS_CREDS={shlex.quote(str(creds))}")
