"""The file that `walras log export` writes.

That a file is kept without --force, and that a pipe may be closed, is in
tests/flows/cli/test_deployments.py, where there is a log.
"""

import os
from pathlib import Path

from flows.cli.log import _whole_or_not


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    """Exported to /dev/stdout as root, a log must not take the place of the device."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with _whole_or_not(pipe) as part:
        assert pipe == part
    assert pipe.is_fifo()


def test_a_file_is_replaced_only_when_it_is_whole(tmp_path: Path) -> None:
    """A failure in the middle must leave the previous export."""
    file = tmp_path / "log.jsonl"
    file.write_text("before")
    with _whole_or_not(file) as part:
        part.write_text("after")
        assert "before" == file.read_text()
    assert "after" == file.read_text()
    assert [file] == list(tmp_path.iterdir())
