"""Where a broker is and how to be let in, as one text: `nats://host:4222?creds=FILE&ca=FILE`.

As in the address of a Postgres (`?sslrootcert=FILE`), the files go with it, so that whoever is
given the address can connect. Promise: the text names files only, never what is in them.
"""

import base64
import json
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qsl, quote

from walras_client.nats.addresses import split_files

JWT_BEGINS: Final = "-----BEGIN NATS USER JWT-----"
INBOX: Final = "_INBOX"


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """The parts of an address."""

    url: str
    creds: Path | None = None
    """The file with the credentials; None on a broker that asks for none."""
    ca: Path | None = None
    """Who vouches for the broker's certificate; None for those whom the system trusts."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address; what is wrong with the URL in it, `read_addresses` says."""
        url, query = split_files(text)
        files = {name: Path(file) for name, file in parse_qsl(query)}
        return cls(url, creds=files.get("creds"), ca=files.get("ca"))

    def using(self, *, creds: Path | None, ca: Path | None) -> Self:
        """The same broker, with these files where they are given."""
        return replace(self, creds=creds or self.creds, ca=ca or self.ca)

    def __str__(self) -> str:
        files = {"creds": self.creds, "ca": self.ca}
        parts = [f"{name}={quote(str(file))}" for name, file in files.items() if file]
        return "?".join([self.url, "&".join(parts)]) if parts else self.url

    def options(self) -> dict[str, Any]:
        """What nats-py's `connect` takes; `ValueError` or `OSError` where a file is wrong."""
        options: dict[str, Any] = {}
        if self.creds:
            options["user_credentials"] = str(self.creds)
            options["inbox_prefix"] = f"{INBOX}.{_owner(self.creds)}"
        if self.ca:
            options["tls"] = ssl.create_default_context(cafile=self.ca)
        return options


def _owner(creds: Path) -> str:
    """Whose credentials they are; replies come to inboxes of that name."""
    _, begins, rest = creds.read_text().partition(JWT_BEGINS)
    try:
        body = rest.split()[0].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        name = claims["name"]
    except (IndexError, KeyError, ValueError):
        name = None
    if not begins or not isinstance(name, str):
        raise ValueError(f"{creds} is not a NATS creds file")
    return name
