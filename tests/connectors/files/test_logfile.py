"""The log file: what is written is exact, and what is read is checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from connectors.files.logfile import read_batches, write_log
from state.errors import LogGap, SettingsError
from state.log import RawBatch

LINE: Final = (
    '{"seq":1,"timestamp_ns":5,"subject":"market.m1.bid.a1","payload":"{}","headers":{}}\n'
)


@dataclass(frozen=True)
class Message:
    """A message as any reader of a log may return it."""

    seq: int
    timestamp_ns: int
    payload: bytes = b"{}"
    subject: str = "market.m1.bid.a1"
    headers: Mapping[str, str] = field(default_factory=dict)


def read(path: Path, *, batch_size: int = 100, window_ms: int = 1000) -> list[RawBatch]:
    return list(read_batches(path, shard=3, batch_size=batch_size, window_ms=window_ms))


def test_the_form_of_a_line(tmp_path: Path) -> None:
    """Other programs read this file too: to them a renamed field is a missing one."""
    file = tmp_path / "log"
    text, raw = Message(1, 5, "ü".encode(), headers={"traceparent": "00"}), Message(2, 6, b"\xff")
    assert 2 == write_log(file, [text, raw])
    subject = "market.m1.bid.a1"
    first = {"seq": 1, "timestamp_ns": 5, "subject": subject, "payload": "ü"}
    second = {"seq": 2, "timestamp_ns": 6, "subject": subject, "payload_b64": "/w=="}
    assert [first | {"headers": {"traceparent": "00"}}, second | {"headers": {}}] == [
        json.loads(line) for line in file.read_text().splitlines()
    ]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_batches_are_contiguous_and_the_last_one_closes_the_window(
    tmp_path: Path, batch_size: int
) -> None:
    """Without the closing tick the last bids of a replay would never be settled."""
    file = tmp_path / "log"
    times = [1_000_000_000, 3_999_999_999, 2_500_000_000]
    write_log(file, [Message(seq, at, b"%d" % seq) for seq, at in enumerate(times, start=1)])
    *batches, closing = read(file, batch_size=batch_size)
    assert times == [at for batch in batches for at in batch.timestamps_ns]
    assert [b"1", b"2", b"3"] == [payload for batch in batches for payload in batch.payloads]
    assert max(len(batch.payloads) for batch in batches) <= batch_size
    assert [*range(1, 4, batch_size)] == [batch.first_seq for batch in batches]
    assert RawBatch(3, 4, [4_000_000_000], ["clock.3"], [b""]) == closing


def test_a_message_on_a_boundary_is_in_the_later_window(tmp_path: Path) -> None:
    """The window that begins with the last message must be closed as well."""
    file = tmp_path / "log"
    write_log(file, [Message(1, 4_000_000_000)])
    assert [5_000_000_000] == read(file)[-1].timestamps_ns
    assert [4_500_000_000] == read(file, window_ms=500)[-1].timestamps_ns


def test_an_empty_file_has_no_window_to_close(tmp_path: Path) -> None:
    """A tick at time zero would open window 0 of a market that never was."""
    file = tmp_path / "log"
    file.write_bytes(b"")
    assert [] == read(file)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "Input data was truncated"),
        ("not json", "malformed"),
        (LINE[:40], "malformed"),
        (LINE.replace('"seq":1', '"seq":"1"'), "Expected `int`, got `str`"),
        (LINE.replace('"seq":1', '"seq":0'), ">= 1"),
        (LINE.replace('"timestamp_ns":5', '"timestamp_ns":5.5'), "Expected `int`, got `float`"),
        (LINE.replace('"timestamp_ns":5', f'"timestamp_ns":{2**63}'), "<= 9223372036854775807"),
        (LINE.replace('"timestamp_ns":5', f'"timestamp_ns":{10**30}'), "<= 9223372036854775807"),
        (LINE.replace('"subject"', '"topic"'), "unknown field `topic`"),
        (LINE.replace('"payload":"{}",', ""), "exactly one of payload and payload_b64"),
        (LINE.replace('"headers"', '"payload_b64":"","headers"'), "exactly one of"),
        (LINE.replace('"payload":"{}"', '"payload":null'), "Expected `str`, got `null`"),
        (LINE.replace('"payload":"{}"', '"payload_b64":"a"'), "base64"),
        (LINE.replace('"payload":"{}"', '"payload_b64":"a*=="'), "base64"),
        (LINE.replace('"payload":"{}"', '"payload":"\\ud800"'), "surrogate"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    """A file cut short by a full disk must not replay as a shorter market."""
    file = tmp_path / "log"
    file.write_text(LINE + line.rstrip("\n") + "\n")
    with pytest.raises(SettingsError, match="the log file is damaged") as refused:
        read(file)
    assert f"{file}, line 2: " in refused.value.detail
    assert reason in refused.value.detail


@pytest.mark.parametrize("found", [1, 3])
def test_a_missing_or_repeated_message_is_a_gap(tmp_path: Path, found: int) -> None:
    """Two files joined in the wrong order would replay as a market that never was."""
    file = tmp_path / "log"
    write_log(file, [Message(1, 5), Message(found, 6)])
    with pytest.raises(LogGap, match=f"line 2: sequence 2 is next, found {found}"):
        read(file)


def test_a_log_without_its_beginning_is_a_gap(tmp_path: Path) -> None:
    """Balances come from the first grants: the end of a log alone has none."""
    file = tmp_path / "log"
    write_log(file, [Message(2, 5)])
    with pytest.raises(LogGap, match="line 1: sequence 1 is next, found 2"):
        read(file)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    """The most common mistake must not end in a traceback."""
    with pytest.raises(SettingsError, match="No such file"):
        read(tmp_path / "nothing")
