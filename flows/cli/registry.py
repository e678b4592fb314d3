"""What this installation speaks and offers, and whether it is healthy.

Promise: none of it starts a server.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from flows.cli.console import print_data, print_json, start
from flows.cli.installation import as_called
from flows.cli.output import AS_TABLE, Output, show
from flows.cli.tables import Sheet, terminal_width

if TYPE_CHECKING:
    from flows.cli.doctor.checks import Finding

EXAMPLE: Final = Path(__file__).with_name("market.toml")
HEALTH_WIDTH: Final = 6
THING_WIDTH: Final = 48
UNBOUNDED: Final = 10_000
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
    "meter": "market.<market>.meter.<i>",
}


Audit = Annotated[
    bool, Parameter(negative="", show_default=False, help="Check the books of the ledger too.")
]


def schemas(*, output: Output = AS_TABLE) -> None:
    from walras_schemas import COMMANDS, METER_EVENTS, RESULTS

    if output.form == "json":
        models = (COMMANDS | METER_EVENTS | RESULTS).items()
        print_json({name: model.model_json_schema() for name, model in models})
        return
    show(Sheet(("event", "subject", "meaning"), _events(), in_units=False), output.form)


def example() -> None:
    print_data(EXAMPLE.read_text(encoding="utf-8").rstrip())


def doctor(*, audit: Audit = False, output: Output = AS_TABLE) -> int:
    from flows.cli.doctor.checks import examine

    form, settings = output.form, start()
    found = list(examine(settings))
    if audit:
        from flows.cli.doctor.books import examine_books

        found += examine_books(settings)
    findings = [replace(each, hint=as_called(each.hint)) for each in found]
    if form == "table":
        for finding in findings:
            _print_finding(finding)
    else:
        rows = [asdict(finding) for finding in findings]
        show(Sheet(tuple(rows[0]), (tuple(row.values()) for row in rows), in_units=False), form)
    return max(finding.exit_code for finding in findings)


def _events() -> Iterator[tuple[str, str, str]]:
    from walras_schemas import COMMANDS, METER_EVENTS, RESULTS, TYPES_ON

    subject_of = {
        event: COMMAND_SUBJECTS[kind] for kind, events in TYPES_ON.items() for event in events
    }
    for name, model in (COMMANDS | METER_EVENTS | RESULTS).items():
        sentence = (model.__doc__ or "").splitlines()[0]
        yield name, (subject_of | RESULT_SUBJECTS)[name], sentence


def _print_finding(finding: "Finding") -> None:
    """What was found beside what was checked, or below it where the terminal is too narrow."""
    width = terminal_width() or UNBOUNDED
    indent = HEALTH_WIDTH + THING_WIDTH
    head = f"{finding.health:<{HEALTH_WIDTH}}{finding.thing}"
    texts = [text for text in (finding.found, finding.hint) if text]
    if max(map(len, texts)) > width - indent:
        print_data(head)
        head, indent = "", HEALTH_WIDTH
    for text in texts:
        for line in wrap(text, width - indent, break_long_words=False, break_on_hyphens=False):
            print_data(f"{head:<{indent}}{line}")
            head = ""
