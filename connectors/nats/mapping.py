"""The proof that the server spreads the markets over exactly our shards.

The mapping stands in the server's own configuration, where no stream tells of it: without it a
command goes nowhere, with another number a market lives in a shard that nobody reads.
Promise: the log is asked, not written to.
"""

import asyncio

import msgspec
from nats.aio.client import Client
from nats.errors import NoRespondersError

from connectors.nats.subjects import clock_subject, stream_name
from state.errors import SettingsError

# So many names that a shard which none of them reaches is one that the mapping leaves out.
PROBES_PER_SHARD = 24
NO_STREAM = "no stream"
PROBE_DEADLINE_S = 5.0


async def check_mapping(nc: Client, shards: int) -> None:
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


async def _stream_behind(nc: Client, subject: str) -> str:
    """The stream that would take the subject: one that expects another stream takes nothing."""
    nowhere = {"Nats-Expected-Stream": "-"}
    try:
        refusal = await nc.request(subject, b"", timeout=PROBE_DEADLINE_S, headers=nowhere)
    except NoRespondersError:
        return NO_STREAM
    stream: str = msgspec.json.decode(refusal.data)["stream"]
    return stream


def _listed(streams: set[str]) -> str:
    return ", ".join(sorted(streams))


def _wrong(found: str, shards: int) -> SettingsError:
    return SettingsError(
        f"the NATS server does not spread the markets over {shards} shards",
        detail=found,
        hint=f"Start it with connectors/nats/nats.conf and partition({shards},1) in NATS_MARKETS",
    )
