"""What is counted and told of hot answers, by the loop, some moments after they were given."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bff.edge.access_log import AccessLog, Line
from bff.edge.counts import Counters, Counts
from bff.edge.hot_answer import Hot, Reported, Served, Writers
from bff.edge.hot_whole import HotWhole, MadeAnswer
from bff.edge.respond import RepresentationKey
from bff.observe.metrics import Metrics
from bff.session.reading import Reading

_NOBODY: Final[Writers] = {200: None, 304: None}


@dataclass(slots=True)
class _Sums:
    """Of answers that count alike: the seconds that those took that were sent whole, and those that
    were a 304; bytes sent, left out by shapes, spared by encodings, and spared by 304s."""

    whole: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    sent: int = 0
    left_out: int = 0
    compressed: int = 0
    unsent: int = 0

    def add(self, hot: Hot, served: Sequence[Served]) -> int:
        """One answer; returns how many times it was sent whole."""
        finished, size = hot.finished, len(hot.finished.body)
        took = [took_s for _, took_s, _, _, modified in served if modified]
        uses = len(took)
        self.whole += took
        self.sent += size * uses
        self.left_out += max(0, finished.left_out) * uses
        self.compressed += max(0, finished.whole - size) * uses
        if uses < len(served):
            self.bare += [took_s for _, took_s, _, _, modified in served if not modified]
            self.unsent += size * (len(served) - uses)
        return uses

    def add_made(self, answers: Sequence[tuple[MadeAnswer, Served]]) -> None:
        """Several answers, each given once."""
        for made, (_, took_s, _, _, modified) in answers:
            if modified:
                self.whole.append(took_s)
                self.sent += made.size
                self.left_out += max(0, made.left_out)
                self.compressed += max(0, made.length - made.size)
            else:
                self.bare.append(took_s)
                self.unsent += made.size


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
        self.on_served: Callable[[Reported, Sequence[Served]], None] = lambda *_: None

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

    def report(
        self,
        by_answer: Mapping[Hot, Sequence[Served]],
        by_whole: Mapping[HotWhole, Sequence[tuple[MadeAnswer, Served]]],
    ) -> None:
        """The requests that each answer was given to. What counts alike is counted together."""
        alike: dict[tuple[Counts, bool], _Sums] = {}
        for hot, served in by_answer.items():
            written = hot.setting.writers[200] is not None
            sums = alike.setdefault((hot.finished.counts, written), _Sums())
            uses = sums.add(hot, served)
            if uses and hot.shape:
                finished = hot.finished
                self.on_shaped(hot.key.space, hot.shape, finished.whole, finished.left_out, uses)
            self.on_served(hot, served)
        for whole, answers in by_whole.items():
            written = whole.setting.writers[200] is not None
            alike.setdefault((whole.counts, written), _Sums()).add_made(answers)
            for made, one in answers:
                if made.shape and one[4]:
                    self.on_shaped(whole.key.space, made.shape, made.length, made.left_out, 1)
                self.on_served(made, (one,))
        for (counts, written), sums in alike.items():
            self._count(counts, sums, written=written)

    def _count(self, counts: Counts, sums: _Sums, *, written: bool) -> None:
        counts.hit(len(sums.whole) + len(sums.bare))
        for status, took, sent in ((200, sums.whole, sums.sent), (304, sums.bare, 0)):
            if took:
                series = (counts.route, counts.space, status)
                self._metrics.requests(series, took, sent, written=written)
        counts.sent(sums.left_out, sums.compressed)
        if sums.bare:
            counts.unmodified(sums.unsent, len(sums.bare))

    def is_telling(self) -> bool:
        """Whether lines are written, each of which takes as long as to count a hundred."""
        return self._log.is_on

    def tell(self, answer: Reported, served: Sequence[Served]) -> None:
        """Write a line for each of them."""
        # A log that takes no line costs the lines, and nobody's answer or count.
        with contextlib.suppress(OSError):
            for one in served:
                self._log.tell(_line(answer, one))


def _line(answer: Reported, one: Served) -> Line:
    key, (_, took_s, request_id, trace_id, modified) = answer.key, one
    return Line(
        "GET", key.route, key.space, 200 if modified else 304, answer.setting.cache, took_s,
        answer.size if modified else 0, request_id, trace_id,
    )  # fmt: skip
