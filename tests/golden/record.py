"""Record the golden logs, or the digests that they give today.

    python -m tests.golden.record logs [NAME...]    write logs anew, from their seeds
    python -m tests.golden.record digests           write what the recorded logs come to

A digest that changes is a decision: the changelog names it.
"""

import argparse
import json

from tests.golden import recorded
from tests.golden.logs import LOGS, WINDOW_MS
from tests.operators.steps import settle


def main() -> None:
    """Write what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.record")
    parser.add_argument("what", choices=["logs", "digests"])
    parser.add_argument("names", nargs="*", default=list(LOGS), metavar="NAME")
    asked = parser.parse_args()
    if asked.what == "logs":
        for name in asked.names:
            recorded.write(name, LOGS[name]())
    else:
        outcomes = {
            name: recorded.outcome(settle(recorded.read(name), window_ms=WINDOW_MS))
            for name in LOGS
        }
        recorded.DIGESTS.write_text(json.dumps(outcomes, indent=2) + "\n")


if __name__ == "__main__":
    main()
