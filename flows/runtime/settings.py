"""What an operator may set, and the only module that reads the environment.

Promise: a variable that is wrong, or that nobody knows, stops the start and is named; nothing is
quietly replaced by a default. Each setting is read from its name in capitals behind `WALRAS_`; a
variable that is empty counts as not set.
"""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from state.errors import SettingsError
from walras_client.nats.addresses import FORM, read_addresses

PREFIX: Final = "WALRAS_"
MIB: Final = 1 << 20
GIB: Final = 1 << 30
SHARDS_MAX: Final = 64
DAY_MS: Final = 86_400_000
PORT_MAX: Final = 65_535
REPLACED: Final = {"WALRAS_WORKERS": "WALRAS_PROCESSES"}
"""Settings of earlier versions, and what stands in their place."""


def _nats_url(url: str) -> str:
    if not url.startswith(("nats://", "tls://")):
        raise ValueError(f"its value does not look like {FORM}")
    read_addresses(url)
    return url


def _postgres_dsn(dsn: str) -> str:
    if not dsn.startswith(("postgresql://", "postgres://")) and "=" not in dsn:
        raise ValueError(
            "its value does not look like postgresql://user:password@host:5432/database"
        )
    return dsn


NatsUrl = Annotated[str, AfterValidator(_nats_url)]
PostgresDsn = Annotated[str, AfterValidator(_postgres_dsn)]
Exported = Annotated[Literal["off", "otlp"], BeforeValidator(str.lower)]
Shown = Annotated[Literal["off", "page", "otlp"], BeforeValidator(str.lower)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)]


class Settings(BaseSettings):
    """Everything that can be set; the same settings mean the same deployment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    home: Path = Path(".walras")
    """Where the embedded servers keep their files."""
    nats_url: NatsUrl | None = Field(default=None, repr=False)
    """The NATS server with the log; without one the embedded server is started."""
    nats_auth: Literal["accounts", "none"] = "accounts"
    """Who may speak on NATS: `accounts` asks for credentials, `none` asks nobody."""
    nats_creds: Path | None = None
    """Credentials on the NATS server; without them those of the keys in `home`."""
    nats_ca: Path | None = None
    """Certificates to trust for `tls://`; without them those that the system trusts."""
    postgres_dsn: PostgresDsn | None = Field(default=None, repr=False)
    """The Postgres database with the ledger; without one the embedded server is started."""
    shards: int = Field(default=1, ge=1, le=SHARDS_MAX)
    """Over how many logs the markets are spread; it cannot change once a log has begun."""
    window_ms: int = Field(default=1000, ge=10, le=DAY_MS)
    """How long a window is; it cannot change once a ledger has begun."""
    processes: int = Field(default=1, ge=1, le=SHARDS_MAX)
    """Processes that run the flow, on this machine, each over shards of its own."""
    stream_max_bytes: int = Field(default=4 * GIB, ge=MIB)
    """The size at which the log of a shard is full and takes no more commands."""
    health_port: int = Field(default=7117, ge=0, le=PORT_MAX)
    """Port of the loopback for `/healthz`, `/readyz` and `/metrics` of `walras up`; 0 serves none.

    With several processes the n-th of them serves its own metrics n + 1 ports above."""
    log_level: LogLevel = "INFO"
    """The least severe event that is logged."""
    metrics: Shown = "page"
    """Where metrics go: nowhere, to the page `/metrics`, or over OTLP too."""
    traces: Exported = "off"
    """Whether the bids whose senders sampled them become spans, over OTLP."""
    trace_ratio: float = Field(default=0.01, ge=0, le=1)
    """The share of the traces that senders have sampled which is kept, by the trace id."""
    logs: Exported = "off"
    """Whether log events leave over OTLP, beside stderr."""


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; `overrides` go before the environment."""
    unknown = _unknown(os.environ)
    if unknown:
        raise _wrong([f"{name}: there is no such setting" for name in unknown], unknown[0])
    try:
        return Settings(**overrides)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise _wrong(map(_describe, details), _variable(details[0])) from None


def config_folder() -> Path:
    """The folder for what a user chooses, which all folders of deployments share."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".config") / "walras"


def variables() -> dict[str, str]:
    """Every variable that is read, with its default as text."""
    return {
        f"{PREFIX}{name.upper()}": "" if field.default is None else str(field.default)
        for name, field in Settings.model_fields.items()
    }


def _unknown(environment: Iterable[str]) -> list[str]:
    known = variables()
    return sorted(
        name
        for name in environment
        if name.upper().startswith(PREFIX) and name.upper() not in known
    )


def _variable(detail: ErrorDetails) -> str:
    return f"{PREFIX}{detail['loc'][0]}".upper()


def _describe(detail: ErrorDetails) -> str:
    """What is wrong with one variable; its value stays unsaid, for it may hold a password."""
    text = detail["msg"].removeprefix("Value error, ")
    return f"{_variable(detail)}: {text[0].lower()}{text[1:]}"


def _wrong(lines: Iterable[str], first: str) -> SettingsError:
    return SettingsError(
        "the settings are wrong", detail="\n".join(lines), hint=_hint(first.upper())
    )


def _hint(name: str) -> str:
    if name in REPLACED:
        return f"Use {REPLACED[name]} in its place, and unset {name}"
    near = get_close_matches(name, variables(), n=1)
    if near and near[0] != name:
        return f"Did you mean {near[0]}?"
    return f"Correct {name} or unset it"
