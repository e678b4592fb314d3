"""What processes that were killed left behind: files that name a process, which may be another now.

Promise: a signal goes only to a process that is what its file was written for, whoever has got its
number since.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

NO_PROCESS: Final = 1 << 22
"""Linux gives every process a smaller number."""
LINES_MIN: Final = 4
"""Below the number: folder, time of the start, port, and more where the server got further."""


def process_of(file: Path, *words: str) -> psutil.Process | None:
    """The process in the first line of a file, if it runs and its command line has these words."""
    try:
        process = psutil.Process(int(file.read_text().split()[0]))
        return process if set(words) <= set(process.cmdline()) else None
    except (psutil.Error, OSError, ValueError, IndexError, OverflowError):
        return None


def send(request: signal.Signals, file: Path, *words: str) -> None:
    """Send a signal to the process of a file; see `process_of`."""
    process = process_of(file, *words)
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(request)


def disown(file: Path) -> None:
    """Name no process in a file of Postgres, which takes any that runs for a server.

    The rest stays: by it Postgres sees whether a process of the killed server still writes. A file
    that was cut off says nothing, and Postgres would not start: it is removed.
    """
    with suppress(FileNotFoundError):
        first, *rest = file.read_text(errors="replace").splitlines(keepends=True) or [""]
        if not first.strip().isdecimal() or len(rest) < LINES_MIN:
            file.unlink()
            return
        draft = file.with_suffix(".draft")
        draft.write_text("".join([f"{NO_PROCESS}\n", *rest]))
        draft.chmod(0o600)
        if os.geteuid() == 0:  # then Postgres runs as another user, who owns the folder
            owner = file.parent.stat()
            os.chown(draft, owner.st_uid, owner.st_gid)
        draft.replace(file)
