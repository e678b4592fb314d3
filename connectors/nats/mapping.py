"""Whether the server spreads the markets over as many shards as the settings say.

The mapping stands in the server's own configuration, where no stream shows it. Promise: it is
proven by asking the logs, and nothing is written to them.
"""

import asyncio
import json
from typing import Final

from nats.errors import NoRespondersError

from connectors.nats.subjects import clock_subject, stream_name
from state.errors import SettingsError
from walras_client.nats.connection import Connection

# So many names that a shard which none of them reaches is one that the mapping leaves out.
PROBES_PER_SHARD: Final = 24
NO_STREAM: Final = "no stream"
PROBE_DEADLINE_S: Final = 5.0


async def check_mapping(nc: Connection, shards: int) -> None:
    """Raise when the server's mapping is missing or made for another number of shards."""
    expected = {stream_name(shard) for shard in range(shards)}
    markets = [f"market.probe-{number}.market" for number in range(PROBES_PER_SHARD * shards)]
    reached = set(await asyncio.gather(*(_stream_behind(nc, subject) for subject in markets)))
    if reached != expected:
        raise _wrong(f"markets reach {_listed(reached)}", shards)
    for shard in range(shards):
        behind = await _stream_behind(nc, clock_subject(shard))
        if behind != stream_name(shard):
            raise _wrong(f"{clock_subject(shard)} reaches {behind}", shards)


async def _stream_behind(nc: Connection, subject: str) -> str:
    """The stream that would take the subject: one that expects another stream takes nothing."""
    nowhere = {"Nats-Expected-Stream": "-"}
    try:
        refusal = await nc.request(subject, b"", timeout=PROBE_DEADLINE_S, headers=nowhere)
    except NoRespondersError:
        return NO_STREAM
    stream: str = json.loads(refusal.data)["stream"]
    return stream


def _listed(streams: set[str]) -> str:
    return ", ".join(sorted(streams))


def _wrong(found: str, shards: int) -> SettingsError:
    return SettingsError(
        f"the NATS server does not spread the markets over {shards} shards",
        detail=found,
        hint=f"Start it with connectors/nats/nats.conf and partition({shards},1) in NATS_MARKETS",
    )
