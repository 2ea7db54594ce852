"""One series of a metric: counted here with plain additions, and written together now and then."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import Histogram

from bff.observe.catalogue import LATENCY_BUCKETS_S

BUCKETS: Final = len(LATENCY_BUCKETS_S) + 1


class Totals(Histogram):
    """A histogram that is given many observations at once, of which only the buckets are known."""

    def observe_all(self, counts: Sequence[int], total: float) -> None:
        """`counts` more in each bucket, not cumulative; their values are `total` in all."""
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


class Count:
    """One series of a counter. `value`: what this process counted, not all of it written yet.

    Nothing is written before `write_to` says where.
    """

    __slots__ = ("_due", "_is_due", "_write", "_written", "value")

    def __init__(self, due: deque[Count | Times]) -> None:
        self.value = 0.0
        self._write: Callable[[float], None] | None = None
        self._written = 0.0
        self._due = due
        self._is_due = False

    def add(self, by: float = 1) -> None:
        """`by` more, not negative; written with what else is by then."""
        self.value += by
        if not self._is_due:
            self._is_due = True
            self._due.append(self)

    def add_now(self) -> None:
        """One more, written at once."""
        self.value += 1
        if self._write is not None:
            self._written += 1
            self._write(1)

    @property
    def writer(self) -> Callable[[float], None] | None:
        """Writes at once, for any thread; `add_written` is told of it later. None for nothing."""
        return self._write

    def add_written(self, by: float) -> None:
        """`by` more, which `writer` has written."""
        self.value += by
        self._written += by

    def write_to(self, write: Callable[[float], None]) -> None:
        """From now on, and what was counted before. `write` may be called by several threads."""
        self._write = write
        self.write()

    def write(self) -> None:
        """What was added: for one thread at a time."""
        # In this order: what is added from here on makes it due again.
        self._is_due = False
        if self._write is not None:
            value = self.value
            self._write(value - self._written)
            self._written = value


class Times:
    """One series of a histogram. `counts`: of this process, by bucket, not cumulative.

    Nothing is written before `write_to` says where, nor all of it at once.
    """

    __slots__ = ("_due", "_is_due", "_write", "_written", "counts", "total")

    def __init__(self, due: deque[Count | Times]) -> None:
        self.counts = [0] * BUCKETS
        self.total = 0.0
        self._write: Totals | None = None
        self._written = (self.counts.copy(), self.total)
        self._due = due
        self._is_due = False

    def add(self, seconds: float) -> None:
        """One more observation; written with what else is by then."""
        self.counts[bisect_left(LATENCY_BUCKETS_S, seconds)] += 1
        self.total += seconds
        self._be_due()

    def add_all(self, seconds: Sequence[float]) -> None:
        """Several more, as `add`."""
        for each in seconds:
            self.counts[bisect_left(LATENCY_BUCKETS_S, each)] += 1
        self.total += sum(seconds)
        self._be_due()

    def write_to(self, write: Totals) -> None:
        """From now on, and what was observed before."""
        self._write = write
        self.write()

    def write(self) -> None:
        """What was added: for one thread at a time."""
        self._is_due = False  # in this order, as of a Count
        if self._write is not None:
            counts, total = self._written
            self._written = (self.counts.copy(), self.total)
            more = [now - then for now, then in zip(self._written[0], counts, strict=True)]
            self._write.observe_all(more, self._written[1] - total)

    def _be_due(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._due.append(self)
