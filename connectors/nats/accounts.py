"""Accounts on their way to a broker that runs: it learns of them over its system account.

Promise: `push_account` returns when the server has taken the claims; a server that refuses them or
is not there is an error, and then nothing has changed there.
"""

import json
from typing import Any, Final

from nats.errors import NoRespondersError

from connectors.nats.background_loop import run_sync
from connectors.nats.connection import connected, translate_errors
from state.errors import SettingsError
from walras_client.nats.addresses import without_password
from walras_client.nats.connection import Connection

UPDATE: Final = "$SYS.REQ.CLAIMS.UPDATE"
PUSH_DEADLINE_S: Final = 10.0


def push_account(url: str, jwt: str) -> None:
    """Tell the broker of an account; the address has the credentials of the system account."""
    run_sync(_push(url, jwt))


async def _push(url: str, jwt: str) -> None:
    where = without_password(url)
    with translate_errors("NATS did not take the claims of an account", of=where):
        async with connected(url, name="walras keys") as nc:
            answer = await _asked(nc, jwt)
    if "error" in answer:
        raise SettingsError(
            "NATS refuses the claims of an account",
            detail=f"{where}: {answer['error'].get('description', answer['error'])}",
            hint="Is it the broker that these keys were made for? `walras keys server-config` "
            "prints what its file needs",
        )


async def _asked(nc: Connection, jwt: str) -> dict[str, Any]:
    try:
        reply = await nc.request_reply(UPDATE, jwt.encode(), timeout_s=PUSH_DEADLINE_S)
    except NoRespondersError as error:
        raise SettingsError(
            "NATS takes no accounts",
            detail="nothing answers for its system account",
            hint="It needs a resolver of type full: `walras keys server-config` prints one",
        ) from error
    answer: dict[str, Any] = json.loads(reply.data)
    return answer
