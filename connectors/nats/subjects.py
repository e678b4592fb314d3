"""Where a message lies in the log: the public subject, behind the shard that the server chose.

The server's mapping (nats.conf) puts `market.<market>.…` under `shard.<k>.market.<market>.…`, and
`clock.<k>` under `shard.<k>.clock`. Promise: outside this folder subjects are the public ones.
"""

from typing import Final

from walras_client.nats.connection import readable

TICKS: Final = "TICKS"
WINDOWS: Final = "WINDOWS"
RESULTS: Final = "RESULTS"
"""Where version 1 kept its results."""
SHARD_PREFIX: Final = "SHARD_"
REMEMBERED_SUBJECTS: Final = 1 << 17


def stream_name(shard: int) -> str:
    """The stream that holds the log of a shard."""
    return f"{SHARD_PREFIX}{shard}"


def shard_of(stream: str) -> int:
    """The shard whose log the stream holds."""
    return int(stream.removeprefix(SHARD_PREFIX))


def stored_subjects(shard: int) -> str:
    """All that the stream of a shard takes."""
    return f"shard.{shard}.>"


def stored_subject(public: str, *, shard: int) -> str:
    """Where a message of the shard's markets lies in its stream."""
    return f"shard.{shard}.{public}"


def clock_subject(shard: int) -> str:
    """Where a tick of the shard is published."""
    return f"clock.{shard}"


def stored_clock(shard: int) -> str:
    """Where a tick of the shard lies in its stream."""
    return f"shard.{shard}.clock"


def public_subject(stored: bytes, *, shard: int) -> str:
    """The subject that the message was published to, given where it is stored."""
    public = readable(stored.split(b".", 2)[2])
    return clock_subject(shard) if public == "clock" else public


class PublicSubjects(dict[bytes, str]):
    """Where a message is stored to the subject it was published to, for one shard.

    A log has the same few subjects again and again; of one with too many the oldest are forgotten
    all at once.
    """

    def __init__(self, shard: int) -> None:
        super().__init__()
        self._shard = shard

    def __missing__(self, stored: bytes) -> str:
        """Work it out, and remember it."""
        if len(self) >= REMEMBERED_SUBJECTS:
            self.clear()
        public = self[stored] = public_subject(stored, shard=self._shard)
        return public
