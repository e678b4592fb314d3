"""Deployments by name, as a person chooses between them: one JSON file each, and which is chosen.

They lie in the user's configuration folder, like those of the `nats` command. Promise: a file can
be read by its owner alone, since it may hold a password; what the environment says goes before a
context, and `local` stands for no context: the deployment of `WALRAS_HOME`.
"""

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.runtime.settings import NatsUrl, PostgresDsn, Settings, config_folder
from state.errors import SettingsError

LOCAL: Final = "local"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
SETTINGS: Final = (
    *("nats_url", "postgres_dsn", "nats_auth", "nats_creds", "nats_ca", "shards", "window_ms"),
)
"""What a context sets where the environment does not."""


class Context(BaseModel):
    """How to reach a deployment that runs elsewhere."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    nats_url: NatsUrl = Field(repr=False)
    postgres_dsn: PostgresDsn = Field(repr=False)
    nats_auth: Literal["accounts", "none"] = "accounts"
    nats_creds: Path | None = None
    nats_ca: Path | None = None
    shards: int
    window_ms: int


def with_context(settings: Settings) -> Settings:
    """The settings, with what the chosen context says where the environment says nothing."""
    name = chosen()
    if name == LOCAL:
        return settings
    context = read(name)
    unset = [each for each in SETTINGS if each not in settings.model_fields_set]
    return settings.model_copy(update={each: getattr(context, each) for each in unset})


def chosen() -> str:
    """The name of the chosen context."""
    try:
        return _choice().read_text().strip() or LOCAL
    except OSError:
        return LOCAL


def choose(name: str) -> None:
    """Choose a context, or `local` for none."""
    if name == LOCAL:
        _choice().unlink(missing_ok=True)
        return
    read(name)
    _write(_choice(), f"{name}\n")


def names() -> list[str]:
    """Those that were added."""
    return sorted(file.stem for file in _file(LOCAL).parent.glob("*.json"))


def read(name: str) -> Context:
    """A context that was added."""
    try:
        return Context.model_validate_json(_file(name).read_bytes())
    except FileNotFoundError:
        near = get_close_matches(name, names(), n=1)
        raise SettingsError(
            f"there is no context {name}",
            detail=f"there are {', '.join([LOCAL, *names()])}",
            hint=f"Did you mean {near[0]}?" if near else "Add it with `walras context add`",
        ) from None
    except (OSError, ValidationError) as error:
        wrong = error.errors()[0] if isinstance(error, ValidationError) else None
        where = ".".join(map(str, wrong["loc"])) if wrong else ""
        reason = f"{where}: {wrong['msg']}" if wrong else str(error)
        raise SettingsError(
            f"the context {name} cannot be read",
            detail=f"{_file(name)}: {reason}",
            hint=f"Add it again with `walras context add {name}`",
        ) from None


def add(name: str, context: Context) -> Path:
    """Keep a context, in place of an earlier one of that name; its file."""
    if name == LOCAL or not NAME.fullmatch(name):
        raise SettingsError(
            "the context has no valid name",
            detail=f"{name!r} is "
            + ("the deployment of WALRAS_HOME" if name == LOCAL else "not a name of a file"),
            hint="Use letters, digits, `.`, `-` and `_`, with a letter or digit first",
        )
    _write(_file(name), context.model_dump_json(indent=2) + "\n")
    return _file(name)


def _file(name: str) -> Path:
    return config_folder() / "context" / f"{name}.json"


def _choice() -> Path:
    return config_folder() / "context.txt"


def _write(file: Path, text: str) -> None:
    """Write a file that only its owner reads; it appears as a whole."""
    draft = file.with_suffix(".draft")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
        draft.replace(file)
    except OSError as error:
        raise SettingsError(
            "the context cannot be kept",
            detail=f"{file}: {error.strerror or error}",
            hint="Set XDG_CONFIG_HOME to a folder that you can write to",
        ) from error
