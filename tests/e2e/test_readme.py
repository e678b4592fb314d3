"""What the README and the guides have a newcomer run, run against a real deployment.

The programs are taken out of the documents as they stand, so that no copy of them can be the one
that works.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Final

import pytest
from nats.aio.client import Client

from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from flows.cli.app import app
from flows.runtime.settings import PREFIX
from tests.deploy.compose import HOUSE
from tests.deploy.markdown import DOCUMENTS, blocks, cell_code, commands, name, table
from tests.support.servers import open_folder
from walras_client.nats.broker import BrokerAddress
from walras_schemas import AgentResult, BidOutcome

README: Final = (HOUSE / "README.md").read_text()
OPERATING: Final = (HOUSE / "docs" / "guides" / "operate-a-deployment.md").read_text()
WRITING: Final = (HOUSE / "docs" / "guides" / "write-to-the-market.md").read_text()
WALRAS: Final = Path(sys.executable).with_name("walras")
TRADING: Final = {"agent", "bid", "market"}
READING: Final = {"balance", "prices", "sql", "windows"}

Environment = Mapping[str, str]


@pytest.fixture(scope="module")
def deployment() -> Iterator[Environment]:
    """`walras up` with servers of its own, and what another terminal in its folder has."""
    bare = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    with (
        open_folder() as home,
        subprocess.Popen(
            [WALRAS, "up"],
            env=bare | {"WALRAS_HOME": str(home)},
            stdout=subprocess.PIPE,
            text=True,
        ) as up,
    ):
        try:
            assert up.stdout is not None
            assert "ready\n" in iter(up.stdout.readline, ""), f"it ended with {up.wait()}"
            yield bare | {"WALRAS_HOME": str(home)}
        finally:
            up.terminate()
            assert 0 == up.wait(timeout=60)


@pytest.fixture(scope="module")
def market(deployment: Environment) -> Environment:
    """The deployment after the README's own commands have opened the market."""
    for words in readme_commands("Place a bid of your own", TRADING):
        walras(*words, env=deployment)
    return with_addresses(deployment)


@pytest.fixture
def log(market: Environment) -> Iterator[Client]:
    with open_on_loop(connected(address(market), name="readme test")) as nc:
        yield nc


def with_addresses(env: Environment) -> dict[str, str]:
    """The environment of a shell after `eval "$(walras env)"`."""
    lines = [shlex.split(line) for line in walras("env", env=env).splitlines()]
    return {**env, **dict(words[1].split("=", 1) for words in lines)}


def address(deployment: Environment) -> str:
    """The broker, with the credentials of whoever started it."""
    creds = Path(deployment["WALRAS_HOME"]) / "keys" / "house.creds"
    return str(BrokerAddress(deployment["WALRAS_NATS_URL"], creds=creds))


def readme_commands(section: str, kinds: set[str]) -> list[list[str]]:
    """The commands of these kinds in a section of the README, up to its first heading below."""
    text = README.partition(f"## {section}\n")[2].partition("\n#")[0]
    found = [words for words in commands(text) if words[0] in kinds]
    assert found
    return found


def walras(*words: str, env: Environment) -> str:
    return ran([WALRAS, *words], env=env)


def python(program: str, *, env: Environment, folder: Path) -> str:
    """Run a program as a newcomer would: a file in the folder where the deployment runs."""
    (folder / "bid.py").write_text(program)
    if not (folder / ".walras").exists():
        (folder / ".walras").symlink_to(env["WALRAS_HOME"])
    return ran([sys.executable, folder / "bid.py"], env=env, folder=folder)


def ran(command: list[str | Path], *, env: Environment, folder: Path = HOUSE) -> str:
    done = subprocess.run(
        command, env=dict(env), cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def bids_of(result: AgentResult) -> list[tuple[str, dict[str, int]]]:
    return [(one.status, one.won) for one in result.outcomes or () if isinstance(one, BidOutcome)]


async def outcome(nc: Client, subject: str, payload: bytes, *, event_id: str) -> str:
    """Send a bid of a1's and wait for its outcome."""
    results = await nc.subscribe("result.m1.a1")
    receipt = json.loads((await nc.request(subject, payload, timeout=5)).data)
    assert "SHARD_0" == receipt["stream"]
    while True:
        result = AgentResult.model_validate_json((await results.next_msg(timeout=20)).data)
        for one in result.outcomes or ():
            if one.event_id == event_id:
                return one.status


def test_ten_lines_of_python_win_a_bid(market: Environment, tmp_path: Path) -> None:
    """The first program that a newcomer copies must trade, and be as short as promised."""
    program, _agent = blocks(README, "python")
    assert 10 == len([line for line in program.splitlines() if line])
    result = AgentResult.model_validate_json(python(program, env=market, folder=tmp_path))
    assert [("won", {"tokens": 500})] == bids_of(result)


def test_the_agent_of_the_readme_is_the_example(market: Environment, tmp_path: Path) -> None:
    """A copy that drifts from the file is the one that people paste."""
    _program, agent = blocks(README, "python")
    assert agent.strip() == (HOUSE / "examples" / "agent.py").read_text().strip()
    assert "100 tokens for" in python(agent, env=market, folder=tmp_path)


def test_the_result_in_the_readme_is_a_result() -> None:
    """An answer that no deployment would give teaches a reader to parse the wrong thing."""
    (shown,) = blocks(README, "json")
    result = AgentResult.model_validate_json("".join(shown.splitlines()))
    assert [("won", {"tokens": 500})] == bids_of(result)


def test_the_nats_cli_is_given_a_command_that_the_log_takes(
    market: Environment, log: Client
) -> None:
    """The `nats` command is not here to be run; what it would send is."""
    shell = next(code for code in blocks(README, "sh") if "nats -s" in code)
    fresh = ran([sys.executable, "-c", shlex.split(shell.splitlines()[0][4:-1])[-1]], env=market)
    event_id = fresh.strip()
    request = shell[shell.index("nats -s") :].replace("$ID", event_id)
    _, _, _, creds, _, verb, subject, payload, *_ = shlex.split(request)
    assert ("--creds", "req") == (creds, verb)
    won = run_sync(outcome(log, subject, payload.encode(), event_id=event_id))
    assert "won" == won


def test_bids_from_the_command_line_win(market: Environment) -> None:
    """They are the shortest way in, and stand in the README for that."""
    bids = [words for words in commands(README) if words[0] == "bid" and words[-1] != "QUANTITY"]
    assert ["won:", "won:"] == [walras(*words, env=market).split()[1] for words in bids]


def test_agents_come_for_company(market: Environment) -> None:
    """They are what gives a newcomer's bid a price."""
    ((command, *words),) = [words for words in commands(README) if words == ["agents", "m1"]]
    said = walras(command, *words, "--agents", "7", "--seconds", "2", env=market)
    assert int(said.split()[0]) > 0


@pytest.mark.parametrize("program", blocks(WRITING, "python"), ids=["with models", "all results"])
def test_programs_of_the_guide_run(market: Environment, tmp_path: Path, program: str) -> None:
    """A guide is copied before it is read."""
    python(blocks(README, "python")[0], env=market, folder=tmp_path)
    assert python(program, env=market, folder=tmp_path).strip()


def test_looks_of_the_guide_answer(market: Environment) -> None:
    """Who looks at a deployment in trouble has no time for a query that fails."""
    looks = [words for words in commands(OPERATING) if words[0] in READING and words[1:]]
    assert len(looks) > 5
    for words in looks:
        assert walras(*words, env=market)


def test_the_guides_check_holds(market: Environment, tmp_path: Path) -> None:
    """The promise on which all else rests, checked in the guide's own way."""
    export, replay, latest = (
        words
        for words in commands(OPERATING.partition("## Check it")[2])
        if words[0] in {"log", "replay", "sql"}
    )
    file = str(tmp_path / "log.jsonl")
    walras(*[file if word.endswith(".jsonl") else word for word in export], env=market)
    replayed = walras(*[file if word.endswith(".jsonl") else word for word in replay], env=market)
    (window,) = json.loads(walras(*latest, "--json", env=market))
    assert window["digest"] == json.loads(replayed)["digest"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_commands_exist(document: Path) -> None:
    """A command that is refused on the first try is the last one that a newcomer tries."""
    for words in commands(document.read_text()):
        app.parse_args(filled(words), exit_on_error=False, print_error=False)


def filled(words: list[str]) -> list[str]:
    """A command with values for what a table leaves to the reader."""
    values = {"QUANTITY": "1", "CREDITS": "1", "SHELL": "bash"}
    parts = [values.get(word, word) for word in takewhile(lambda word: word != ">", words)]
    named = " ".join(parts)
    return [*parts, *{"market": ["open", "FILE"], "log": ["export", "FILE"]}.get(named, [])]


def test_the_table_names_every_command() -> None:
    """A command outside the table is found by chance."""
    listed = {cell_code(row[0]).split()[1] for row in table(README, "command")}
    assert {command for command in app if not command.startswith("-")} == listed
