"""A span around what is sent, where OpenTelemetry's API is installed; else nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

try:
    from walras_client.spans import sending
except ImportError:  # the extra `otel` is not installed

    @contextmanager
    def sending(
        subject: str,  # noqa: ARG001 - the signature is that of the other
        count: int,  # noqa: ARG001
        headers: dict[str, str],  # noqa: ARG001
    ) -> Iterator[None]:
        """Nothing around a message."""
        yield


__all__ = ["sending"]
