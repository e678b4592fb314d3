"""Numbers in Postgres's binary form, many at once: rows for COPY, arrays, and packed results.

**Promise:** what is packed is what Postgres reads as the same numbers, and the other way round,
without a Python object for any of them.
"""

from collections.abc import Mapping
from typing import Any, Final, LiteralString

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

Rows = NDArray[np.void]

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_LENGTH: Final = " length"


class Layout:
    """Columns of fixed width, none of them null, as COPY carries them: each behind its length."""

    def __init__(self, **columns: str) -> None:
        fields: list[tuple[str, str]] = [("fields", ">i2")]
        for name, dtype in columns.items():
            fields += [(name + _LENGTH, ">i4"), (name, dtype)]
        self._template = np.zeros((), dtype=fields)
        self._template["fields"] = len(columns)
        for name in columns:
            self._template[name + _LENGTH] = self._template[name].dtype.itemsize

    def rows(self, count: int) -> Rows:
        """So many rows, whose columns are to be set by name."""
        return np.full(count, self._template)

    def pack(self, rows: Rows) -> bytes:
        """The rows as the content of a COPY to the server."""
        return b"".join((_SIGNATURE, rows.data, _TRAILER))


def read_packed(
    conn: Connection,
    query: LiteralString,
    parameters: Mapping[str, object],
    dtype: np.dtype[np.void],
) -> Rows:
    """The values that a query packs into pieces of bytes, one after the other and big-endian.

    A row of its own for each would be most of the work when there are millions.
    """
    pieces = conn.cursor(binary=True).execute(query, parameters)
    return np.frombuffer(b"".join(piece for (piece,) in pieces), dtype)


class Int4Array(bytes):
    """A parameter of type int4[]."""


class Int8Array(bytes):
    """A parameter of type int8[]."""


def int4_array(values: NDArray[np.int32]) -> Int4Array:
    """At least one number of 32 bits."""
    return Int4Array(_array(values, ">i4", psycopg.adapters.types["int4"].oid))


def int8_array(values: NDArray[np.int64]) -> Int8Array:
    """At least one number of 64 bits."""
    return Int8Array(_array(values, ">i8", psycopg.adapters.types["int8"].oid))


def _array(values: NDArray[Any], dtype: str, oid: int) -> bytes:
    """One dimension without nulls whose first index is 1; each element behind its length."""
    header = np.array([1, 0, oid, len(values), 1], dtype=">i4")
    items = np.empty(len(values), dtype=[("length", ">i4"), ("value", dtype)])
    items["length"], items["value"] = np.dtype(dtype).itemsize, values
    return header.tobytes() + items.tobytes()


class _Int4ArrayDumper(Dumper):
    format = Format.BINARY
    oid = psycopg.adapters.types["int4"].array_oid

    def dump(self, obj: Int4Array) -> bytes:
        return obj


class _Int8ArrayDumper(_Int4ArrayDumper):
    oid = psycopg.adapters.types["int8"].array_oid


psycopg.adapters.register_dumper(Int4Array, _Int4ArrayDumper)
psycopg.adapters.register_dumper(Int8Array, _Int8ArrayDumper)
