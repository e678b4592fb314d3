"""Writes the registry as JSON Schema files, one per event, for readers without Python.

The same registry gives the same bytes. What no schema can say stands in the README beside them.
"""

import argparse
import json
from pathlib import Path
from typing import Final

from walras_schemas.commands import COMMANDS
from walras_schemas.meters import METER_EVENTS
from walras_schemas.results import RESULTS
from walras_schemas.wire import Message

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def render_schema(model: type[Message]) -> str:
    """One event's JSON Schema as the text of its file."""
    schema = {"$schema": DIALECT} | model.model_json_schema()
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def render_schemas() -> dict[str, str]:
    """The text of every file of the registry, by file name."""
    events = COMMANDS | METER_EVENTS | RESULTS
    return {f"{event}.json": render_schema(model) for event, model in events.items()}


def write_schemas(directory: Path) -> None:
    """Write every file of the registry into the directory, which is made if it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in render_schemas().items():
        (directory / name).write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    """Export the registry to the directory named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m walras_schemas.export", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR", help="where the files are written")
    write_schemas(parser.parse_args().directory)


if __name__ == "__main__":
    main()
