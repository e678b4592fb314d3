"""The three streams of a command: closed by who started it, left by their reader, or full.

Promise: none of it ends in a traceback, and a file that the command opens never gets the number of
a stream that was closed.
"""

import errno
import os
import sys
from typing import Final

from state.errors import WalrasError

STREAMS: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
"""By their numbers."""
UNWRITTEN: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})


def open_closed() -> None:
    """Open each stream that was closed as `/dev/null`: a file gets the lowest free number."""
    for number, (name, mode) in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def drop_rest() -> None:
    """Throw away what is still to be written: Python would try once more at the exit, and fail."""
    with open(os.devnull, "w", encoding="utf-8") as nothing:  # noqa: PTH123 - a device
        for number in (1, 2):
            os.dup2(nothing.fileno(), number)


def output_lost(failure: OSError) -> WalrasError | None:
    """The failure of a write to a stream in three parts; None for any other."""
    if failure.filename is not None or failure.errno not in UNWRITTEN:
        return None
    return WalrasError(
        "the output could not be written",
        detail=failure.strerror or str(failure),
        hint="Send it to a disk with room, and run the command again",
    )
