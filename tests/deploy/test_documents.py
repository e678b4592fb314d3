"""The documents speak of files, names, steps, settings and codes that are there."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
from bytewax.testing import TestingSink, TestingSource

from connectors.nats.connection import OUTAGE_LIMIT_S
from connectors.nats.topology import (
    DEDUPE_S,
    FINEST_TICK_MS,
    WINDOWS_AGE_S,
    WINDOWS_BYTES,
)
from connectors.postgres.writer import RETRY_LIMIT_S
from flows.allocation import build
from flows.runtime.settings import variables
from state.errors import WalrasError
from tests.deploy.compose import HOUSE
from tests.deploy.markdown import DOCUMENTS, cell_code, inline, links, name, table
from tests.test_house import run
from walras_schemas import (
    BATCH_MAX,
    CLOCK_SKEW_MS,
    DEDUPE_HORIZON_MS,
    PAYLOAD_MAX_BYTES,
    RESULT_MAX_BYTES,
)

FILE: Final = re.compile(
    r"[\w./-]+/[\w.-]+\.(?:py|sql|conf|toml|md|yml|txt)|[\w-]+\.(?:toml|yml|md)"
)
NAMED_IN: Final = re.compile(r"((?:`\w+`(?:, | and |,? then )?)+) in\s+`([\w/]+\.py)`")
DECISIONS: Final = sorted((HOUSE / "docs" / "adr").glob("0*.md"))
ARCHITECTURE: Final = (HOUSE / "ARCHITECTURE.md").read_text()
GUIDE: Final = (HOUSE / "docs" / "guides" / "operate-a-deployment.md").read_text()
DURABILITY: Final = (HOUSE / "docs" / "guides" / "durability.md").read_text()
WRITING: Final = (HOUSE / "docs" / "guides" / "write-to-the-market.md").read_text()
README: Final = (HOUSE / "README.md").read_text()

# Made by the reader, not by us.
READERS_OWN: Final = {"bid.py"}


def defined(file: Path) -> set[str]:
    """The functions and classes of a file, and what their classes define."""
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


def kinds(root: type[WalrasError]) -> list[type[WalrasError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in kinds(child))]


def step_ids() -> list[str]:
    """The steps of the real flow, in order; the last is only where Bytewax ends it."""
    flow = build(
        source=TestingSource([]),
        shards={},
        window_ms=1000,
        commit=lambda _shard: lambda window: [window],
        publish=lambda _shard: lambda window: [window],
        output=TestingSink([]),
    )
    return [step.step_name for step in flow.substeps][:-1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    """A dead link is where a reader stops."""
    inside = [link.partition("#")[0] for link in links(document.read_text()) if "://" not in link]
    assert [] == [link for link in inside if not (document.parent / link).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_files_are_there(document: Path) -> None:
    """Who follows a guided reading must find each stop."""
    named = {code for code in inline(document.read_text()) if FILE.fullmatch(code)} - READERS_OWN
    assert [] == sorted(file for file in named if not (HOUSE / file).exists())


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_names_stand_where_the_documents_say(document: Path) -> None:
    """A function that was renamed leaves the page that leads to it behind."""
    missing = [
        f"{named} in {file}"
        for names, file in NAMED_IN.findall(document.read_text())
        for named in re.findall(r"`(\w+)`", names)
        if named not in defined(HOUSE / file)
    ]
    assert [] == missing


def test_some_names_are_looked_up() -> None:
    """A pattern that matches nothing would let every name pass."""
    assert len(NAMED_IN.findall(ARCHITECTURE)) > 15


def test_the_step_table_is_the_flow() -> None:
    """One word travels: a step that the table names otherwise is two steps to a reader."""
    assert step_ids() == [cell_code(row[0]) for row in table(ARCHITECTURE, "step")]


@pytest.mark.parametrize("document", [README, GUIDE], ids=["README", "guide"])
def test_the_settings_table_is_complete(document: str) -> None:
    """A setting that no table names is found by nobody; a wrong default is found too late."""
    listed = {cell_code(row[0]): cell_code(row[1]) for row in table(document, "variable")}
    assert variables() == listed


def test_exit_codes_are_those_of_the_errors() -> None:
    """A supervisor that reacts to a code by the table must not restart what needs an operator."""
    listed = {
        (int(row[0]), kind)
        for row in table(GUIDE, "exit code")
        for kind in re.findall(r"`(\w+)`", row[1])
    }
    ours = [kind for kind in kinds(WalrasError) if kind.__module__ == WalrasError.__module__]
    assert {(kind.exit_code, kind.__name__) for kind in ours} == listed


def test_numbers_in_the_guides_are_those_of_the_code() -> None:
    """These limits stand in prose, where no table test sees them."""
    assert (120, 300) == (RETRY_LIMIT_S, OUTAGE_LIMIT_S)
    assert "waited out for two minutes, one of NATS for five" in GUIDE
    assert (1000, 1 << 20) == (BATCH_MAX, PAYLOAD_MAX_BYTES)
    assert "at most 1000 events, in at most 1 MiB" in WRITING
    assert (60_000, 5_000) == (DEDUPE_HORIZON_MS, CLOCK_SKEW_MS)
    assert "older than 60 seconds is `stale_event_id`" in WRITING
    assert 120 == DEDUPE_S
    assert "drops it for two minutes" in WRITING
    assert (7 * 24 * 3600, 1 << 30) == (WINDOWS_AGE_S, WINDOWS_BYTES)
    assert "kept in the stream `WINDOWS` for seven days, at most 1 GiB of them" in DURABILITY
    assert 1 << 19 == RESULT_MAX_BYTES
    assert "unless they exceed 512 KiB" in README
    assert 1000 == FINEST_TICK_MS


def test_every_folder_is_laid_out() -> None:
    """A folder that the README does not name has no meaning to a newcomer."""
    listed = {code for row in table(README, "folder") for code in re.findall(r"`(\w+)/`", row[0])}
    files = run("git", "ls-files").stdout.splitlines()
    ours = {folder for folder, inside, _ in (file.partition("/") for file in files) if inside}
    assert {folder for folder in ours if not folder.startswith(".")} <= listed
    assert [] == [folder for folder in listed if not (HOUSE / folder).is_dir()]


def test_the_layers_are_those_of_the_contract() -> None:
    """A plan that the import check does not know sends a reader through walls."""
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())
    contract = project["tool"]["importlinter"]["contracts"][0]["layers"]
    plan = ARCHITECTURE.partition("## Layers")[2].partition("```\n")[2]
    drawn: dict[int, set[str]] = {}
    for line in plan.partition("```")[0].splitlines():
        named = re.split(r" {2,}", line.strip())[0]
        drawn.setdefault(len(line) - len(line.lstrip()), set()).update(named.split(" | "))
    assert [set(layer.split(" | ")) for layer in contract] == list(drawn.values())


def test_every_decision_is_listed() -> None:
    """A decision outside the list is found by chance."""
    index = (HOUSE / "docs" / "adr" / "README.md").read_text()
    titles = {file.name: file.read_text().splitlines()[0].partition(". ")[2] for file in DECISIONS}
    listed = dict(re.findall(r"\[\d+\]\((\S+)\) \| (.+) \|", index))
    assert titles == listed


@pytest.mark.parametrize("decision", DECISIONS, ids=name)
def test_a_decision_tells_context_decision_consequences(decision: Path) -> None:
    """Without its reason a decision is only a rule, and is dropped or kept for the wrong one."""
    text = decision.read_text()
    assert ["Context", "Decision", "Consequences"] == re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert 15 <= len(text.splitlines()) <= 40


def test_what_is_missing_is_missing() -> None:
    """A list of what is not here yet that outlives its truth hides what was built."""
    empty = ["__init__.py"] == [file.name for file in (HOUSE / "otel").glob("*.*")]
    assert empty == ("`otel/` is an empty package" in ARCHITECTURE)
    doors = ("runtime/supervisor.py", "cli/up.py")
    priced = any("pricing_process" in (HOUSE / "flows" / door).read_text() for door in doors)
    assert priced != ("**Pricing.**" in ARCHITECTURE)


def test_the_demo_in_the_readme_is_this_demo() -> None:
    """A transcript of an older version promises checks that are no longer made."""
    promised = [line.strip("✓ ") for line in README.splitlines() if line.startswith("  ✓")]
    flows = HOUSE / "flows"
    code = [*(flows / "cli" / "demo").glob("*.py"), *(flows / "analytics").glob("sql/*.sql")]
    source = "".join(file.read_text() for file in code)
    assert len(promised) > 5
    assert [] == [
        line for line in promised if re.sub(r"^each of the [\d,]+ ", "", line) not in source
    ]
