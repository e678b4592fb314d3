"""A nats-server of a test's own that it may stop, kill and start again, on its port and store."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from connectors.embedded.nats_server import start_nats


class Broker:
    """The server as it is now."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = start_nats(folder, shards=1)
        self.url = self._server.url

    def freeze(self) -> None:
        """Whatever is sent to it from now on, it does not read."""
        self._server.process.send_signal(signal.SIGSTOP)
        os.waitpid(self._server.process.pid, os.WUNTRACED)  # until its last thread has stopped

    def thaw(self) -> None:
        """It reads on."""
        self._server.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """It ends at once."""
        self._server.process.kill()
        self._server.process.wait()

    def stop(self) -> None:
        """It writes what it holds and ends."""
        self._server.stop()

    def start(self) -> None:
        """It resumes with what it had."""
        self._server = start_nats(self._folder, shards=1)
        assert self.url == self._server.url


@contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    """A server for a block, of one shard."""
    running = Broker(folder)
    try:
        yield running
    finally:
        running.stop()
