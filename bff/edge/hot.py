"""Answers by the whole request: from its headers to bytes in one hash and one look-up.

A name is the keyed hash of everything in a request that its answer depends on but the query, and
the query. It leads to a finished answer in the in-process tier, or, with the names of its parts for
a query, to a whole document that is parsed there; it goes with either, whatever drops it, is good
only while that would be used, and holds the headers that the usual way sent with it. Nothing is
decided here: whatever is new, unusual or in doubt goes the usual way.

The server may ask from a thread of its own (docs/adr/0022): what is read here is replaced whole, or
only grows by what any thread would add, and what was answered is reported by the loop that owns
everything else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Final, Protocol

from starlette.types import Message, Scope

from bff.cache.memory import Held, Memory
from bff.clock import Clock
from bff.edge.caching import server_timing
from bff.edge.counts import Counts
from bff.edge.exchange import (
    FINISHED,
    Exchange,
    new_request_id,
    trace_id_of,
    usable_request_id,
)
from bff.edge.headers_in import given_once
from bff.edge.hot_answer import Hot, Reported, Served, Setting, Writers, lasting
from bff.edge.hot_whole import ASKED, HotWhole, HotWholes, MadeAnswer, Moment, parts_name
from bff.edge.naming import Names
from bff.edge.respond import AtHand, Finished, RepresentationKey
from bff.edge.target import BOOTSTRAP_PATH
from bff.nexudus.headers import Header
from bff.noticed import Noticed
from bff.session.documents import Whole
from bff.session.reading import Reading
from bff.shape import NamedShapes

LISTS: Final = b"/api/public/coworkers/"
MOST_NAMES: Final = 8
"""Of one item: spellings of one request, such as the ways to accept br."""
MOST_UNREPORTED: Final = 5_000
"""Answers that the loop has yet to report; beyond them requests go the usual way, which waits."""
MOST_MADE: Final = 2_000
"""The same where one would be made: until it is reported it takes the room of its shape."""
MOST_KEPT: Final = 20
"""How many of these are kept at a time: for that, each is made once more, while others wait."""
AT_ONCE: Final = 1_000
"""Answers upon which the loop is called, and which it reports before it goes on with others. Fewer
are reported every now and then: a wake-up costs as much as to count a hundred."""
LINES_AT_ONCE: Final = 200
"""The same where each has a line of log."""
NAME_BYTES: Final = 1_150
"""What one name costs beside its shape: its headers, and its places in two maps; a test measures
it."""

_BOOTSTRAP: Final = BOOTSTRAP_PATH.encode()
_FLAGS: Final = (b"", b"o", b"c", b"oc")
_MOST_CONSTANTS: Final = 256
_QUICK_S: Final = 0.000_05
_QUICK: Final = (b"server-timing", server_timing({"total": 0.0}).encode())
"""Of what took less than is told."""

Given = Mapping[bytes, bytes]
Answer = tuple[Message, Message]
"""The start of a response, and its body."""


class Reports(Protocol):
    """Who counts and tells of what was answered."""

    def writers(self, key: RepresentationKey) -> Writers:
        """Of the answers under one key."""
        ...

    def counts(
        self, key: RepresentationKey, readings: Sequence[Reading], *, finished: bool
    ) -> Counts:
        """Of answers made of these readings; `finished`: before they were asked for."""
        ...

    def report(
        self,
        by_answer: Mapping[Hot, Sequence[Served]],
        by_whole: Mapping[HotWhole, Sequence[tuple[MadeAnswer, Served]]],
    ) -> None:
        """Count requests that were answered since the last time: with what is kept, and made."""
        ...

    def is_telling(self) -> bool:
        """Whether lines are written, each of which takes as long as to count a hundred."""
        ...

    def tell(self, answer: Reported, served: Sequence[Served]) -> None:
        """Write a line for each of them."""
        ...


class HotAnswers:
    """Of one process. `trusted_until()`: monotonic seconds up to which invalidations are heard."""

    def __init__(
        self,
        memory: Memory,
        shapes: NamedShapes,
        trusted_until: Callable[[], float],
        reports: Reports,
        clock: Clock,
    ) -> None:
        self._noticed = Noticed()
        self.learns = True
        self._memory = memory
        self._shapes = shapes
        self._names: Mapping[bytes, object] = memory.names
        self._trusted_until = trusted_until
        self._reports = reports
        self._wall, self._monotonic = clock.wall, clock.monotonic
        self._naming = Names()
        self._wholes = HotWholes(memory.names, shapes, self._may_use)
        self._constants: dict[tuple[Header, ...], tuple[Header, ...]] = {}
        self._served: deque[tuple[Hot | MadeAnswer, Served]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_called = False
        self._at_once = LINES_AT_ONCE

    def serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on `loop` reports what was answered, whenever there is much of it."""
        self._loop = loop

    def find(self, scope: Scope) -> Answer | None:
        """What answers a request, if it has a hot answer. For any one thread."""
        at = self._monotonic(), self._wall()
        given = _headers(scope)
        if given is None or len(self._served) >= MOST_UNREPORTED:
            return None
        whose = self._naming.known(_asked(scope, given))
        hot = self._names.get(whose + ASKED + scope["query_string"])
        if hot is None:
            return self._made(scope, whose, given, at)
        assert isinstance(hot, Hot)
        held = given.get(b"if-none-match")
        if not self._may_use(hot.setting, hot.finished.fresh_until, at):
            return None
        if held is not None and held != hot.validator:
            return None
        headers = hot.headers(at[1], modified=held is None)
        return self._answer(hot, headers, hot.finished.body if held is None else None, given, at)

    def learn(self, scope: Scope, exchange: Exchange, headers: list[Header]) -> None:
        """The usual way answers a request from this process, with these headers of all layers."""
        given, recalled = _headers(scope), exchange.recalled
        if given is None or not self.learns:
            return
        held_by = recalled.whole.key if isinstance(recalled, AtHand) else recalled
        held = self._memory.peek(held_by)
        whose = self._naming.of(_asked(scope, given))
        if held is None or not whose or self._memory.names_of(held_by) >= MOST_NAMES:
            return

        def setting(key: RepresentationKey, cache: str) -> Setting:
            constant, writers = self._shared(lasting(headers)), self._reports.writers(key)
            return Setting(
                exchange.space, held_by, held.value, held.expires, constant, cache, writers
            )

        if isinstance(recalled, AtHand):
            if held.value is not recalled.whole:
                return
            key, readings = recalled.key, recalled.whole.readings
            name = whose + parts_name(recalled.whole.parts)
            counts = self._reports.counts(key, readings, finished=False)
            whole = HotWhole(key, recalled.whole, counts, setting(key, exchange.cache))
            self._memory.attach(held_by, name, whole, NAME_BYTES + len(name))
        elif isinstance(held.value, Finished) and held.value.status == 200:
            assert isinstance(recalled, RepresentationKey)
            name = whose + ASKED + scope["query_string"]
            own, finished = setting(recalled, FINISHED), held.value
            self._attach(Hot(recalled, finished, own, exchange.shape_name), name)

    def settle(self, most: int = MOST_UNREPORTED) -> None:
        """Report what was answered since the last time. For the loop that owns what is told."""
        by_answer: dict[Hot, list[Served]] = {}
        by_whole: dict[HotWhole, list[tuple[MadeAnswer, Served]]] = {}
        again: dict[bytes, MadeAnswer] = {}
        is_telling = self._reports.is_telling()
        self._at_once = LINES_AT_ONCE if is_telling else AT_ONCE
        served = self._served
        for _ in range(min(len(served), most)):
            told, one = served.popleft()
            if isinstance(told, Hot):
                by_answer.setdefault(told, []).append(one)
            else:
                by_whole.setdefault(told.of, []).append((told, one))
                if self._noticed.again(told.name) and told.name not in self._names:
                    again[told.name] = told
        for own in [each.setting for each in by_answer] + [each.setting for each in by_whole]:
            self._memory.touch(own.held)
        self._reports.report(by_answer, by_whole)
        for made in islice(again.values(), MOST_KEPT):
            self._keep(made)
        if is_telling:  # last: it may fail, what is counted stays so
            for hot, all_of_it in by_answer.items():
                self._reports.tell(hot, all_of_it)
            for made, one in chain.from_iterable(by_whole.values()):
                self._reports.tell(made, (one,))

    def _settle_some(self) -> None:
        assert self._loop is not None
        self.settle(self._at_once)
        if len(self._served) >= self._at_once:
            self._loop.call_soon(self._settle_some)  # others of the loop come between
        else:
            self._is_called = False

    def _keep(self, made: MadeAnswer) -> None:
        """Finished from now on, as long as what it was made of would be: for that, made once more
        unless it is kept already."""
        key, own = made.key, made.setting
        held = self._memory.peek(own.held)
        if held is None or held.value is not own.value or not isinstance(held.value, Whole):
            return  # dropped since, or replaced
        known = self._memory.peek(key)
        finished, expires = None if known is None else known.value, held.expires
        if known and isinstance(finished, Finished) and finished.validator == made.validator:
            expires = known.expires  # it was asked for by another spelling
        else:
            counts = self._reports.counts(key, held.value.readings, finished=True)
            finished = made.of.finished(self._shapes.resolve(made.canonical), counts).kept()
            kept = Held(finished, finished.cost_under(key), expires, held.tags)
            if not self._memory.put(key, kept, self._memory.ticket()):
                return
        setting = replace(own, held=key, value=finished, expires=expires, cache=FINISHED)
        self._attach(Hot(key, finished, setting, made.shape), made.name)

    def _attach(self, hot: Hot, name: bytes) -> None:
        if self._memory.names_of(hot.key) < MOST_NAMES:
            cost = NAME_BYTES + len(name) + len(hot.key.shape) + len(hot.key.variant)
            self._memory.attach(hot.key, name, hot, cost)

    def _shared(self, constant: tuple[Header, ...]) -> tuple[Header, ...]:
        """The same headers, but one object for all answers that have them."""
        if len(self._constants) >= _MOST_CONSTANTS:
            self._constants.clear()
        return self._constants.setdefault(constant, constant)

    def _may_use(self, setting: Setting, fresh_until: float, at: Moment) -> bool:
        began, now = at
        return now < fresh_until and began < setting.expires and began < self._trusted_until()

    def _made(self, scope: Scope, whose: bytes, given: Given, at: Moment) -> Answer | None:
        """Made of a whole document that is parsed in process."""
        is_full, query = len(self._served) >= MOST_MADE, scope["query_string"]
        found = None if is_full else self._wholes.make(whose, query, at)
        if found is None:
            return None
        made, encoded = found
        held = given.get(b"if-none-match")
        if held is not None and held != encoded.validator.encode():
            return None
        headers = made.of.headers(encoded, at[1], modified=held is None)
        return self._answer(made, headers, encoded.body if held is None else None, given, at)

    def _answer(
        self,
        told: Hot | MadeAnswer,
        headers: Sequence[Header],
        body: bytes | None,
        given: Given,
        at: Moment,
    ) -> Answer:
        """Counted before it goes out: who has an answer whole finds it so."""
        began, now = at
        own_id = usable_request_id(given[b"x-request-id"]) if b"x-request-id" in given else ""
        request_id = own_id or new_request_id()
        trace_id = trace_id_of(given) if b"traceparent" in given else ""
        took_s = self._monotonic() - began
        timing = _QUICK if took_s < _QUICK_S else _timing(took_s)
        headers = [*headers, timing, (b"x-request-id", request_id.encode())]
        self._served.append((told, (now, took_s, request_id, trace_id, body is not None)))
        if len(self._served) >= self._at_once and not self._is_called and self._loop is not None:
            self._is_called = True
            self._loop.call_soon_threadsafe(self._settle_some)
        status = 304 if body is None else 200
        write = told.setting.writers[status]
        if write is not None:
            write(1)
        start: Message = {"type": "http.response.start", "status": status, "headers": headers}
        return start, {"type": "http.response.body", "body": body or b""}


def _asked(scope: Scope, given: Given) -> Sequence[bytes]:
    """All that an answer depends on but the query."""
    get = given.get
    return (
        _FLAGS[(b"origin" in given) + 2 * (b"cookie" in given)],
        scope["raw_path"],
        get(b"host", b""),
        get(b"authorization", b""),
        get(b"accept-encoding", b""),
        get(b"accept-language", b""),
        get(b"x-use-timezone", b""),
        get(b"origin", b""),
    )


def _headers(scope: Scope) -> Given | None:
    """The headers of a request that may have a hot answer: once each, in lower case, no body."""
    path = scope.get("raw_path")  # servers may leave it out, and then nothing is cached
    if scope["method"] != "GET" or not isinstance(path, bytes):
        return None
    if path != _BOOTSTRAP and not path.startswith(LISTS):
        return None
    given = given_once(scope["headers"])
    if given is None or b"content-length" in given or b"transfer-encoding" in given:
        return None
    return given


def _timing(took_s: float) -> Header:
    return b"server-timing", server_timing({"total": took_s * 1000}).encode()
