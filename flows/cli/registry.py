"""What this installation speaks and whether it stands: the events of the registry, the doctor.

Promise: neither starts a server.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from connectors.duckdb.query import Answer
from flows.cli.console import AsJson, say, say_json
from flows.cli.doctor.checks import Finding, examine
from flows.cli.tables import print_table, raw_table_of
from flows.runtime.settings import load_settings
from walras_schemas import COMMANDS, RESULTS, TYPES_ON

HEALTH_WIDTH: Final = 6
THING_WIDTH: Final = 44
RESULT_SUBJECTS: Final = {
    "agent_result": "result.<market>.<agent>",
    "market_window": "window.<market>",
}
COMMAND_SUBJECTS: Final = {
    "bid": "market.<market>.bid.<agent>",
    "transfer": "market.<market>.transfer.<agent>",
    "grant": "market.<market>.grant",
    "market": "market.<market>.market",
    "price": "market.<market>.price.<resource>",
}


def schemas(*, as_json: AsJson = False) -> None:
    if as_json:
        say_json({name: model.model_json_schema() for name, model in (COMMANDS | RESULTS).items()})
        return
    rows = tuple(_events())
    print_table(raw_table_of(Answer(columns=("event", "subject", "meaning"), rows=rows)))


def doctor(*, as_json: AsJson = False) -> int:
    findings = list(examine(load_settings()))
    if as_json:
        say_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            _tell(finding)
    return max(finding.exit_code for finding in findings)


def _events() -> Iterator[tuple[str, str, str]]:
    subject_of = {
        event: COMMAND_SUBJECTS[kind] for kind, events in TYPES_ON.items() for event in events
    }
    for name, model in (COMMANDS | RESULTS).items():
        sentence = (model.__doc__ or "").splitlines()[0]
        yield name, (subject_of | RESULT_SUBJECTS)[name], sentence


def _tell(finding: Finding) -> None:
    say(f"{finding.health:<{HEALTH_WIDTH}}{finding.thing:<{THING_WIDTH}}{finding.found}")
    if finding.hint:
        say(f"{'':<{HEALTH_WIDTH + THING_WIDTH}}{finding.hint}")
