"""The command lines of the benchmark: `walras bench` and `python -m bench`."""

import pytest

from bench.__main__ import run
from flows.cli import bench as cli_bench
from flows.cli.app import BENCH_HELP
from state.errors import SettingsError

COMMANDS = ("quick", "full", "scaling", "show")


def test_both_command_lines_have_the_same_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of `walras bench` names commands that it cannot import to check."""
    assert 0 == run(["--help"])
    shown = capsys.readouterr().out
    assert [] == [word for word in COMMANDS if f" {word} " not in shown]
    assert [] == [word for word in COMMANDS if f"bench {word}" not in BENCH_HELP]


def test_a_mistake_is_reported_in_three_parts(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten minutes of work that end in a traceback are not tried again."""
    for words in (["show", "nosuch.json"], ["nosuch"], ["full", "--nosuch"]):
        assert 2 == run(words)
        shown = capsys.readouterr().err
        assert (True, 3) == (shown.startswith("error: "), len(shown.splitlines()))


def test_walras_bench_passes_on_arguments_and_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    """An option that is not passed on measures something else than was asked for."""
    assert 2 == cli_bench.bench("show", "nosuch.json", "--docs", "nosuch.md")
    assert "nosuch.json: [Errno 2] No such file" in capfd.readouterr().err


def test_a_lean_installation_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment has no use for matplotlib, and its operator none for a traceback."""
    monkeypatch.setattr(cli_bench, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match="it needs matplotlib, psutil, sqlalchemy"):
        cli_bench.bench()
