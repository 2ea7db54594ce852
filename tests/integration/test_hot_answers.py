"""Hot answers: the same as the usual way's in every byte that counts, and gone when it would go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import astuple, replace

import httpx
import orjson
import pytest
from starlette.types import Scope
from structlog.testing import capture_logs

from bff.edge.counts import Counts
from bff.edge.gateway import Gateway
from bff.edge.hot import MOST_NAMES, HotAnswers
from bff.edge.hot_answer import Hot
from bff.edge.hot_whole import HotWhole
from bff.edge.respond import Finished
from bff.observe.journal import Journal
from bff.session.documents import Whole
from bff.shape import DEFAULTS, Shape
from tests.support.asgi_call import AsgiCall
from tests.support.gateway import (
    BOOTSTRAP,
    EMBEDDED,
    OPS_TOKEN,
    PROFILES,
    SWITCH,
    Member,
    Stage,
    bearer,
    related,
    stage,
)

Pairs = Sequence[tuple[bytes, bytes]]
PORTAL = "http://portal.test"
OF_ALICE = related(101)
VOLATILE = {b"x-request-id", b"server-timing"}


@pytest.fixture
async def solo() -> AsyncIterator[Stage]:
    """One gateway that browsers may call from anywhere."""
    async with stage(EMBEDDED, env={"BFF_CORS_ORIGINS": "*"}) as opened:
        yield opened


def gateway(stage: Stage, via: int = 0) -> Gateway:
    app = stage.gateways[via].app
    assert isinstance(app, Gateway)
    return app


def hot_of(stage: Stage, via: int = 0) -> HotAnswers:
    hot = gateway(stage, via).hot
    assert hot is not None
    return hot


def own(member: Member, *more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    token = f"Bearer {member.token}".encode()
    return [(b"host", b"alpha.test"), (b"authorization", token), *more]


async def call(stage: Stage, target: str, headers: Pairs, method: str = "GET") -> AsgiCall:
    path, _, query = target.partition("?")
    made = AsgiCall(method, path.encode(), query.encode(), headers)
    await gateway(stage)(made.scope, made.receive, made.send)
    return made


def found(stage: Stage, target: str, headers: Pairs, method: str = "GET") -> bool:
    """Whether a request would have a hot answer; asking counts as one, so it is reported."""
    path, _, query = target.partition("?")
    answer = hot_of(stage).find(AsgiCall(method, path.encode(), query.encode(), headers).scope)
    hot_of(stage).settle()
    return answer is not None


async def warmed(stage: Stage, target: str, headers: Pairs) -> None:
    for _ in range(2):
        assert (await call(stage, target, headers)).status in (200, 304)


def told(answer: AsgiCall) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, body and all headers that two answers to one request share."""
    kept = sorted(pair for pair in answer.headers if pair[0] not in VOLATILE)
    return answer.status, kept, answer.body


BROWSER = (b"origin", PORTAL.encode())
ASKED: Mapping[str, tuple[tuple[bytes, bytes], ...]] = {
    "plain": (),
    "br": ((b"accept-encoding", b"gzip, deflate, br"),),
    "identity": ((b"accept-encoding", b"identity"),),
    "browser": ((b"accept-encoding", b"br"), BROWSER, (b"accept", b"*/*")),
    "cookies": (BROWSER, (b"cookie", b"a=b")),
    "languages": ((b"accept-language", b"es-ES, en"), (b"x-use-timezone", b"true")),
    "traced": (
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        (b"x-request-id", b"chosen-by-the-caller"),
    ),
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(
    "target", [BOOTSTRAP, f"{BOOTSTRAP}?_shape=@portal", f"{PROFILES}?_shape=User", OF_ALICE]
)
async def test_a_hot_answer_is_that_of_the_usual_way(solo: Stage, target: str, asked: str) -> None:
    headers = own(solo.alice, *ASKED[asked])
    await warmed(solo, target, headers)
    await call(solo, target, headers)
    solo.clock.advance(7.4)
    hot, app = hot_of(solo), gateway(solo)
    for more in (
        (),
        ((b"if-none-match", dict((await call(solo, target, headers)).headers)[b"etag"]),),
    ):
        assert found(solo, target, [*headers, *more])
        quick = await call(solo, target, [*headers, *more])
        app.hot = None
        usual = await call(solo, target, [*headers, *more])
        app.hot = hot
        assert told(quick) == told(usual)
        names = [name for name, _ in quick.headers]
        assert len(set(names)) == len(names)
        assert set(names) >= VOLATILE
        if asked == "traced":
            assert dict(quick.headers)[b"x-request-id"] == b"chosen-by-the-caller"


SHAPES = (
    "Profiles.Id,User.Id", "User", "@mobile", "RelatedProfiles.FullName", "Bootstrap", "No.Such",
    "Profiles.FullName,RelatedProfiles.Id,Threads",
    "User.Id,User.Email,User.FullName,User.Active,RelatedProfiles.Position,RelatedProfiles.Id",
)  # fmt: skip


async def parsed(stage: Stage, headers: Pairs) -> None:
    """The whole document is parsed in process, as is the profile list alone."""
    for shape in ("Profiles.Id", "User.FullName,RelatedProfiles.Id"):
        for more in ("", ",User.Email", ",Profiles.Email"):
            await call(stage, f"{BOOTSTRAP}?_shape={shape}{more}", headers)


@pytest.mark.parametrize("asked", ASKED)
async def test_another_shape_of_what_is_parsed_is_that_of_the_usual_way(
    solo: Stage, asked: str
) -> None:
    headers = own(solo.alice, *ASKED[asked])
    await parsed(solo, headers)
    hot, app = hot_of(solo), gateway(solo)
    for shape in SHAPES:
        solo.clock.advance(6.4)
        target = f"{BOOTSTRAP}?_shape={shape}"
        app.hot = None
        usual = await call(solo, target, headers)
        app.hot = hot
        for again in range(4):
            quick = await call(solo, target, headers)
            assert told(quick) == told(usual), (shape, again)
        tag = (b"if-none-match", dict(usual.headers)[b"etag"])
        assert (await call(solo, target, [*headers, tag])).status == 304
        assert found(solo, target, headers)


async def test_a_shape_that_is_asked_for_again_is_kept(solo: Stage) -> None:
    headers = own(solo.alice)
    await parsed(solo, headers)
    memory = hot_of(solo)._memory
    target = f"{BOOTSTRAP}?_shape=Profiles.Id,User.Id"
    items, names = len(memory), len(memory.names)
    await call(solo, target, headers)
    assert (len(memory), len(memory.names)) == (items, names)
    await call(solo, target, headers)
    assert (len(memory), len(memory.names)) == (items + 1, names + 1)
    *_, hot = memory.names.values()
    assert isinstance(hot, Hot)
    kept = memory.peek(hot.key)
    assert kept is not None
    of = {held.expires for held in memory._items.values() if isinstance(held.value, Whole)}
    assert {hot.setting.expires, kept.expires} <= of
    assert await solo.metric("bff_finished_hits") == 0
    await call(solo, target, headers)
    assert await solo.metric("bff_finished_hits") == 1
    for _ in range(2):
        await call(solo, f"{BOOTSTRAP}?_shape=User.Id,Profiles.Id", headers)
    assert (len(memory), len(memory.names)) == (items + 1, names + 2), "spelled otherwise"


async def test_what_is_kept_is_not_made_once_more_for_another_spelling(
    solo: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are more of them than names are kept: the last of them are asked for in vain."""
    headers, made = own(solo.alice), []
    await parsed(solo, headers)
    finished = HotWhole.finished

    def counted(of: HotWhole, shape: Shape, counts: Counts) -> Finished:
        made.append(shape.canonical)
        return finished(of, shape, counts)

    monkeypatch.setattr(HotWhole, "finished", counted)
    for number in range(MOST_NAMES + 2):
        target = f"{BOOTSTRAP}?_shape=RelatedProfiles.Id" + ",RelatedProfiles.Id" * number
        for _ in range(3):
            assert found(solo, target, headers)
    assert made == ["RelatedProfiles.Id"]


async def test_no_more_are_kept_at_a_time_than_others_can_wait_for(
    solo: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.edge.hot.MOST_KEPT", 2)
    headers = own(solo.alice)
    await parsed(solo, headers)
    memory, kept = hot_of(solo)._memory, []
    for _ in range(4):
        for name in ("Id", "FullName", "Email"):
            query = b"_shape=RelatedProfiles." + name.encode()
            scope = AsgiCall("GET", BOOTSTRAP.encode(), query, headers).scope
            assert hot_of(solo).find(scope) is not None
        items = len(memory)
        hot_of(solo).settle()
        kept.append(len(memory) - items)
    assert kept == [0, 2, 1, 0]


async def test_a_shape_beyond_the_limits_is_refused_whatever_was_asked_before(solo: Stage) -> None:
    headers = own(solo.alice)
    await parsed(solo, headers)
    for paths, status in ((256, 200), (257, 400)):
        target = f"{BOOTSTRAP}?_shape=" + ",".join(["User.Id"] * paths)
        assert found(solo, target, headers) is (status == 200)
        assert (await call(solo, target, headers)).status == status


@pytest.mark.parametrize("held", [b'"another"', b"W/%b", b'"another", %b', b"%b "])
async def test_what_is_made_is_unmodified_by_its_very_validator_only(
    solo: Stage, held: bytes
) -> None:
    headers = own(solo.alice)
    await parsed(solo, headers)
    tag = dict((await call(solo, f"{BOOTSTRAP}?_shape=User.Id", headers)).headers)[b"etag"]
    validator = held.replace(b"%b", tag)
    spelled = f"{BOOTSTRAP}?_shape=User.Id,User.Id"
    assert not found(solo, spelled, [*headers, (b"if-none-match", validator)])
    assert found(solo, spelled, [*headers, (b"if-none-match", tag)])


async def test_a_304_of_what_is_made_has_the_headers_of_the_usual_one(solo: Stage) -> None:
    headers, spelled = own(solo.alice), f"{BOOTSTRAP}?_shape=User.Id,User.Id"
    await parsed(solo, headers)
    tag = dict((await call(solo, f"{BOOTSTRAP}?_shape=User.Id", headers)).headers)[b"etag"]
    answers = []
    for hot in (hot_of(solo), None):
        gateway(solo).hot = hot
        answers.append(await call(solo, spelled, [*headers, (b"if-none-match", tag)]))
    made, usual = answers
    assert usual.status == 304
    assert told(made) == told(usual)


async def test_what_was_replaced_is_not_kept_in_a_shape(solo: Stage) -> None:
    """Made before, reported after: its replacement may have been read after a write."""
    headers = own(solo.alice)
    await parsed(solo, headers)
    memory = hot_of(solo)._memory
    scope = AsgiCall("GET", BOOTSTRAP.encode(), b"_shape=User.FullName", headers).scope
    for _ in range(2):
        assert hot_of(solo).find(scope) is not None
    key = hot_of(solo)._served[0][0].setting.held
    whole = memory.peek(key)
    assert whole is not None
    assert isinstance(whole.value, Whole)
    assert memory.put(key, replace(whole, value=replace(whole.value)), memory.ticket())
    items = len(memory)
    hot_of(solo).settle()
    assert len(memory) == items


async def test_a_document_that_shapes_are_made_of_is_in_use(solo: Stage) -> None:
    """Or it would go for want of room before what nobody asked for since."""
    headers = own(solo.alice)
    await parsed(solo, headers)
    memory = hot_of(solo)._memory
    await call(solo, PROFILES, own(solo.bob))
    assert found(solo, f"{BOOTSTRAP}?_shape=User.FullName", headers)
    last = memory.peek(next(reversed(memory._items)))
    assert last is not None
    assert isinstance(last.value, Whole)


async def test_what_is_made_and_not_reported_yet_is_bounded(
    solo: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing counts what is to be told of each; a loop that stands still reports none."""
    monkeypatch.setattr("bff.edge.hot.MOST_MADE", 3)
    headers = own(solo.alice)
    await parsed(solo, headers)
    await warmed(solo, f"{BOOTSTRAP}?_shape=User", headers)
    hot_of(solo).settle()

    def made(shape: str) -> bool:
        query = b"_shape=" + shape.encode()
        scope = AsgiCall("GET", BOOTSTRAP.encode(), query, headers).scope
        return hot_of(solo).find(scope) is not None

    names = ("Id", "FullName", "Email", "Active")
    assert [made(f"RelatedProfiles.{name}") for name in names] == [True, True, True, False]
    assert made("User"), "what is kept finished takes no more room"
    hot_of(solo).settle()
    assert made("RelatedProfiles.Active")


@pytest.mark.parametrize(
    "query", ["_shape=A..B", "_shape=@unknown", "_shape=User.%49d", "_shape=User.Id&coworkerId=101",
              "_shape=", "coworkerId=101", "_shape=User.Id&_shape=User.Id"]
)  # fmt: skip
async def test_a_query_that_is_more_than_a_plain_shape_goes_the_usual_way(
    solo: Stage, query: str
) -> None:
    headers = own(solo.alice)
    await parsed(solo, headers)
    assert not found(solo, f"{BOOTSTRAP}?{query}", headers)


async def test_pitfall_1_no_whole_document_is_anothers(solo: Stage) -> None:
    for member in (solo.alice, solo.bob):
        await parsed(solo, own(member))
    for number, (member, other) in enumerate(((solo.alice, solo.bob), (solo.bob, solo.alice))):
        target = f"{BOOTSTRAP}?_shape=Profiles,User,RelatedProfiles,Shape{number}"
        assert found(solo, target, own(member))
        answer = await call(solo, target, own(member))
        assert member.canary.encode() in answer.body
        assert member.token.encode() in answer.body
        assert other.canary.encode() not in answer.body
        assert other.token.encode() not in answer.body


@pytest.mark.parametrize(
    "doubt",
    [
        (b"authorization", b"Bearer another"),
        (b"Authorization", b"Bearer another"),
        (b"AUTHORIZATION", b""),
        (b"host", b"alpha.test"),
        (b"accept-encoding", b"br"),
        (b"content-length", b"0"),
        (b"transfer-encoding", b"chunked"),
        (b"if-none-match", b"*"),
        (b"if-none-match", b'W/"another"'),
        (b"x-anything", b"1"),
        (b"x-anything", b"1\0"),
    ],
)
async def test_pitfall_1_what_is_unusual_goes_the_usual_way(
    solo: Stage, doubt: tuple[bytes, bytes]
) -> None:
    usual = own(solo.alice, (b"accept-encoding", b"gzip"))
    await warmed(solo, BOOTSTRAP, usual)
    await call(solo, BOOTSTRAP, usual)
    assert found(solo, BOOTSTRAP, usual)
    harmless = doubt[0] == b"x-anything"
    assert found(solo, BOOTSTRAP, [*usual, doubt]) is harmless


async def test_nothing_but_a_get_of_a_cached_route_is_answered_at_once(solo: Stage) -> None:
    headers = own(solo.alice)
    await warmed(solo, BOOTSTRAP, headers)
    await call(solo, BOOTSTRAP, headers)
    assert found(solo, BOOTSTRAP, headers)
    for method in ("HEAD", "POST", "OPTIONS", "get"):
        assert not found(solo, BOOTSTRAP, headers, method)
    for target in (f"{BOOTSTRAP}?", f"{BOOTSTRAP}/", "/session//bootstrap", f"{BOOTSTRAP}?_shape="):
        # Spelled otherwise it is another request: it is answered as such before it may be hot.
        assert found(solo, target, headers) is (target == f"{BOOTSTRAP}?")


async def test_pitfall_1_everybody_has_their_own(solo: Stage) -> None:
    both = solo.alice, solo.bob
    for target in (BOOTSTRAP, PROFILES, f"{BOOTSTRAP}?_shape=@portal"):
        for member in both:
            await warmed(solo, target, own(member))
            await call(solo, target, own(member))
        for member, other in (both, both[::-1]):
            assert found(solo, target, own(member))
            answer = await call(solo, target, own(member))
            assert other.canary.encode() not in answer.body
            assert other.token.encode() not in answer.body
    stranger = [(b"host", b"alpha.test"), (b"authorization", b"Bearer " + b"x" * 40)]
    assert not found(solo, BOOTSTRAP, stranger)
    assert not found(solo, BOOTSTRAP, [(b"host", b"alpha.test")])


async def switched(stage: Stage) -> None:
    target = f"{SWITCH}?coworkerId=145"
    answer = await stage.send("PUT", target, stage.alice, content=b"")
    assert answer.status_code < 300, answer.text


async def purged(stage: Stage) -> None:
    answer = await stage.send(
        "POST", "/ops/api/purge", headers=bearer(OPS_TOKEN), content=b'{"user":7001}'
    )
    assert answer.status_code < 300, answer.text


async def grown_old(stage: Stage) -> None:
    stage.clock.advance(60.1)


async def revoked(stage: Stage) -> None:
    """Nexudus is asked because another language is, and refuses."""
    stage.tenant.sandbox.tokens.revoke(stage.alice.token)
    french = own(stage.alice, (b"accept-language", b"fr"))
    assert (await call(stage, PROFILES, french)).status == 401


@pytest.mark.parametrize("happens", [switched, purged, grown_old, revoked])
async def test_pitfall_5_what_ends_an_answer_ends_all_its_names(
    solo: Stage, happens: Callable[[Stage], Awaitable[None]]
) -> None:
    spelled = [own(solo.alice, (b"accept-encoding", value)) for value in (b"br", b"br, gzip", b"")]
    for headers in spelled:
        for target in (BOOTSTRAP, f"{BOOTSTRAP}?_shape=User"):
            await warmed(solo, target, headers)
            await call(solo, target, headers)
            assert found(solo, target, headers)
    await parsed(solo, spelled[0])
    made, kept = (f"{BOOTSTRAP}?_shape=Profiles.Id,User.{name}" for name in ("Id", "Email"))
    await warmed(solo, kept, spelled[0])
    hot = [held for held in hot_of(solo)._memory.names.values() if isinstance(held, Hot)]
    assert "Profiles.Id,User.Email" in [each.key.shape for each in hot]
    for target in (made, kept):
        assert found(solo, target, spelled[0])
    await happens(solo)
    for target in (made, kept):
        assert not found(solo, target, spelled[0])
    for headers in spelled:
        assert not found(solo, BOOTSTRAP, headers)
        assert not found(solo, f"{BOOTSTRAP}?_shape=User", headers)


async def test_a_write_in_another_process_ends_it_before_it_is_answered(redis_url: str) -> None:
    async with stage(redis_url, gateways=2) as opened:
        headers = own(opened.alice)
        for _ in range(3):
            await warmed(opened, BOOTSTRAP, headers)
        assert found(opened, BOOTSTRAP, headers)
        answer = await opened.send("PUT", f"{SWITCH}?coworkerId=145", opened.alice, via=1)
        assert answer.status_code < 300
        assert not found(opened, BOOTSTRAP, headers)


class Heard:
    """How often something was found."""

    def __init__(self, find: Callable[[Scope], object | None]) -> None:
        self._find = find
        self.answered = 0

    def __call__(self, scope: Scope) -> object | None:
        found = self._find(scope)
        self.answered += found is not None
        return found


KEPT = ("@portal",) * 6
MADE = (
    "User.Id,RelatedProfiles.Id", "RelatedProfiles.Id,User.Id",
    "Profiles.FullName,RelatedProfiles.Id", "RelatedProfiles.Id,Profiles.FullName", "User,User.Id",
    "User.Id,User", ",", ",,", "@mobile", DEFAULTS["mobile"],
)  # fmt: skip
"""No two alike to the letter, so that each is made: the second of them of columns that are joined,
and the fourth not, since what only some profiles have stands in another place in each."""


@pytest.mark.parametrize("shapes", [KEPT, MADE], ids=["kept", "made"])
async def test_what_is_counted_and_told_is_the_same_either_way(
    shapes: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[dict[str, float]] = []
    told_of: dict[bool, list[dict[str, object]]] = {True: [], False: []}
    noted: dict[bool, list[object]] = {True: [], False: []}
    for is_hot in (True, False):
        journal = Journal()
        monkeypatch.setattr("bff.observed.Journal", lambda journal=journal: journal)
        async with stage(EMBEDDED) as opened:
            hot = hot_of(opened)
            await warmed(opened, f"{BOOTSTRAP}?_shape=@portal", own(opened.alice))
            await call(opened, f"{BOOTSTRAP}?_shape=@portal", own(opened.alice))
            await parsed(opened, own(opened.alice))
            gateway(opened).hot = hot if is_hot else None
            hears = Heard(hot.find)
            monkeypatch.setattr(hot, "find", hears)
            hot.settle()
            journal.take_shapes()
            tag = b""
            for number, shape in enumerate(shapes):
                more = ((b"if-none-match", tag),) if number % 2 else ()
                ident = (b"x-request-id", b"request-number-%d" % number)
                headers = own(opened.alice, ident, *more)
                with capture_logs() as lines:
                    answer = await call(opened, f"{BOOTSTRAP}?_shape={shape}", headers)
                    hot.settle()
                noted[is_hot] += [
                    [line[name] for name in ("request_id", "status", "bytes", "cache")]
                    for line in lines
                    if line["event"] == "request"
                ]
                tag = dict(answer.headers)[b"etag"]
                told_of[is_hot].append(await explained(opened, f"request-number-{number}"))
            counted.append(await series(opened))
            assert hears.answered == len(shapes) * is_hot
            noted[is_hot] += [astuple(use)[1:] for use in journal.take_shapes()]
    assert counted[0] == counted[1]
    assert [story["status"] for story in told_of[True]] == [200, 304] * (len(shapes) // 2)
    assert told_of[True] == told_of[False]
    assert len(noted[True]) > len(shapes), "a line of each, and some shapes"
    assert noted[True] == noted[False]


async def series(stage: Stage) -> dict[str, float]:
    """All that is counted of members' requests; durations aside."""
    found: dict[str, float] = {}
    for line in (await stage.metrics()).splitlines():
        name, _, value = line.rpartition(" ")
        about = ("bff_requests", "bff_response_bytes", "bff_cache_reads", "bff_bytes_saved",
                 "bff_not_modified", "bff_finished_hits", "bff_upstream_calls_saved",
                 "bff_bootstraps", "bff_request_seconds_count")  # fmt: skip
        if name.startswith(about) and "/session/" in name + "/session/" and "ops" not in name:
            found[name.replace(stage.tenant.origin.rpartition(":")[2], "port")] = float(value)
    assert found
    return found


async def explained(stage: Stage, request_id: str) -> dict[str, object]:
    """What operators are told of a request; without what differs between any two."""
    answer: httpx.Response = await stage.send(
        "POST", "/ops/api/explain", headers=bearer(OPS_TOKEN),
        content=orjson.dumps({"request_id": request_id}),
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    story: dict[str, object] = answer.json()
    return {name: story.get(name) for name in ("status", "cache", "route", "shape", "sentence")}


@pytest.mark.parametrize(
    ("one", "another"),
    [
        (("User.Id,User.Email", b"br"), ("User.Email,User.Id", b"br")),
        (("User.Id,User.Email", b"br"), ("User.Id,User.Email", b"gzip;q=0.5, br")),
    ],
)
async def test_two_spellings_of_one_request_do_not_push_each_other_out(
    solo: Stage, one: tuple[str, bytes], another: tuple[str, bytes]
) -> None:
    asked = [
        (f"{BOOTSTRAP}?_shape={shape}", own(solo.alice, (b"accept-encoding", coding)))
        for shape, coding in (one, another)
    ]
    for _, headers in asked:
        await parsed(solo, headers)
    memory = hot_of(solo)._memory
    for target, headers in asked * 3:
        await call(solo, target, headers)
    names, finished = len(memory.names), await solo.metric("bff_finished_hits")
    for target, headers in asked * 5:
        await call(solo, target, headers)
    assert len(memory.names) == names
    assert await solo.metric("bff_finished_hits") == finished + 10


async def test_a_log_that_takes_no_line_costs_nobody_an_answer_or_a_count(
    solo: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = own(solo.alice)
    await warmed(solo, BOOTSTRAP, headers)
    await call(solo, BOOTSTRAP, headers)
    before = await solo.metric("bff_requests", BOOTSTRAP)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bff.edge.access_log.log.info", full)
    for _ in range(7):
        assert (await call(solo, BOOTSTRAP, headers)).status == 200
    monkeypatch.undo()
    assert await solo.metric("bff_requests", BOOTSTRAP) == before + 7
