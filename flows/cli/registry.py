"""What this installation speaks and offers, and whether it is healthy.

Promise: none of it starts a server.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flows.cli.console import AsJson, print_data, print_json, start
from flows.cli.installation import as_called

if TYPE_CHECKING:
    from flows.cli.doctor.checks import Finding

EXAMPLE: Final = Path(__file__).with_name("market.toml")
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
    from connectors.duckdb.query import Answer
    from flows.cli.tables import print_table, raw_table_of
    from walras_schemas import COMMANDS, RESULTS

    if as_json:
        models = (COMMANDS | RESULTS).items()
        print_json({name: model.model_json_schema() for name, model in models})
        return
    rows = tuple(_events())
    print_table(raw_table_of(Answer(columns=("event", "subject", "meaning"), rows=rows)))


def example() -> None:
    print_data(EXAMPLE.read_text(encoding="utf-8").rstrip())


def doctor(*, as_json: AsJson = False) -> int:
    from flows.cli.doctor.checks import examine

    findings = [replace(each, hint=as_called(each.hint)) for each in examine(start())]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            _print_finding(finding)
    return max(finding.exit_code for finding in findings)


def _events() -> Iterator[tuple[str, str, str]]:
    from walras_schemas import COMMANDS, RESULTS, TYPES_ON

    subject_of = {
        event: COMMAND_SUBJECTS[kind] for kind, events in TYPES_ON.items() for event in events
    }
    for name, model in (COMMANDS | RESULTS).items():
        sentence = (model.__doc__ or "").splitlines()[0]
        yield name, (subject_of | RESULT_SUBJECTS)[name], sentence


def _print_finding(finding: "Finding") -> None:
    print_data(f"{finding.health:<{HEALTH_WIDTH}}{finding.thing:<{THING_WIDTH}}{finding.found}")
    if finding.hint:
        print_data(f"{'':<{HEALTH_WIDTH + THING_WIDTH}}{finding.hint}")
