"""A shard's log as JSON lines: one message per line, in the order of the sequences.

Promise: what was written is read back byte for byte, whatever the payloads hold; a file that is
damaged or lacks a message is refused with the line, and not read any further.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from state.errors import LogGap, SettingsError
from state.log import Message, RawBatch
from walras_schemas import INT64_MAX

NS_PER_MS: Final = 1_000_000

Positive = Annotated[int, msgspec.Meta(ge=1, le=INT64_MAX)]


class LoggedMessage(Message, Protocol):
    """A message as a log file keeps it: with its headers."""

    @property
    def headers(self) -> Mapping[str, str]: ...


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """A line of the file; it has exactly one of the two payloads."""

    seq: Positive
    timestamp_ns: Positive
    subject: str
    payload: str | UnsetType = UNSET
    payload_b64: str | UnsetType = UNSET
    headers: Mapping[str, str] = {}

    @property
    def content(self) -> bytes:
        """The payload as it was in the log."""
        if isinstance(self.payload, str) and self.payload_b64 is UNSET:
            return self.payload.encode()
        if isinstance(self.payload_b64, str) and self.payload is UNSET:
            return base64.b64decode(self.payload_b64, validate=True)
        raise ValueError("exactly one of payload and payload_b64 must be there")


def write_log(path: Path, messages: Iterable[LoggedMessage]) -> int:
    """Write the messages in their order; returns how many there were."""
    encoder = msgspec.json.Encoder()
    written = 0
    with path.open("wb") as file:
        for message in messages:
            file.write(encoder.encode(_line_of(message)) + b"\n")
            written += 1
    return written


def read_batches(path: Path, *, shard: int, batch_size: int, window_ms: int) -> Iterator[RawBatch]:
    """The log in batches, then one tick that closes the last window, if there was any message."""
    messages = _read_messages(path)
    next_seq = 1
    latest_ns = 0
    while some := list(islice(messages, batch_size)):
        batch = _batch_of(some, shard=shard, first_seq=next_seq)
        next_seq += len(some)
        latest_ns = max(latest_ns, *batch.timestamps_ns)
        yield batch
    if next_seq > 1:
        yield _closing_tick(shard, next_seq, latest_ns, window_ns=window_ms * NS_PER_MS)


def _closing_tick(shard: int, seq: int, latest_ns: int, *, window_ns: int) -> RawBatch:
    """The tick at the end of the window of the latest message."""
    return RawBatch(
        shard=shard,
        first_seq=seq,
        timestamps_ns=[(latest_ns // window_ns + 1) * window_ns],
        subjects=[f"clock.{shard}"],
        payloads=[b""],
    )


def _batch_of(messages: list[tuple[int, str, bytes]], *, shard: int, first_seq: int) -> RawBatch:
    timestamps_ns, subjects, payloads = map(list, zip(*messages, strict=True))
    return RawBatch(shard, first_seq, timestamps_ns, subjects, payloads)


def _read_messages(path: Path) -> Iterator[tuple[int, str, bytes]]:
    """Time, subject and payload of each line; the n-th line must be sequence n."""
    decoder = msgspec.json.Decoder(Line)
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                line, payload = _decoded(decoder, text, path=path, number=number)
                if line.seq != number:
                    raise _gap(path, expected_seq=number, found_seq=line.seq)
                yield line.timestamp_ns, line.subject, payload
    except OSError as failure:
        raise SettingsError(
            "the log file cannot be read",
            detail=str(failure),
            hint="Check its name and its permissions",
        ) from failure


def _decoded(
    decoder: msgspec.json.Decoder[Line], text: bytes, *, path: Path, number: int
) -> tuple[Line, bytes]:
    try:
        line = decoder.decode(text)
        payload = line.content
    except (msgspec.DecodeError, ValueError) as failure:
        raise SettingsError(
            "the log file is damaged",
            detail=f"{path}, line {number}: {failure}",
            hint="Export the log again",
        ) from failure
    return line, payload


def _line_of(message: LoggedMessage) -> Line:
    line = Line(message.seq, message.timestamp_ns, message.subject, headers=message.headers)
    try:
        line.payload = message.payload.decode()
    except UnicodeDecodeError:
        line.payload_b64 = base64.b64encode(message.payload).decode()
    return line


def _gap(path: Path, *, expected_seq: int, found_seq: int) -> LogGap:
    return LogGap(
        "the log file has a gap",
        detail=f"{path}, line {expected_seq}: sequence {expected_seq} is next, found {found_seq}",
        hint="A replay starts with the first message of a shard: export the whole log again",
    )
