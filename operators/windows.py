"""Cut an ordered stream of raw batches at the boundaries of its windows.

Promise: the slices are the log, in order, nothing dropped or repeated; a window closes exactly when
the first message of a later window arrives (SEMANTICS §3), however the batches fall. Time is the
stream's own, clamped so that it never goes back; no other clock is read.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from state.log import RawBatch, WindowSlice

NS_PER_MS = 1_000_000


@dataclass(slots=True)
class WindowAssigner:
    """The step: remembers the stream's time and which window is open.

    `stream_time_ns` is t(m) of the last message that was applied; a restart begins at a window's
    first message, so no window is open then.
    """

    window_ms: int
    stream_time_ns: int
    _open: int | None = None

    def __call__(self, batch: RawBatch) -> Iterator[WindowSlice]:
        """Yield the slices of a batch; a slice without messages may close the window before it."""
        times = list(accumulate(batch.timestamps_ns, max, initial=self.stream_time_ns))[1:]
        start = 0
        while start < len(times):
            window_id = times[start] // self._window_ns
            if self._open is not None and window_id != self._open:
                yield self._slice(batch, times, start, start, closes=True)
            self._open = window_id
            end = bisect_left(times, (window_id + 1) * self._window_ns, lo=start)
            closes = end < len(times)
            yield self._slice(batch, times, start, end, closes=closes)
            self._open = None if closes else window_id
            start = end

    @property
    def _window_ns(self) -> int:
        return self.window_ms * NS_PER_MS

    def _slice(
        self, batch: RawBatch, times: list[int], start: int, end: int, *, closes: bool
    ) -> WindowSlice:
        assert self._open is not None
        if end > start:
            self.stream_time_ns = times[end - 1]
        return WindowSlice(
            shard=batch.shard,
            window_id=self._open,
            first_seq=batch.first_seq + start,
            times_ns=times[start:end],
            subjects=batch.subjects[start:end],
            payloads=batch.payloads[start:end],
            stream_time_ns=self.stream_time_ns,
            closes=closes,
        )
