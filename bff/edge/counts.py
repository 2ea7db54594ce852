"""What is counted of an answer of a cached route: its series are looked up once, not per answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bff.cache.tiered import Tier
from bff.edge.target import BOOTSTRAP_PATH
from bff.observe.metrics import Metrics
from bff.observe.series import Count
from bff.session.reading import Reading

_NEGATIVE = "negative"
_HIT = "hit"


class Counts:
    """Of the answers of one route in one space that are made of the same resources."""

    __slots__ = (
        "_by_encoding", "_by_shape", "_hits", "_not_modified", "_unsent", "route", "space",
    )  # fmt: skip

    def __init__(
        self,
        metrics: Metrics,
        space: str,
        route: str,
        parts: Sequence[tuple[str, str]],
        *,
        finished: bool,
    ) -> None:
        self.space: Final = space
        self.route: Final = route
        l1 = Tier.L1.value
        cached = metrics.counter("bff_bootstraps_cached", space)
        self._hits: tuple[Count, ...] = (
            *((metrics.counter("bff_finished_hits", space, route),) if finished else ()),
            *((cached,) if route == BOOTSTRAP_PATH else ()),
            *(metrics.counter("bff_cache_reads", space, name, l1, told) for name, told in parts),
            *(metrics.counter("bff_upstream_calls_saved", space, name) for name, _ in parts),
        )
        self._not_modified = metrics.counter("bff_not_modified", space, route)
        self._by_shape = metrics.counter("bff_bytes_saved", space, "shape")
        self._by_encoding = metrics.counter("bff_bytes_saved", space, "encoding")
        self._unsent = metrics.counter("bff_bytes_saved", space, "not_modified")

    def hit(self, times: int = 1) -> None:
        """Served from this process: each of its resources was read."""
        for count in self._hits:
            count.add(times)

    def sent(self, left_out: int, compressed: int) -> None:
        """As a whole: the bytes that shape and encoding spared."""
        if left_out > 0:
            self._by_shape.add(left_out)
        if compressed > 0:
            self._by_encoding.add(compressed)

    def unmodified(self, unsent: int, times: int = 1) -> None:
        """As a 304, which spared so many bytes in all."""
        self._not_modified.add(times)
        self._unsent.add(unsent)


class Counters:
    """The counts of all answers."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._known: dict[tuple[str, str, tuple[tuple[str, str], ...], bool], Counts] = {}

    def of(
        self, space: str, route: str, readings: Sequence[Reading], *, finished: bool = True
    ) -> Counts:
        """Those of an answer that is made of these readings; `finished`: before it was asked."""
        parts = tuple(
            [(r.resource.name, _HIT if r.entry.status == 200 else _NEGATIVE) for r in readings]
        )
        key = (space, route, parts, finished)
        counts = self._known.get(key)
        if counts is None:
            counts = self._known[key] = Counts(
                self._metrics, space, route, parts, finished=finished
            )
        return counts
