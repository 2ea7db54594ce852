"""What is counted and told of hot answers, by the loop, some moments after they were given."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from bff.edge.access_log import AccessLog, Line
from bff.edge.counts import Counters, Counts
from bff.edge.hot_answer import Hot, Served, Writers
from bff.edge.respond import RepresentationKey
from bff.observe.metrics import Metrics
from bff.session.reading import Reading

_NOBODY: Final[Writers] = {200: None, 304: None}


class Accounts:
    """The same as the usual way counts and tells of each of them.

    `on_shaped(space, shape, size, left_out, uses)` hears of those that were shaped, and `on_served`
    of all.
    """

    def __init__(self, metrics: Metrics, access_log: AccessLog) -> None:
        self._metrics = metrics
        self._counters = Counters(metrics)
        self._writers: dict[tuple[str, str], Writers] = {}
        self._log = access_log
        self.on_shaped: Callable[[str, str, int, int, int], None] = lambda *_: None
        self.on_served: Callable[[Hot, Sequence[Served]], None] = lambda _hot, _served: None

    def writers(self, key: RepresentationKey) -> Writers:
        """What counts each answer of a route at once, by its status."""
        of = (key.space, key.route)
        found = self._writers.get(of)
        if found is None:
            writer = self._metrics.answer_writer
            made = {status: writer(key.route, key.space, status) for status in (200, 304)}
            if None in made.values():
                return _NOBODY  # none is needed, or there is no room for them yet
            found = self._writers[of] = made
        return found

    def counts(
        self, key: RepresentationKey, readings: Sequence[Reading], *, finished: bool
    ) -> Counts:
        """Of answers made of these readings; `finished`: before they were asked for."""
        return self._counters.of(key.space, key.route, readings, finished=finished)

    def report(self, hot: Hot, served: Sequence[Served]) -> None:
        """Several requests that were answered with one finished answer."""
        finished, key = hot.finished, hot.key
        size, whole = len(finished.body), [one for one in served if one.modified]
        bare = [one for one in served if not one.modified]
        finished.counts.hit(len(served))
        for status, among, sent in ((200, whole, size), (304, bare, 0)):
            if among:
                series, took = (key.route, key.space, status), [one.took_s for one in among]
                written = hot.setting.writers[status] is not None
                self._metrics.requests(series, took, sent * len(among), written=written)
        if whole:
            finished.counts.sent(finished.left_out, finished.whole - size, len(whole))
            if hot.shape:
                self.on_shaped(key.space, hot.shape, finished.whole, finished.left_out, len(whole))
        if bare:
            finished.counts.unmodified(size, len(bare))
        self.on_served(hot, served)

    def tell(self, hot: Hot, served: Sequence[Served]) -> None:
        """Write a line for each of them, where lines are written."""
        if not self._log.is_on:
            return
        # A log that takes no line costs the lines, and nobody's answer or count.
        with contextlib.suppress(OSError):
            for one in served:
                self._log.tell(_line(hot, one))


def _line(hot: Hot, one: Served) -> Line:
    key, size = hot.key, len(hot.finished.body)
    return Line(
        "GET", key.route, key.space, 200 if one.modified else 304, hot.setting.cache, one.took_s,
        size if one.modified else 0, one.request_id, one.trace_id,
    )  # fmt: skip
