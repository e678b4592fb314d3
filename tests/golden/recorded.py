"""The files of the recorded logs: one gzipped JSON line per message, and what they must come to."""

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from state.log import Message
from state.window import ClosedWindow, Settlement
from tests.operators.steps import final_digest, settlements
from tests.twin.rows import LogRecord
from walras_schemas import BidStatus

HERE: Final = Path(__file__).parent
DIGESTS: Final = HERE / "digests.json"


def path_of(name: str) -> Path:
    """Where a recorded log lies."""
    return HERE / f"{name}.jsonl.gz"


def write(name: str, records: Iterable[Message]) -> None:
    """Record a log; equal logs give equal files."""
    lines = "".join(json.dumps(_line(record), ensure_ascii=False) + "\n" for record in records)
    path_of(name).write_bytes(gzip.compress(lines.encode(), mtime=0))


def read(name: str) -> list[LogRecord]:
    """The log as it was recorded."""
    lines = gzip.decompress(path_of(name).read_bytes()).decode().split("\n")
    return [_record(json.loads(line)) for line in lines if line]


def expected() -> dict[str, dict[str, Any]]:
    """What every recorded log must come to."""
    outcomes: dict[str, dict[str, Any]] = json.loads(DIGESTS.read_text())
    return outcomes


def outcome(windows: Sequence[ClosedWindow]) -> dict[str, Any]:
    """The digest of a ledger, and what it holds in numbers."""
    settled = settlements(windows)
    bids = Counter(str(bid.status) for window in settled for bid in window.bids)
    prices = [price for window in settled for price in window.prices]
    return {
        "digest": final_digest(windows),
        "windows": len(settled),
        "idle_windows": len(windows) - len(settled),
        "bids": {status.value: bids[status.value] for status in BidStatus},
        "commands": sum(len(window.commands) for window in settled),
        "dead_letters": sum(len(window.dead_letters) for window in settled),
        "stale_prices": sum(price.stale for price in prices),
        "fresh_prices": sum(not price.stale for price in prices),
        "scarce_together": _scarce_together(settled),
        "lots": sum(len(window.metering.lots) for window in settled),
        "holds": sum(len(window.metering.holds) for window in settled),
        "usage": sum(len(window.metering.usage) for window in settled),
        "reasons": dict(sorted(_reasons(settled).items())),
    }


def _reasons(windows: Iterable[Settlement]) -> Counter[str]:
    """How often each reason was given."""
    reasons: Counter[str] = Counter()
    for window in windows:
        reasons.update(str(bid.reason) for bid in window.bids if bid.reason)
        reasons.update(str(row.reason) for row in window.commands if row.reason)
    return reasons


def _scarce_together(windows: Iterable[Settlement]) -> int:
    """In how many windows of a market several resources sold above their reserves."""
    above = Counter(
        (window.window_id, price.market)
        for window in windows
        for price in window.prices
        if (price.clearing_micros or 0) > price.reserve_micros
    )
    return sum(count > 1 for count in above.values())


def _line(record: Message) -> dict[str, Any]:
    line = {
        "seq": record.seq,
        "timestamp_ns": record.timestamp_ns,
        "subject": record.subject,
        "headers": {},
    }
    try:
        return line | {"payload": record.payload.decode()}
    except UnicodeDecodeError:
        return line | {"payload_b64": base64.b64encode(record.payload).decode()}


def _record(line: dict[str, Any]) -> LogRecord:
    encoded = line.get("payload_b64")
    payload = line["payload"].encode() if encoded is None else base64.b64decode(encoded)
    return LogRecord(line["seq"], line["timestamp_ns"], line["subject"], payload)
