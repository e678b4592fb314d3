r"""Turns the lines of a market's story into the log they describe, and what they expect of it.

**Promise:** the same story gives the same log. A story starts with a fresh window of one second;
each message comes 1 ms after the one before, and a window ends only where the story says `close` or
moves the clock. Beside the commands (see `notation`) a story has these lines:

    bid a1 gpu 3 @ 10         -> won 2 pay 16      a bid must say what becomes of it: won, lost,
                                                   withdrawn, dead, or the reason it is rejected
    grant a1 100              -> applied           what any other command does unless it says more
    + bid a1 gpu 1 @ 2        -> lost              in the same message as the line before: a batch
    raw <subject> <payload>   -> dead              the text as it is; $id is a fresh id, $x the one
                                                   called x ($X in capitals), \xff one byte,
                                                   'ab' * 9 the quoted text nine times
    tick                                           a tick inside the window
    clock +300 / clock -300                        the server's clock jumps, in milliseconds
    close                     -> gpu price 8 sold 2, cpu unsold stale
    close 3                                        the window ends, and so do two idle ones after it
    in m2: closed             -> gpu price 5       the last closed window again, of another market
    balance a1 = 84                                what the postings up to here add up to
    windows = 0 2                                  the windows with a row, counted from the first
    window 2 = 7 to 9                              the sequences of its first and last message
    allowance a1 gpu = won 5 free 3 used 2         at the end of the story; what is not named is 0
    lots a1 gpu = 3 of 5 until 2, 4 of 4 until 3   at the end: what remains, last windows from 0
    usage 1 = 4 of 5 partial, 2 of 2 lost          at the end, of holds 1: used, held and outcome
    meter 0 = epoch 1 next 3 window 2              at the end

A command may add `as x` (its id is called x), `again x` (it uses that id), `aged 60001` or
`early 5001` (its id is that many milliseconds old or early). `in m2: ` before a line moves it from
market m1 to m2. A line that starts with # is a remark.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.stories import wording
from tests.stories.notation import read_command, take
from tests.twin.rows import LogRecord

WINDOW_MS: Final = 1_000
START_MS: Final = 1_760_000_000_000
FIRST_WINDOW: Final = START_MS // WINDOW_MS
NS_PER_MS: Final = 1_000_000

Event = dict[str, Any]
Outcome = tuple[wording.Describe, str]


@dataclass(frozen=True, slots=True)
class Expectation:
    """A line's expected outcome, and how rows describe the actual one in the same words."""

    number: int
    line: str
    expected: str
    describe: wording.Describe


@dataclass(slots=True)
class Story:
    """A story as it was read: its log, what it expects, and the places of the log it names."""

    log: list[LogRecord] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)
    expected_places: set[tuple[int, int]] = field(default_factory=set)  # seq, ord
    whole_messages: set[int] = field(default_factory=set)  # seq of messages given event by event

    def names(self, seq: int, ord_: int) -> bool:
        """Whether a line of the story says what becomes of this event."""
        return (seq, ord_) in self.expected_places or seq in self.whole_messages


def read_story(text: str) -> Story:
    """The log and the expectations of a story; a line that makes no sense is a ValueError."""
    writer = _Writer()
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            writer.read_line(number, " ".join(line.split()))
    return writer.story


class _Writer:
    def __init__(self) -> None:
        self.story = Story()
        self.clock_ms = self.latest_ms = START_MS
        self.closed_id = 0
        self.ids: dict[str, str] = {}
        self.ids_made = 0
        self.batch: list[Event] = []

    def read_line(self, number: int, line: str) -> None:
        said, _, expected = line.partition(" -> ")
        market, rest = said[3:].split(": ", 1) if said.startswith("in ") else ("m1", said)
        try:
            outcome = self._write(market, rest, expected)
        except (KeyError, IndexError, ValueError) as error:
            hint = "the notation stands at the top of tests/stories/writer.py"
            raise ValueError(
                f"line {number} is none of a story: {line}: {error}; {hint}"
            ) from error
        if outcome is not None:
            describe, wanted = outcome
            self.story.expectations.append(Expectation(number, line, wanted, describe))

    def _write(self, market: str, said: str, expected: str) -> Outcome | None:
        verb, *words = said.split()
        match verb:
            case "tick" | "clock" | "close" | "closed":
                outcome = self._pass_time(verb, market, words, expected)
            case "balance" | "windows" | "window":
                outcome = self._look_up(verb, market, words)
            case "allowance" | "lots" | "usage":
                outcome = self._look_at_end(verb, market, words)
            case "meter" if "=" in words:
                outcome = self._look_at_end(verb, market, words)
            case "raw":
                outcome = self._send_raw(said, expected)
            case _:
                outcome = self._command(market, [verb, *words], expected)
        return outcome

    def _pass_time(self, verb: str, market: str, words: list[str], expected: str) -> Outcome | None:
        if verb == "clock":
            self.clock_ms += int(words[0])
        if verb == "close":
            self.closed_id = self._window_id
            self.clock_ms = (self.closed_id + int(words[0] if words else 1)) * WINDOW_MS
        if verb in ("close", "tick"):
            self._send("clock.0", b"")
        return (wording.of_window(market, self.closed_id, expected), expected) if expected else None

    def _look_up(self, verb: str, market: str, words: list[str]) -> Outcome:
        name, _, *stated = words if verb != "windows" else ["", *words]
        expected = " ".join(stated)
        if verb == "balance":
            return wording.of_balance(market, name, self._seq, self._window_id), expected
        if verb == "window":
            return wording.of_messages(FIRST_WINDOW + int(name)), expected
        return wording.of_windows(FIRST_WINDOW), expected

    def _look_at_end(self, verb: str, market: str, words: list[str]) -> Outcome:
        behind = words.index("=") + 1
        describe = {
            "allowance": wording.of_allowance,
            "lots": wording.of_lots,
            "usage": wording.of_usage,
            "meter": wording.of_meter,
        }[verb]
        return describe(market, words[: behind - 1], FIRST_WINDOW), " ".join(words[behind:])

    def _send_raw(self, said: str, expected: str) -> Outcome:
        _, subject, payload = said.split(" ", 2)
        self._send(subject, self._payload(payload))
        self.story.whole_messages.add(self._seq)
        return wording.of_message(self._seq), _stated(expected)

    def _command(self, market: str, words: list[str], expected: str) -> Outcome:
        joined = words[0] == "+"
        verb, *words = words[1:] if joined else words
        window = take(words, "window")
        event_id = self._event_id(words)
        channel, event = read_command(verb, words, self._id_of)
        subject = f"market.{market}.{channel}"
        if verb == "hold":
            now = max(self.latest_ms, self.clock_ms) // WINDOW_MS
            event["window_id"] = FIRST_WINDOW + int(window) if window else now
        elif verb not in ("meter", "settle"):
            event["event_id"] = event_id
        if joined:
            self._join(subject, event)
        else:
            self._send(subject, json.dumps(event).encode(), [event])
        implied = {"hold": "held", "settle": "settled", "meter": "no row"}.get(verb, "applied")
        outcome = _stated(expected) if verb == "bid" else expected or implied
        place = (self._seq, len(self.batch) - 1)
        self.story.expected_places.add(place)
        if verb in ("meter", "hold", "settle"):
            return wording.of_metering(*place, event), outcome
        return wording.of_event(*place), outcome

    # --- messages and ids -------------------------------------------------------------------------

    @property
    def _seq(self) -> int:
        return len(self.story.log)

    @property
    def _window_id(self) -> int:
        return self.latest_ms // WINDOW_MS

    def _send(self, subject: str, payload: bytes, batch: Sequence[Event] = ()) -> None:
        record = LogRecord(self._seq + 1, self.clock_ms * NS_PER_MS, subject, payload)
        self.story.log.append(record)
        self.latest_ms = max(self.latest_ms, self.clock_ms)
        self.clock_ms += 1
        self.batch = list(batch)

    def _join(self, subject: str, event: Event) -> None:
        last = self.story.log[-1]
        if not self.batch or last.subject != subject:
            raise ValueError("a batch continues a command to the same subject")
        self.batch.append(event)
        payload = json.dumps(self.batch).encode()
        self.story.log[-1] = LogRecord(last.seq, last.timestamp_ns, subject, payload)

    def _event_id(self, words: list[str]) -> str:
        again, name = take(words, "again"), take(words, "as")
        age_ms = int(take(words, "aged") or 0) - int(take(words, "early") or 0)
        event_id = self.ids[again] if again else self._fresh_id(age_ms)
        if name:
            self.ids[name] = event_id
        return event_id

    def _id_of(self, name: str) -> str:
        return self._fresh_id(0) if name == "?" else self.ids[name]

    def _fresh_id(self, age_ms: int) -> str:
        self.ids_made += 1
        born_ms = max(self.latest_ms, self.clock_ms) - age_ms
        digits = f"{born_ms:012x}70008{self.ids_made:015x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def _payload(self, said: str) -> bytes:
        said = re.sub(r"\$(\w+)", lambda found: self._id_in_text(found[1]), said)
        said = re.sub(r"'([^']*)' \* (\d+)", lambda found: found[1] * int(found[2]), said)
        parts = re.split(r"\\x([0-9a-f]{2})", said)
        return b"".join(bytes.fromhex(p) if n % 2 else p.encode() for n, p in enumerate(parts))

    def _id_in_text(self, name: str) -> str:
        if name == "id":
            return self._fresh_id(0)
        event_id = self.ids[name.lower()]
        return event_id.upper() if name.isupper() else event_id


def _stated(expected: str) -> str:
    if not expected:
        raise ValueError("it must say what becomes of it, after ->")
    return expected
