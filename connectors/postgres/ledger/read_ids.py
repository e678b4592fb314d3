"""The event ids that agents used lately: millions are taken into the index, not one by one."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from connectors.postgres.ledger.binary import Rows, read_packed
from connectors.postgres.statements import read_statement
from state.dedupe import BUCKET_MS, TIME_BYTES, DedupeIndex

_IDS: Final = read_statement("recent_agent_ids")
_PACKED: Final = np.dtype([("account", ">i4"), ("event_id", "V16")])
_KEY: Final = np.dtype([("account", "<i4"), ("event_id", "V16")])
"""The bytes of `state.dedupe.agent_key`."""


def agents_ids(conn: Connection, recent: Mapping[str, object]) -> DedupeIndex:
    """The index of what agents sent in the rows that `recent` names."""
    rows = read_packed(conn, _IDS, recent, _PACKED)
    used, keys = DedupeIndex(), rows.astype(_KEY).view(f"V{_KEY.itemsize}")
    buckets = _carried_ms(rows) // BUCKET_MS
    for bucket in np.unique(buckets).tolist():
        used.remember_all(keys[buckets == bucket].tolist(), at_ms=bucket * BUCKET_MS)
    return used


def _carried_ms(rows: Rows) -> NDArray[np.int64]:
    """The time that each id carries in its first bytes."""
    padded = np.zeros((len(rows), 8), dtype=np.uint8)
    ids = np.frombuffer(rows["event_id"].tobytes(), dtype=np.uint8).reshape(-1, 16)
    padded[:, 8 - TIME_BYTES :] = ids[:, :TIME_BYTES]
    return padded.view(">i8").ravel().astype(np.int64)
