"""Run it: `python -m tests.chaos --minutes 3 --seed 7`; exit code 0 only if all is right."""

import argparse
import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from tests.chaos.report import show
from tests.chaos.run import chaos, keep_evidence, say
from tests.chaos.schedule import schedule
from tests.chaos.verdict import Report, judge

SECONDS_PER_MINUTE: Final = 60


def main() -> int:
    """One run with the seed and the length that were given."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="about how long it lasts")
    parser.add_argument("--seed", type=int, default=7, help="decides what is hurt when")
    arguments = parser.parse_args()
    if not any(schedule(arguments.seed, arguments.minutes * SECONDS_PER_MINUTE)):
        parser.error(f"{arguments.minutes:g} minutes are too short for a single fault")
    folder = Path(mkdtemp(prefix="walras-chaos-")).resolve()
    folder.chmod(0o755)  # for a Postgres that runs as another user, as it does for root
    again = f"make chaos SEED={arguments.seed} MINUTES={arguments.minutes:g}"
    say(f"{again}, in {folder}")
    try:
        with chaos(arguments.seed, arguments.minutes * SECONDS_PER_MINUTE, folder) as run:
            report = judge(run)
            show(report)
            if not report.holds:
                keep_evidence(run)
    except BaseException:
        say(f"it did not come to its end; what it left is in {folder}")
        say(f"again: {again}")
        raise
    return _end(report, folder, again)


def _end(report: Report, folder: Path, again: str) -> int:
    if report.holds:
        say("nothing was lost, nothing is there twice")
        shutil.rmtree(folder)
        return 0
    say(f"something is wrong; all evidence is in {folder}")
    say(f"again: {again}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
