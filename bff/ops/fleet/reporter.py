"""The task that tells the fleet of its process: every other second, sooner if something happens."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import orjson
import structlog

from bff.cache.tasks import end
from bff.clock import Clock
from bff.errors import StoreUnavailable
from bff.observe.journal import Event, EventKind, Journal, ProblemSeen
from bff.ops.figures import Happening, Problem
from bff.ops.fleet.minutes import MINUTE_S, Reading
from bff.ops.fleet.record import Details, ProcessRecord, gauges, pack, recent, unanswered
from bff.ops.fleet.shared import (
    MOST_ANSWER,
    MOST_EVENTS,
    MOST_PROBLEMS,
    MOST_QUESTION,
    STAND_S,
    Answered,
    Fleet,
    Item,
    Telling,
    takes_nothing,
)
from bff.ops.fleet.tally import Tally, Told

log = structlog.get_logger("bff.ops")

TICK_S: Final = 2.0
"""Between two tellings: what a process that is killed had not told, at most."""
SOON_S: Final = 1.0
"""The same while something happens: operators are to see it within five seconds."""
LOOK_S: Final = 0.5
"""Between two looks whether something happened, or the minute ended."""
MINUTES_AT_ONCE: Final = 16
BYTES_AT_ONCE: Final = 131_072
"""Of minutes, so that a telling takes the store no longer than it is waited for."""
ITEMS_AT_ONCE: Final = 100


class Counted(Protocol):
    """The metrics of this process; `bff.observe.metrics.Metrics` is one."""

    def counted(self) -> Reading:
        """Its counters and histograms."""
        ...

    def measured(self) -> Reading:
        """Its gauges."""
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """What a process is told of by. `details` are asked for at each telling: they cost little."""

    metrics: Counted
    journal: Journal
    details: Callable[[], Details]


class Reporter:
    """For the lifespan of one process. What it knows is also there where the fleet is not."""

    def __init__(self, fleet: Fleet, sources: Sources, clock: Clock) -> None:
        self.tally: Final = Tally(clock.wall())
        self.events: Final[deque[Happening]] = deque(maxlen=MOST_EVENTS)
        self.problems: Final[deque[Problem]] = deque(maxlen=MOST_PROBLEMS)
        self.record: ProcessRecord | None = None
        self.told_at: float | None = None
        """When the fleet last heard of this process; monotonic seconds."""
        self._fleet = fleet
        self._sources = sources
        self._clock = clock
        self._numbers = itertools.count(1)
        self._item_numbers = itertools.count(1)
        self._items: deque[Item] = deque(maxlen=MOST_EVENTS + MOST_PROBLEMS)
        self._answers: dict[str, bytes] = {}
        self._heard: dict[str, float] = {}
        self._ticked = 0.0
        self._refused = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Tell for the first time, and go on until the end."""
        await self._tick_safely("began", stopping=False)
        self._task = asyncio.create_task(self._run(), name="reporter")

    async def aclose(self) -> None:
        """Tell for the last time, which takes no longer than the store may."""
        if self._task is not None:
            await end([self._task])
            self._task = None
        await self._tick_safely("ends", stopping=True)

    async def tick(self, *, stopping: bool = False) -> None:
        """Take what is new and tell it; what the fleet does not hear is told again."""
        self._ticked = self._clock.monotonic()
        self._take(stopping=stopping)
        assert self.record is not None
        news = self._news()
        answers, items = dict(self._answers), list(self._items)[:ITEMS_AT_ONCE]
        try:
            answered = await self._fleet.tell(
                Telling(
                    number=next(self._numbers),
                    record=pack(self.record),
                    minutes=[(each.minute, each.record) for each in news],
                    answers=list(answers.items()),
                    items=items,
                )
            )
        except StoreUnavailable as error:  # which others say aloud
            self._refused = takes_nothing(error)
            self.record = replace(self.record, refused=self._refused)
            return
        self._refused = False
        self.tally.told(news)
        self._answers = {name: a for name, a in self._answers.items() if name not in answers}
        for _ in items:
            self._items.popleft()
        self._hear(answered)

    async def _run(self) -> None:
        while True:
            wall = self._clock.wall()
            await self._clock.sleep(min(LOOK_S, MINUTE_S - wall % MINUTE_S))
            since_s = self._clock.monotonic() - self._ticked
            ended = int(self._clock.wall() // MINUTE_S) != self.tally.minute
            if ended or since_s >= TICK_S or (since_s >= SOON_S and self._is_urgent()):
                await self._tick_safely(stopping=False)

    async def _tick_safely(self, turn: str = "", *, stopping: bool) -> None:
        try:
            if turn:
                self._note(turn)
            await self.tick(stopping=stopping)
        except Exception:
            # Whatever it was: operators must not lose sight of this process for good.
            log.exception("figures_failed")

    def _note(self, turn: str) -> None:
        of = self._sources.details()
        text = f"process {of.pid} on {of.host} {turn} (bff {of.version})"
        self._sources.journal.note(Event(self._clock.wall(), "", EventKind.PROCESS, text))

    def _is_urgent(self) -> bool:
        untold = self._answers or self._items or self.tally.is_behind
        return self._sources.journal.has_news or (bool(untold) and self._fleet.available)

    def _take(self, *, stopping: bool) -> None:
        sources, now = self._sources, self._clock.wall()
        self.tally.take(sources.metrics.counted(), sources.journal.take_shapes(), now)
        events, problems = sources.journal.take()
        process = self._fleet.process
        for event in events:
            self._item(_happening(event, process), is_event=True)
        for problem in problems:
            self._item(_problem(problem), is_event=False)
        self.record = ProcessRecord(
            process=process,
            at=now,
            details=sources.details(),
            gauges=gauges(sources.metrics.measured()),
            recent=recent(self.tally.lately),
            stopping=stopping,
            unanswered=unanswered(self.tally.lately),
            refused=self._refused,
        )

    def _item(self, seen: Happening | Problem, *, is_event: bool) -> None:
        if isinstance(seen, Happening):
            self.events.append(seen)
        else:
            self.problems.append(seen)
        self._items.append(Item(next(self._item_numbers), is_event, orjson.dumps(seen)))

    def _news(self) -> list[Told]:
        """The newest minutes first, as many as fit."""
        sizes = 0
        news: list[Told] = []
        for each in self.tally.untold(MINUTES_AT_ONCE):
            sizes += len(each.record)
            if news and sizes > BYTES_AT_ONCE:
                break
            news.append(each)
        return news

    def _hear(self, answered: Answered) -> None:
        if self.told_at is not None and not answered.known:
            self.tally.forgotten()
        now = self.told_at = self._clock.monotonic()
        self._heard = {name: at for name, at in self._heard.items() if now - at < 2 * STAND_S}
        self._answer(answered.questions, now)

    def _answer(self, questions: Iterable[tuple[str, str]], now: float) -> None:
        for name, request_id in questions:
            if name in self._heard:
                continue
            self._heard[name] = now
            answer = self._fleet.answer(request_id[:MOST_QUESTION])
            if answer is None:
                continue
            text = orjson.dumps(answer)
            if len(text) <= MOST_ANSWER:
                self._answers[name] = text


def _happening(event: Event, process: str) -> Happening:
    return Happening(event.at, event.space, event.kind.value, event.text, process)


def _problem(seen: ProblemSeen) -> Problem:
    return Problem(seen.at, seen.space, seen.route, seen.status, seen.type, seen.request_id)
