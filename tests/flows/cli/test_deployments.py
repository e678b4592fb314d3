"""One deployment per folder: who runs it, who finds it, and that nobody takes it down."""

import json
import shlex
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.postgres.reads.progress import Activity
from flows.cli import pulse
from flows.runtime import contexts
from flows.runtime.deployment import running
from flows.runtime.health import Health
from flows.runtime.settings import variables
from tests.support.eventually import eventually
from tests.support.servers import open_folder
from tests.support.shell import DEADLINE_S, WALRAS, Up, Walras, shell, start_up

SHARDS = 2
WINDOW_MS = 250
ADDRESSES = ("WALRAS_NATS_URL", "WALRAS_POSTGRES_DSN")

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def walras(capsys: pytest.CaptureFixture[str]) -> Walras:
    return shell(capsys)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the contexts of this test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder for embedded servers; nothing but it is set in the environment."""
    with open_folder() as folder, pytest.MonkeyPatch.context() as patch:
        for name in variables():
            patch.delenv(name, raising=False)
        patch.setenv("WALRAS_HOME", str(folder))
        patch.setenv("WALRAS_HEALTH_PORT", "0")
        yield folder


@pytest.fixture(scope="module")
def up(home: Path) -> Iterator[Up]:  # noqa: ARG001 - it says where
    """A deployment whose shards and windows are not the default ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WALRAS_SHARDS", str(SHARDS))
        patch.setenv("WALRAS_WINDOW_MS", str(WINDOW_MS))
        started = start_up()
    yield started
    assert 0 == started.stop(signal.SIGTERM).code


@pytest.fixture
def market(walras: Walras, up: Up, tmp_path: Path) -> str:  # noqa: ARG001 - it must run
    """An open market, as another terminal opens it: nothing was pasted there."""
    file = tmp_path / "found.toml"
    file.write_text("[resources.gpu]\nsupply = 10\ninitial_price_micros = 1_000_000\n")
    assert 0 == walras("market", "open", file).code
    assert 0 == walras("grant", "found", "a1", "100").code
    return "found"


def test_other_terminals_find_it(walras: Walras, market: str, tmp_path: Path) -> None:
    """Pasted variables that are wrong by one are the first trouble of a newcomer."""
    assert 0 == walras("bid", market, "a1", "gpu", "1", "--price", "2").code
    assert 1 == len(walras("bids", market, "--json").json)
    assert "lost" in walras("agents", market, "--agents", "7", "--seconds", "1").out
    assert 0 == walras("log", "export", tmp_path / "log.jsonl", "--shard", str(SHARDS - 1)).code


def test_a_demo_is_a_guest(walras: Walras, up: Up, market: str) -> None:
    """Two flows over one log end each other, and the servers with them."""
    for variables_given in ({}, exported(walras)):
        shown = command("demo", "--agents", "21", "--seconds", "2", **variables_given)
        assert 0 == shown.returncode, shown.stderr
        assert "A deployment runs already" in shown.stderr
        assert None is up.process.poll()
    assert 0 == walras("bid", market, "a1", "gpu", "1", "--price", "2").code


def test_a_second_start_is_refused(walras: Walras, up: Up, home: Path) -> None:
    """The plain double start is the commonest slip; taking over by accident ends a deployment."""
    for variables_given in ({}, exported(walras)):
        refused = command("up", **variables_given)
        assert (2, "") == (refused.returncode, refused.stdout)
        assert f"`walras up` runs as pid {up.process.pid} since " in refused.stderr
        assert str(home) in refused.stderr
        assert "up --replace" in refused.stderr
    assert None is up.process.poll()


def test_the_addresses_are_for_any_shell(walras: Walras, market: str) -> None:
    """A line that wraps cannot be copied; what `eval` takes can."""
    given = exported(walras)
    assert {*ADDRESSES, "WALRAS_NATS_CREDS"} == set(given)
    # From another folder too: the servers must not stop under a command that was given them.
    with open_folder() as elsewhere:
        asked = command("windows", "--json", WALRAS_HOME=str(elsewhere), **given)
    assert 0 == asked.returncode, asked.stderr
    assert json.loads(asked.stdout)
    assert 0 == walras("bids", market).code


def test_contexts(walras: Walras, market: str, config: Path) -> None:
    """Who has several deployments chooses one by its name, as with the nats command."""
    assert 0 == walras("context", "add", "here").code
    file = config / "walras" / "context" / "here.json"
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert WINDOW_MS == json.loads(file.read_text())["window_ms"]
    assert 0 == walras("context", "use", "here").code
    with open_folder() as elsewhere, pytest.MonkeyPatch.context() as patch:
        patch.setenv("WALRAS_HOME", str(elsewhere))
        assert 0 == walras("bid", market, "a1", "gpu", "1", "--price", "2").code
        patch.setenv("WALRAS_NATS_URL", "nats://127.0.0.1:1")
        assert 3 == walras("bid", market, "a1", "gpu", "1", "--price", "2", "--no-wait").code
        patch.delenv("WALRAS_NATS_URL")
        assert 0 == walras("context", "use", "local").code
        assert 2 == walras("windows").code
    shown = {each["name"]: each["chosen"] for each in walras("context", "list", "--json").json}
    assert {"local": True, "here": False} == shown


def test_a_context_keeps_its_password(walras: Walras, config: Path) -> None:
    """A list is read over a shoulder, and an error is pasted into a chat."""
    dsn = "postgresql://u:hunter2@h/walras"
    words = (
        "--nats-url",
        "nats://u:hunter2@h:4222",
        "--postgres-dsn",
        dsn,
        "--creds",
        "agent.creds",
    )
    added = walras("context", "add", "prod", *words)
    listed = walras("context", "list")
    assert "prod" in listed.out
    file = config / "walras" / "context" / "prod.json"
    assert Path("agent.creds").resolve() == contexts.read("prod").nats_creds
    file.write_text(file.read_text().replace("nats://", "http://"))
    damaged = walras("context", "use", "prod")
    assert (2, True) == (damaged.code, str(file) in damaged.err)
    assert "hunter2" not in f"{added.err}{listed.out}{listed.err}{damaged.err}"


def test_an_export_is_not_overwritten(walras: Walras, market: str, tmp_path: Path) -> None:
    """The export of yesterday may be the only one that shows what was changed since."""
    assert market
    file = tmp_path / "log.jsonl"
    assert 0 == walras("log", "export", file).code
    refused = walras("log", "export", file)
    assert (2, True) == (refused.code, "--force" in refused.err)
    assert 0 == walras("log", "export", file, "--force").code
    there_is_none = walras("log", "export", tmp_path / "x.jsonl", "--shard", str(SHARDS))
    assert (2, True) == (there_is_none.code, f"the deployment has {SHARDS}" in there_is_none.err)


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_an_export_into_a_pipe_ends_with_it(market: str, name: str) -> None:
    """`walras log export - | head -1` must end."""
    assert market
    # Both outputs are closed after the first line, as by `2>&1 | head -1`.
    pipeline = (
        f'{shlex.quote(str(WALRAS))} log export {name} 2>&1 | head -1; echo "${{PIPESTATUS[0]}}"'
    )
    command_line = ["/bin/bash", "-c", pipeline]
    shown = subprocess.run(
        command_line, capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    line, code = shown.stdout.splitlines()
    assert {"seq", "timestamp_ns", "subject"} <= json.loads(line).keys()
    assert code in {"0", "141"}, "a short log may be written before the reader leaves"
    assert "" == shown.stderr


def test_a_line_says_what_some_windows_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment that says nothing looks dead; a line that wraps is not read."""
    monkeypatch.setattr("time.strftime", lambda _format: "12:00:00")
    busy = Activity(last_window=1795839407, windows=12, bids=1_234_567, won=999_999)
    lagging = Health(shards=())
    shown = pulse.line(busy, lagging)
    expected = "12:00:00  12 windows to 1795839407: 1,234,567 bids, 999,999 won; lag 0.0 s"
    assert (expected, True) == (shown, len(shown) < 80)
    assert "no commands" in pulse.line(busy._replace(windows=0), lagging)
    assert "not ready" in pulse.line(busy, Health(problems=("x",)))


def test_one_that_replaces_stops_the_other(
    walras: Walras, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade must not need two terminals, nor leave the folder without a deployment."""
    with open_folder() as own:
        monkeypatch.setenv("WALRAS_HOME", str(own))
        first = start_up()
        second = start_up("--replace")
        first.process.communicate(timeout=DEADLINE_S)
        assert 0 == first.process.returncode
        found = running(own)
        assert found is not None
        assert (second.process.pid, "up") == (found.pid, found.command)
        second.process.kill()
        second.process.communicate(timeout=DEADLINE_S)
        # Nothing that a kill leaves behind keeps the next one out.
        assert None is running(own)
        assert 2 == walras("market", "close", "m1").code
        third = start_up()
        assert 0 == third.stop(signal.SIGINT).code
        eventually(lambda: not (own / "servers.json").exists())
    assert home != own


def test_a_wrong_window_is_refused_before_anything_is_shown(
    walras: Walras, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Addresses above an error look like those of a deployment that runs."""
    with open_folder() as own:
        monkeypatch.setenv("WALRAS_HOME", str(own))
        assert 0 == start_up().stop(signal.SIGTERM).code
        for words in (["up"], ["demo", "--seconds", "1"]):
            for variable, value in (("WALRAS_WINDOW_MS", "2000"), ("WALRAS_SHARDS", "3")):
                refused = command(*words, **{variable: value})
                assert (2, "") == (refused.returncode, refused.stdout)
                assert "port" not in refused.stderr
                assert variable.lower() in refused.stderr.lower()
        assert "there is no market m1" in walras("prices", "m1").err


def exported(walras: Walras) -> dict[str, str]:
    """What `eval "$(walras env)"` sets."""
    lines = [shlex.split(line) for line in walras("env").out.splitlines()]
    return dict(words[1].split("=", 1) for words in lines if words[0] == "export")


def command(*words: str, **variables_given: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, with more in its environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables_given.items():
            patch.setenv(name, value)
        return subprocess.run(
            [WALRAS, *words], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
