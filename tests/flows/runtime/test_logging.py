"""What a process logs, as a log collector reads it from a pipe and a person on a terminal."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from flows.runtime.settings import load_settings

PROGRAM = """
import logging
from flows.runtime.logging import configure_logging
from flows.runtime.settings import load_settings

configure_logging(load_settings())
log = logging.getLogger("flows.somewhere")
{calls}
"""
BOTH_FIELDS = r'log.info("%d bids\n\x1b[31mred", 3, extra={"shard": 0, "window": 7})'
RAISES = """
try:
    1 / 0
except ZeroDivisionError:
    log.exception("a failure")
"""
LIBRARIES = """
logging.getLogger("nats").info("chatter")
logging.getLogger("uvicorn.error").warning("trouble")
"""


def logged(calls: str, **env: str) -> list[dict[str, Any]]:
    """The events of a program whose stderr is a pipe; it prints nothing on stdout."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{calls}", calls)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "" == ended.stdout
    return [json.loads(line) for line in ended.stderr.splitlines()]


def shown(calls: str) -> str:
    """What the same program shows on a terminal."""
    ours, terminal = os.openpty()
    try:
        program = PROGRAM.replace("{calls}", calls)
        subprocess.run([sys.executable, "-c", program], stderr=terminal, check=True)
        os.set_blocking(ours, False)
        return os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(terminal)


def test_a_pipe_gets_json_with_shard_and_window() -> None:
    """A collector that has to cut the shard out of a sentence finds it in some of them."""
    (event,) = logged(BOTH_FIELDS)
    assert event.pop("time").endswith("Z")
    assert {
        "level": "INFO",
        "logger": "flows.somewhere",
        "message": "3 bids\n\x1b[31mred",
        "shard": 0,
        "window": 7,
    } == event


def test_a_terminal_gets_one_line_of_text() -> None:
    """What came with a message of the log must not colour the terminal or fake a second event."""
    (line,) = shown(BOTH_FIELDS).splitlines()
    assert line.endswith("Z INFO flows.somewhere: 3 bids | \\x1b[31mred shard=0 window=7")


def test_an_exception_is_one_event() -> None:
    """A traceback over twenty lines is twenty events to a collector."""
    (event,) = logged(RAISES)
    assert ("ERROR", "a failure") == (event["level"], event["message"])
    assert event["exception"].endswith("ZeroDivisionError: division by zero")
    (line,) = shown(RAISES).splitlines()
    assert line.endswith("| ZeroDivisionError: division by zero")


def test_the_level_is_a_setting() -> None:
    """What an operator switched off and still reads hides what counts."""
    calls = "log.debug('d'); log.info('i'); log.warning('w')"
    assert ["i", "w"] == [event["message"] for event in logged(calls)]
    assert ["w"] == [event["message"] for event in logged(calls, WALRAS_LOG_LEVEL="warning")]
    assert 3 == len(logged(calls, WALRAS_LOG_LEVEL="DEBUG"))


def test_libraries_speak_up_only_for_trouble() -> None:
    """A web server with a format of its own, or a client that chats, drowns the market's events."""
    events = logged(LIBRARIES, WALRAS_LOG_LEVEL="DEBUG")
    assert [("uvicorn.error", "trouble")] == [(e["logger"], e["message"]) for e in events]


def test_a_lower_case_level_is_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator who writes `debug` means DEBUG."""
    monkeypatch.setenv("WALRAS_LOG_LEVEL", "debug")
    assert "DEBUG" == load_settings().log_level
