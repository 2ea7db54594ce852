"""Names of hot answers, and when an answer under one is given."""

from __future__ import annotations

import asyncio
import math
import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Scope

from bff.cache.decide import Freshness
from bff.cache.entry import Entry
from bff.cache.memory import Held, Memory
from bff.cache.tiered import Tier
from bff.edge.compression import Encoding
from bff.edge.counts import Counters, Counts
from bff.edge.exchange import Exchange, new_request_id
from bff.edge.hot import (
    AT_ONCE,
    LINES_AT_ONCE,
    MOST_NAMES,
    MOST_UNREPORTED,
    NAME_BYTES,
    HotAnswers,
)
from bff.edge.hot_answer import Hot, Reported, Served, Writers
from bff.edge.hot_whole import HotWhole, MadeAnswer
from bff.edge.respond import AtHand, Finished, RepresentationKey
from bff.observe.metrics import Metrics
from bff.resources import PROFILES, RELATED
from bff.session.documents import Whole
from bff.session.reading import Outcome, Reading
from bff.shape import Columns, NamedShapes, parse
from bff.spaces import Space
from tests.support.calls import calls_of
from tests.support.fake_clock import FakeClock

KEY = RepresentationKey("acme", "d" * 32, "/session/bootstrap", "", "", "", Encoding.IDENTITY)
SENT = [(b"etag", b'"v-identity"'), (b"age", b"0"), (b"x-request-id", b"one"), (b"vary", b"Origin")]
SPACE = Space.parse("acme")
NOBODY: Writers = {200: None, 304: None}
PLAIN = ((b"host", b"acme.test"), (b"authorization", b"Bearer t"), (b"accept-encoding", b"br"))
VALUES = st.binary(max_size=6).map(lambda text: text.replace(b"\0", b""))


class Still(FakeClock):
    """On which nothing takes any time."""

    def monotonic(self) -> float:
        return 100.0


@dataclass(slots=True)
class Reports:
    """Keeps what it is told."""

    heard: list[tuple[Hot, Sequence[Served]]] = field(default_factory=list)
    telling: bool = False

    def writers(self, _key: RepresentationKey) -> Writers:
        return NOBODY

    def counts(
        self, key: RepresentationKey, readings: Sequence[Reading], *, finished: bool
    ) -> Counts:
        return Counters(Metrics()).of(key.space, key.route, readings, finished=finished)

    def report(
        self,
        by_answer: Mapping[Hot, Sequence[Served]],
        by_whole: Mapping[HotWhole, Sequence[tuple[MadeAnswer, Served]]],
    ) -> None:
        assert not by_whole
        self.heard.extend(by_answer.items())

    def is_telling(self) -> bool:
        return self.telling

    def tell(self, answer: Reported, served: Sequence[Served]) -> None:
        pass


class Desk:
    """Hot answers of a process that holds one finished answer, with a life of 60 s."""

    def __init__(self, max_bytes: int = 1_000_000, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.memory = Memory(max_bytes)
        self.reports = Reports()
        self.trusted_until = math.inf
        self.hot = HotAnswers(
            self.memory, NamedShapes({}), lambda: self.trusted_until, self.reports, self.clock
        )

    def hold(self, expires: float = math.inf, key: RepresentationKey = KEY) -> None:
        now = self.clock.wall()
        finished = Finished(
            200, "application/json", Encoding.IDENTITY, b"{}", '"v-identity"', True, now, now + 60,
            2, 0, Counters(Metrics()).of("acme", KEY.route, ()), (),
        )  # fmt: skip
        held = Held(finished, 2, expires, frozenset({("acme", "u:1")}))
        assert self.memory.put(key, held, self.memory.ticket())

    def learn(self, made: Scope, recalled: RepresentationKey | AtHand = KEY) -> None:
        exchange = Exchange("one", 0.0, SPACE, KEY.route, recalled=recalled)
        self.hot.learn(made, exchange, SENT)

    def find(self, made: Scope) -> tuple[Message, Message] | None:
        found = self.hot.find(made)
        self.hot.settle()
        return found


def scope(
    *headers: tuple[bytes, bytes], query: bytes = b"", path: bytes = b"/session/bootstrap"
) -> Scope:
    return {
        "type": "http", "method": "GET", "raw_path": path, "query_string": query,
        "headers": list(headers),
    }  # fmt: skip


def known(*headers: tuple[bytes, bytes], expires: float = math.inf) -> Desk:
    desk = Desk()
    desk.hold(expires)
    desk.learn(scope(*headers))
    return desk


@given(
    st.lists(VALUES, min_size=6, max_size=6), st.lists(VALUES, min_size=6, max_size=6), VALUES,
    VALUES,
)  # fmt: skip
def test_pitfall_1_requests_that_differ_have_different_names(
    one: list[bytes], another: list[bytes], query: bytes, other_query: bytes
) -> None:
    names = (b"host", b"authorization", b"accept-encoding", b"accept-language",
             b"x-use-timezone", b"origin")  # fmt: skip
    first = scope(*zip(names, one, strict=True), query=query)
    second = scope(*zip(names, another, strict=True), query=other_query)
    desk = Desk()
    desk.hold()
    desk.learn(first)
    assert desk.find(first) is not None
    assert (desk.find(second) is not None) is ((one, query) == (another, other_query))


@pytest.mark.parametrize(
    "name",
    [b"host", b"authorization", b"accept-encoding", b"accept-language", b"x-use-timezone",
     b"origin"],
)  # fmt: skip
def test_pitfall_1_one_header_that_differs_is_enough(name: bytes) -> None:
    others = [pair for pair in PLAIN if pair[0] != name]
    desk = known(*others, (name, b"ab"))
    for value in (b"ab", b"", b"Ab", b"ab ", b"abc", b"cd"):
        found = desk.find(scope(*others, (name, value))) is not None
        assert found is (value == b"ab")


PATHS = (
    b"/session/bootstrap",
    b"/api/public/coworkers/profiles",
    b"/api/public/coworkers/published/101/related",
    b"/api/public/coworkers/published/102/related",
)


@pytest.mark.parametrize("learned", PATHS)
def test_pitfall_4_an_answer_is_that_of_its_path_alone(learned: bytes) -> None:
    desk = Desk()
    desk.hold()
    desk.learn(scope(*PLAIN, path=learned))
    found = [path for path in PATHS if desk.find(scope(*PLAIN, path=path)) is not None]
    assert found == [learned]


def test_pitfall_11_an_answer_is_that_of_its_query_alone() -> None:
    desk = Desk()
    desk.hold()
    desk.learn(scope(*PLAIN, query=b"_shape=Id"))
    asked = (b"", b"_shape=Id", b"_shape=id", b"_shape=Id&", b"coworkerId=1&_shape=Id")
    found = [query for query in asked if desk.find(scope(*PLAIN, query=query)) is not None]
    assert found == [b"_shape=Id"]


@pytest.mark.parametrize("name", [b"origin", b"cookie"])
def test_a_header_that_is_empty_is_not_one_that_is_absent(name: bytes) -> None:
    with_origin = (*PLAIN, (b"origin", b"")) if name == b"cookie" else PLAIN
    desk = known(*with_origin)
    assert desk.find(scope(*with_origin)) is not None
    assert desk.find(scope(*with_origin, (name, b""))) is None


def test_two_processes_name_one_request_differently() -> None:
    one, another = known(*PLAIN), known(*PLAIN)
    assert one.memory.names.keys().isdisjoint(another.memory.names.keys())


def test_what_holds_a_nul_has_no_name() -> None:
    desk = known((b"host", b"a"), (b"authorization", b"b\0c"))
    assert not desk.memory.names
    assert desk.find(scope((b"host", b"a"), (b"authorization", b"b\0c"))) is None
    desk = known((b"host", b"a"), (b"authorization", b"b"), (b"accept-encoding", b"c"))
    assert desk.memory.names
    assert desk.find(scope((b"host", b"a"), (b"authorization", b"b\0c"))) is None


def test_pitfall_9_none_is_given_while_invalidations_are_not_heard() -> None:
    desk = known(*PLAIN)
    desk.trusted_until = desk.clock.monotonic() + 1
    assert desk.find(scope(*PLAIN)) is not None
    desk.trusted_until = desk.clock.monotonic()
    assert desk.find(scope(*PLAIN)) is None


def test_none_is_given_past_its_age_or_that_of_its_copy() -> None:
    desk = known(*PLAIN)
    desk.clock.advance(59.9)
    assert desk.find(scope(*PLAIN)) is not None
    desk.clock.advance(0.1)
    assert desk.find(scope(*PLAIN)) is None
    desk = known(*PLAIN, expires=FakeClock().monotonic())
    assert desk.find(scope(*PLAIN)) is None


def test_age_and_ttl_turn_with_the_second() -> None:
    desk = known(*PLAIN)
    for _ in range(300):
        desk.clock.advance(0.17)
        since = desk.clock.wall() - desk.memory.peek(KEY).value.fetched_at  # type: ignore[union-attr]
        found = desk.find(scope(*PLAIN))
        assert found is not None
        told = dict(found[0]["headers"])
        assert told[b"age"] == b"%d" % since
        assert told[b"cache-status"] == b"bff; hit; ttl=%d; detail=l1" % math.floor(60 - since)


def test_what_drops_the_answer_drops_its_names() -> None:
    desk = known(*PLAIN)
    assert desk.memory.names
    before = desk.memory.used_bytes
    desk.memory.drop("acme", ["u:1"])
    assert not desk.memory.names
    assert before > NAME_BYTES
    assert desk.memory.used_bytes == 0
    desk.learn(scope(*PLAIN))
    assert not desk.memory.names, "what is gone is not learned"


def whole(desk: Desk) -> Whole:
    """A document that shapes can be made of, as it is kept."""
    now = desk.clock.wall()
    entry = Entry(200, b"{}", now, ("u:1",))
    reading = Reading(PROFILES, entry, Outcome.HIT, Tier.L1, Freshness(60, 0, 0))
    return Whole("whole", (), Columns({"User": {"Id": 1}}), 17, (reading,), now + 60)


def keep(desk: Desk, document: Whole) -> None:
    held = Held(document, 2, math.inf, frozenset({("acme", "u:1")}))
    assert desk.memory.put(document.key, held, desk.memory.ticket())


def test_pitfall_14_a_document_that_was_replaced_while_it_was_sent_is_not_learned() -> None:
    """Its replacement may have been read after a write: the older one must not live as long."""
    desk = Desk()
    sent, asked = whole(desk), scope(*PLAIN, query=b"_shape=User")
    keep(desk, sent)
    desk.learn(asked, AtHand(KEY, sent))
    assert desk.hot.find(asked) is not None
    keep(desk, replace(sent))
    assert not desk.memory.names
    desk.learn(asked, AtHand(KEY, sent))
    assert not desk.memory.names
    assert desk.hot.find(asked) is None


@pytest.mark.parametrize(
    "query",
    [b"_shape=User\xc3\xa9", b"_shape=User.\xff", b"_shape=User%2EId", b"_shape=User+",
     b"_shape=User.Id&coworkerId=101", b"coworkerId=101&_shape=User.Id", b"_shape=", b""],
)  # fmt: skip
def test_pitfall_1_none_is_made_for_a_query_that_has_to_be_decoded_or_is_more_than_a_shape(
    query: bytes,
) -> None:
    desk = Desk()
    sent = whole(desk)
    keep(desk, sent)
    desk.learn(scope(*PLAIN, query=b"_shape=User"), AtHand(KEY, sent))
    assert desk.hot.find(scope(*PLAIN, query=b"_shape=User.Id")) is not None
    assert desk.hot.find(scope(*PLAIN, query=query)) is None


def test_pitfall_22_a_shape_is_made_of_the_document_of_its_own_parts_alone() -> None:
    """One of more parts may be older than what the usual way would make it of, and ends sooner."""
    desk = Desk()
    columns = Columns({"User": {"Id": 1}, "RelatedProfiles": [{"Id": 2}]})
    both = replace(whole(desk), parts=(RELATED,), columns=columns)
    keep(desk, both)
    desk.learn(scope(*PLAIN, query=b"_shape=User.Id,RelatedProfiles.Id"), AtHand(KEY, both))
    for query, is_made in (
        (b"_shape=User.Id", False),
        (b"_shape=User.Id,RelatedProfiles.Id", True),
        (b"_shape=RelatedProfiles.Id,User.Id", True),
        (b"_shape=User.Id", False),
    ):
        assert (desk.hot.find(scope(*PLAIN, query=query)) is not None) is is_made


def kept_in_shape(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Scope:
    """What is asked for: an answer made of a document often enough to be kept."""
    monkeypatch.setattr(Reports, "report", lambda *_: None)
    sent = whole(desk)
    keep(desk, sent)
    desk.learn(scope(*PLAIN, query=b"_shape=User"), AtHand(KEY, sent))
    asked = scope(*PLAIN, query=b"_shape=User.Id")
    for _ in range(3):
        assert desk.find(asked) is not None
    assert desk.memory.peek(replace(KEY, shape="User.Id")) is not None
    return asked


def test_pitfall_22_what_drops_a_document_drops_what_was_kept_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    asked = kept_in_shape(desk, monkeypatch)
    desk.memory.drop("acme", ["u:1"])
    assert desk.hot.find(asked) is None
    assert not desk.memory.names
    assert len(desk.memory) == 0


def test_pitfall_11_what_was_kept_of_a_document_is_for_its_very_query(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    asked = kept_in_shape(desk, monkeypatch)
    found = [
        query
        for query in (b"User.Id", b"", b"_shape=", b"_shape=User.Id", b"_shape=User.Id&")
        if desk.find(scope(*PLAIN, query=query)) is not None
    ]
    assert found == [asked["query_string"]]


@pytest.mark.parametrize("ends", ["it grows old", "its copy does", "invalidations are not heard"])
@pytest.mark.parametrize("asked_before", [False, True])
def test_pitfall_22_none_is_made_of_a_document_past_its_end(ends: str, asked_before: bool) -> None:
    """Neither of what was selected before, nor of what is selected now."""
    desk = Desk(clock=Still())
    sent, asked = whole(desk), scope(*PLAIN, query=b"_shape=User.Id")
    until = desk.clock.monotonic() + (0 if ends == "its copy does" else 1)
    if ends == "it grows old":
        sent = replace(sent, fresh_until=desk.clock.wall())
    if asked_before:
        assert sent.columns.text(parse("User.Id")) == b'{"User":{"Id":1}}'
    held = Held(sent, 2, until, frozenset({("acme", "u:1")}))
    assert desk.memory.put(sent.key, held, desk.memory.ticket())
    desk.learn(asked, AtHand(KEY, sent))
    assert desk.memory.names
    if ends == "invalidations are not heard":
        assert desk.hot.find(asked) is not None
        desk.trusted_until = desk.clock.monotonic()
    assert desk.hot.find(asked) is None


@pytest.mark.parametrize("status", [404, 410])
def test_only_a_200_is_learned(status: int) -> None:
    """A 304 of another would be none (RFC 9110 13.2.1), and all that is found is sent as a 200."""
    desk = Desk()
    desk.hold()
    held = desk.memory.peek(KEY)
    assert held is not None
    assert isinstance(held.value, Finished)
    other = replace(held, value=replace(held.value, status=status))
    assert desk.memory.put(KEY, other, desk.memory.ticket())
    desk.learn(scope(*PLAIN))
    assert not desk.memory.names


def test_what_learns_nothing_has_no_names() -> None:
    desk = Desk()
    desk.hold()
    desk.hot.learns = False
    desk.learn(scope(*PLAIN))
    assert not desk.memory.names
    desk.hot.learns = True
    desk.learn(scope(*PLAIN))
    assert desk.memory.names


def test_a_document_has_so_many_names_at_most() -> None:
    desk = Desk()
    sent = whole(desk)
    keep(desk, sent)
    for number in range(2 * MOST_NAMES):
        asked = scope(*PLAIN, (b"accept-language", b"%d" % number), query=b"_shape=User")
        desk.learn(asked, AtHand(KEY, sent))
    assert len(desk.memory.names) == MOST_NAMES


def test_an_answer_has_so_many_names_at_most() -> None:
    desk = Desk()
    desk.hold()
    for number in range(2 * MOST_NAMES):
        desk.learn(scope(*PLAIN, (b"accept-language", b"%d" % number)))
    assert len(desk.memory.names) == MOST_NAMES


def test_names_make_room_as_answers_do() -> None:
    desk = Desk(max_bytes=NAME_BYTES + 500)
    desk.hold()
    desk.learn(scope(*PLAIN))
    assert not desk.memory.names
    assert desk.memory.used_bytes == len(desk.memory) == 0
    assert desk.memory.evictions == 1


def test_what_is_used_is_not_what_goes_first() -> None:
    desk = known(*PLAIN)
    for number in range(3):
        desk.memory.put(number, Held(b"", 0, math.inf, frozenset()), desk.memory.ticket())
    assert desk.find(scope(*PLAIN)) is not None
    assert next(iter(desk.memory._items)) == 0


@pytest.mark.unmeasured
def test_a_name_costs_what_is_counted_for_it() -> None:
    desk = Desk(max_bytes=100_000_000)
    keys = [replace(KEY, ident=str(number)) for number in range(2_000)]
    asked = [
        scope(*PLAIN, (b"accept-language", b"l" * 20), query=b"%d" % number)
        for number in range(len(keys))
    ]
    for key in keys:
        desk.hold(key=key)
    tracemalloc.start()
    for key, made in zip(keys, asked, strict=True):
        desk.learn(made, key)
        desk.hot.find(made)
    desk.reports.heard.clear()
    desk.hot.settle()
    desk.reports.heard.clear()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.8 * NAME_BYTES < size / len(keys) < 1.1 * NAME_BYTES


def test_ids_are_never_the_same() -> None:
    ids = [new_request_id() for _ in range(2_000)]
    assert len(set(ids)) == len(ids)
    assert all(len(each) == 32 for each in ids)


def test_the_hot_path_makes_few_calls() -> None:
    """Work that is added here is added to every answer: this is where a review sees it."""
    desk = Desk(clock=Still())
    desk.hold()
    asked = scope(*PLAIN)
    desk.learn(asked)
    desk.clock.advance(0.3)
    assert desk.find(asked) is not None
    assert calls_of(lambda: desk.hot.find(asked)) <= 40


@pytest.mark.parametrize(("telling", "step"), [(True, LINES_AT_ONCE), (False, AT_ONCE)])
async def test_what_is_to_be_reported_does_not_keep_the_loop_from_others(
    telling: bool, step: int
) -> None:
    desk = known(*PLAIN)
    desk.reports.telling = telling
    desk.hot.settle()
    desk.hot.serve(asyncio.get_running_loop())
    turns, over = [], asyncio.Event()

    def look() -> None:
        turns.append(sum(len(served) for _, served in desk.reports.heard))
        if turns[-1] == 3 * step:
            over.set()
        else:
            asyncio.get_running_loop().call_soon(look)

    for _ in range(3 * step):
        assert desk.hot.find(scope(*PLAIN)) is not None
    assert not desk.reports.heard
    look()
    async with asyncio.timeout(5):
        await over.wait()
    assert {step, 2 * step, 3 * step} <= set(turns)


def test_beyond_what_is_to_be_reported_requests_go_the_usual_way() -> None:
    desk = known(*PLAIN)
    found = [desk.hot.find(scope(*PLAIN)) for _ in range(MOST_UNREPORTED + 1)]
    assert [each is None for each in found] == [False] * MOST_UNREPORTED + [True]
    desk.hot.settle()
    assert desk.hot.find(scope(*PLAIN)) is not None


@pytest.mark.parametrize("path", [{}, {"raw_path": None}])
def test_a_server_that_tells_no_raw_path_has_no_hot_answers(path: Scope) -> None:
    desk = known(*PLAIN)
    told = {name: value for name, value in scope(*PLAIN).items() if name != "raw_path"}
    assert desk.find({**told, **path}) is None


def test_a_name_is_charged_for_the_shape_that_it_holds() -> None:
    desk, key = Desk(), replace(KEY, shape="a" * 3_000, variant="tz=-")
    desk.hold(key=key)
    before = desk.memory.used_bytes
    desk.learn(scope(*PLAIN), key)
    [name] = desk.memory.names
    assert desk.memory.used_bytes == before + NAME_BYTES + 3_004 + len(name)
