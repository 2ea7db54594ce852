"""`GET /session/bootstrap`: what is in it, and what it is when a part of Nexudus fails."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import orjson
import pytest

from bff.edge import endpoints
from bff.edge.target import parse_query
from bff.sandbox.effects import (
    Effect,
    Empty200,
    Hang,
    Html200,
    Override,
    Reset,
    Status,
    Truncate,
    WrongForm,
)
from tests.support import fair_time
from tests.support.gateway import BOOTSTRAP, PROFILES, Member, Stage, related, stage, until

OF_ALICE = related(101)
DEADLINE_S = 0.9
QUICK = {"BFF_DEADLINE_S": str(DEADLINE_S)}


def parsed(body: bytes) -> dict[str, object]:
    document: dict[str, object] = orjson.loads(body)
    return document


def profile_list(*profiles: dict[str, object], **more: object) -> str:
    user = {"Id": 7001, "FullName": "Jane Doe", "AccessToken": "of-nexudus"}
    return orjson.dumps({"User": user, "Profiles": list(profiles), **more}).decode()


def member(stage: Stage, user_id: int) -> Member:
    return Member(user_id, 0, "", stage.tenant.sandbox.tokens.mint(user_id))


async def test_it_is_both_answers_side_by_side(solo: Stage) -> None:
    listed = parsed((await solo.upstream(PROFILES, solo.alice)).content)
    others = parsed((await solo.upstream(OF_ALICE, solo.alice)).content)
    answer = await solo.get(BOOTSTRAP, solo.alice)
    assert answer.status_code == 200
    own = {"CoworkerId": 101, "Complete": True, "Problems": []}
    # As bytes: the order of members counts too.
    assert answer.content == orjson.dumps({**listed, **others, "Bootstrap": own})
    assert others["RelatedProfiles"]
    assert solo.alice.canary in answer.text
    assert "bff-complete" not in answer.headers


async def test_unknown_fields_and_64_bit_integers_are_kept(solo: Stage) -> None:
    profile = {"Id": 2**63 - 1, "IsDefaultProfile": True, "New": {"z": [2**53 + 1], "a": None}}
    solo.tenant.fault(Override(profile_list(profile, Later=[1.5])), PROFILES)
    theirs = {"Unheard": {"Of": -(2**63)}, "RelatedProfiles": [{"Id": 1, "x": 2**64 - 1}]}
    solo.tenant.fault(Override(orjson.dumps(theirs).decode()), related(2**63 - 1))
    answer = await solo.get(BOOTSTRAP, solo.alice)
    document = parsed(answer.content)
    assert document["Profiles"] == [profile]
    assert document["Later"] == [1.5]
    assert document["Unheard"] == {"Of": -(2**63)}
    assert document["RelatedProfiles"] == [{"Id": 1, "x": 2**64 - 1}]
    assert document["Threads"] == []
    assert list(document)[-1] == "Bootstrap"


async def test_a_member_called_bootstrap_does_not_pass_for_ours(solo: Stage) -> None:
    body = profile_list(Bootstrap={"Complete": False, "CoworkerId": 1})
    solo.tenant.fault(Override(body), PROFILES)
    document = parsed((await solo.get(BOOTSTRAP, solo.alice)).content)
    assert document["Bootstrap"] == {"CoworkerId": None, "Complete": True, "Problems": []}


@pytest.mark.parametrize(
    ("profiles", "active"),
    [
        ([{"Id": 1, "Active": True}, {"Id": 2, "Active": True, "IsDefaultProfile": True}], 2),
        ([{"Id": 1, "Active": False}, {"Id": 2, "Active": True}, {"Id": 3, "Active": True}], 2),
        ([{"Id": "1", "Active": True}], 1),
        ([{"Id": 1, "Active": False}], None),
        ([], None),
    ],
    ids=["the default one", "the first active one", "an id in a string", "none active", "none"],
)
async def test_the_related_list_is_that_of_the_active_profile(
    solo: Stage, profiles: list[dict[str, object]], active: int | None
) -> None:
    solo.tenant.fault(Override(profile_list(*profiles)), PROFILES)
    answer = await solo.get(BOOTSTRAP, solo.alice)
    own = parsed(answer.content)["Bootstrap"]
    assert answer.status_code == 200
    assert own == {"CoworkerId": active, "Complete": True, "Problems": []}
    asked = [visit.path for visit in solo.tenant.visits() if visit.path != PROFILES]
    assert asked == ([] if active is None else [related(active)])


async def test_a_user_without_profile_has_a_normal_session(solo: Stage) -> None:
    answer = await solo.get(BOOTSTRAP, member(solo, 7007))
    document = parsed(answer.content)
    assert answer.status_code == 200
    assert (document["Profiles"], document["RelatedProfiles"], document["Threads"]) == ([], [], [])
    assert document["Bootstrap"] == {"CoworkerId": None, "Complete": True, "Problems": []}


async def test_an_unpublished_profile_is_a_normal_session_and_is_remembered(solo: Stage) -> None:
    unlisted = related(114)
    answer = await solo.get(BOOTSTRAP, member(solo, 7010))
    document = parsed(answer.content)
    assert answer.status_code == 200
    assert (document["RelatedProfiles"], document["Threads"]) == ([], [])
    assert document["Bootstrap"] == {"CoworkerId": 114, "Complete": True, "Problems": []}
    again = await solo.get(BOOTSTRAP, member(solo, 7010))
    assert again.status_code == 200
    assert solo.tenant.arrivals(unlisted) == 1
    solo.clock.advance(61)
    await solo.get(BOOTSTRAP, member(solo, 7010))
    assert solo.tenant.arrivals(unlisted) == 2


FAILING_PARTS = [
    pytest.param(Status(500, body="boom"), 500, id="500"),
    pytest.param(Status(503), 503, id="503"),
    pytest.param(Status(403), 403, id="403"),
    pytest.param(Status(401), 401, id="401"),
    pytest.param(Html200(), 502, id="html"),
    pytest.param(Empty200(), 502, id="empty"),
    pytest.param(WrongForm(), 502, id="wrong form"),
    pytest.param(Truncate("json"), 502, id="truncated"),
    pytest.param(Status(204), 502, id="204"),
    pytest.param(Reset(), 503, id="reset"),
    pytest.param(Hang(), 504, id="hang"),
]


@pytest.mark.parametrize(("effect", "status"), FAILING_PARTS)
async def test_a_failing_related_part_is_said_and_repaired_by_the_next_request(
    effect: Effect, status: int
) -> None:
    async with stage(env=QUICK) as s:
        s.tenant.fault(effect, OF_ALICE)
        began = fair_time.now()
        answer = await s.get(BOOTSTRAP, s.alice)
        assert fair_time.now() - began < DEADLINE_S + 0.3
        document = parsed(answer.content)
        assert answer.status_code == 200
        assert answer.headers["bff-complete"] == "false"
        assert "hit" not in answer.headers["cache-status"]
        assert (document["RelatedProfiles"], document["Threads"]) == ([], [])
        assert s.alice.canary in answer.text
        own = document["Bootstrap"]
        assert isinstance(own, dict)
        assert (own["CoworkerId"], own["Complete"]) == (101, False)
        [problem] = own["Problems"]
        assert (problem["Part"], problem["Status"]) == ("related", status)
        again = await s.get(BOOTSTRAP, s.alice)
        assert again.content == answer.content, "a problem has a stable form, so that an ETag holds"
        assert s.tenant.arrivals(OF_ALICE) == (1 if status == 504 else 2)

        s.tenant.release()
        await s.quiet()
        repaired = await s.get(BOOTSTRAP, s.alice)
        assert "bff-complete" not in repaired.headers
        assert parsed(repaired.content)["RelatedProfiles"]


async def test_a_throttled_part_is_not_asked_for_again_before_nexudus_wants_it() -> None:
    async with stage(env=QUICK) as s:
        s.tenant.fault(Status(409, retry_after=1), OF_ALICE)
        began, fairly_began = time.monotonic(), fair_time.now()
        for _ in range(3):
            answer = await s.get(BOOTSTRAP, s.alice)
            assert answer.status_code == 200
            [problem] = answer.json()["Bootstrap"]["Problems"]
            assert (problem["Part"], problem["Status"]) == ("related", 503)
        assert fair_time.now() - fairly_began < 0.6
        assert s.tenant.arrivals(OF_ALICE) == 1

        s.tenant.release()
        await until(partial(_is_complete, s))
        assert time.monotonic() - began > 0.9
        assert fair_time.now() - fairly_began < 3
        assert s.tenant.arrivals(OF_ALICE) == 2


async def _is_complete(s: Stage) -> bool:
    answer = await s.get(BOOTSTRAP, s.alice)
    return answer.status_code == 200 and "bff-complete" not in answer.headers


async def test_a_failing_related_part_costs_the_profiles_no_further_call(solo: Stage) -> None:
    solo.tenant.fault(Status(500), OF_ALICE)
    for _ in range(3):
        await solo.get(BOOTSTRAP, solo.alice)
    assert solo.tenant.arrivals(PROFILES) == 1
    assert solo.tenant.arrivals(OF_ALICE) == 3


@pytest.mark.parametrize(
    ("effect", "headers"),
    [
        (Status(401), {}),
        (Status(403, body='{"Message":"no"}'), {}),
        (Status(500, body="a page", content_type="text/html"), {"content-type": "text/html"}),
        (Status(503, body="{}", retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), {}),
    ],
    ids=["401", "403", "500", "503"],
)
async def test_a_refusal_of_the_profiles_passes_as_it_is(
    solo: Stage, effect: Status, headers: dict[str, str]
) -> None:
    solo.tenant.fault(effect, PROFILES)
    for target in (BOOTSTRAP, f"{BOOTSTRAP}?coworkerId=101&_shape=User", PROFILES):
        answer = await solo.get(target, solo.alice)
        assert (answer.status_code, answer.text) == (effect.status, effect.body)
        assert headers.items() <= dict(answer.headers).items()
        assert answer.headers["cache-control"].startswith(("private", "no-store"))
        assert "Authorization" in answer.headers["vary"]
        assert f"fwd-status={effect.status}" in answer.headers["cache-status"]
    assert solo.tenant.arrivals(PROFILES) == 3


@pytest.mark.parametrize(
    ("effect", "wait"),
    [
        (Status(409, retry_after=7), "7"),
        (Status(409), "1"),
        (Status(409, retry_after="soon"), "1"),
        (Status(429, retry_after=86_400), "300"),
    ],
    ids=["409", "silent", "unreadable", "429"],
)
async def test_a_throttled_list_is_a_503_that_says_when_to_come_back(
    effect: Status, wait: str
) -> None:
    async with stage(env=QUICK) as s:
        s.tenant.fault(effect, PROFILES)
        for target in (BOOTSTRAP, PROFILES, OF_ALICE):
            answer = await s.get(target, s.alice)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, wait)
            assert answer.json()["type"] == "urn:bff:problem:overloaded"


@pytest.mark.parametrize(
    "effect",
    [
        Html200(),
        Empty200(),
        Truncate("json"),
        WrongForm(),
        Status(204),
        Override('{"User":{"Id":1},"Profiles":' + "[" * 400 + "]" * 400 + "}"),
        Override('{"User":{"Id":1},"Profiles":' + "[" * 100_000 + "]" * 100_000 + "}"),
        Override('{"User":{"Id":1},"Profiles":[],"Deep":' + "[" * 400 + "]" * 400 + "}"),
    ],
    ids=["html", "empty", "truncated", "wrong form", "204", "deep form", "bomb", "deep"],
)
async def test_an_unusable_profile_list_is_a_502(solo: Stage, effect: Effect) -> None:
    solo.tenant.fault(effect, PROFILES)
    for target in (BOOTSTRAP, PROFILES):
        answer = await solo.get(target, solo.alice)
        assert answer.status_code == 502
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:bff:problem:unusable-answer"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    solo.tenant.release()
    assert (await solo.get(BOOTSTRAP, solo.alice)).status_code == 200


@pytest.mark.parametrize("effect", [Reset(), Truncate("length")], ids=["reset", "cut"])
async def test_a_broken_connection_is_a_503_with_retry_after(solo: Stage, effect: Effect) -> None:
    solo.tenant.fault(effect, PROFILES)
    answer = await solo.get(BOOTSTRAP, solo.alice)
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:bff:problem:upstream-down"
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_silent_nexudus_is_a_504_within_the_deadline() -> None:
    async with stage(env=QUICK) as s:
        s.tenant.hold(PROFILES)
        began = fair_time.now()
        answer = await s.get(BOOTSTRAP, s.alice)
        assert answer.status_code == 504
        assert answer.json()["type"] == "urn:bff:problem:upstream-timeout"
        assert fair_time.now() - began < DEADLINE_S + 0.3


async def test_a_silent_nexudus_is_bridged_with_what_is_stale() -> None:
    async with stage(env={"BFF_STALE_PATIENCE_S": "0.1"}) as s:
        whole = await s.get(BOOTSTRAP, s.alice)
        s.clock.advance(60 + 301)
        s.tenant.hold(PROFILES)
        answer = await s.get(BOOTSTRAP, s.alice)
        assert (answer.status_code, answer.content) == (200, whole.content)
        assert "detail=stale-if-error" in answer.headers["cache-status"]


@pytest.mark.parametrize(
    ("shape", "calls"),
    [
        ("User,Profiles.Id", 0),
        ("Bootstrap", 0),
        ("DefaultBusiness.Name, User[].Id ,", 0),
        ("Profiles,Threads.Id", 1),
        ("RelatedProfiles", 1),
        ("Profiles,SomethingNew", 1),
        ("", 1),
    ],
)
async def test_a_shape_without_related_fields_makes_no_related_call(
    solo: Stage, shape: str, calls: int
) -> None:
    answer = await solo.get(f"{BOOTSTRAP}?_shape={shape.replace(' ', '%20')}", solo.alice)
    assert answer.status_code == 200
    assert solo.tenant.arrivals(OF_ALICE) == calls
    hinted = f"{BOOTSTRAP}?coworkerId=101&_shape={shape.replace(' ', '%20')}"
    await solo.get(hinted, solo.tenant.another(solo.alice))
    assert solo.tenant.arrivals(OF_ALICE) == calls


async def test_a_right_hint_starts_both_calls_at_once(solo: Stage) -> None:
    for path in (PROFILES, OF_ALICE):
        solo.tenant.hold(path)
    asking = solo.later(f"{BOOTSTRAP}?coworkerId=101", solo.alice)
    await solo.tenant.held(2)
    solo.tenant.release()
    answer = await asking
    assert parsed(answer.content)["RelatedProfiles"]
    assert [solo.tenant.arrivals(path) for path in (PROFILES, OF_ALICE)] == [1, 1]
    plain = await solo.get(BOOTSTRAP, solo.alice)
    assert plain.content == answer.content
    assert len(solo.tenant.visits()) == 2


@pytest.mark.parametrize("first", ["profiles", "related"])
async def test_the_order_in_which_hinted_calls_end_does_not_matter(solo: Stage, first: str) -> None:
    held = OF_ALICE if first == "profiles" else PROFILES
    solo.tenant.hold(held)
    asking = solo.later(f"{BOOTSTRAP}?coworkerId=101", solo.alice)
    await solo.tenant.held()
    solo.tenant.release()
    answer = await asking
    assert answer.content == (await solo.get(BOOTSTRAP, solo.alice)).content
    assert len(solo.tenant.visits()) == 2


async def test_a_wrong_hint_costs_one_more_call_and_never_a_wrong_answer(solo: Stage) -> None:
    answer = await solo.get(f"{BOOTSTRAP}?coworkerId=145", solo.alice)
    assert parsed(answer.content)["Bootstrap"] == {
        "CoworkerId": 101,
        "Complete": True,
        "Problems": [],
    }
    asked = sorted(visit.path for visit in solo.tenant.visits())
    assert asked == sorted([PROFILES, related(145), OF_ALICE])
    assert answer.content == (await solo.get(BOOTSTRAP, solo.alice)).content


async def test_a_hint_at_another_member_shows_nothing_of_theirs(solo: Stage) -> None:
    theirs = solo.alice.coworker_id
    await solo.get(BOOTSTRAP, solo.alice)
    hinted = await solo.get(f"{BOOTSTRAP}?coworkerId={theirs}", solo.bob)
    plain = await solo.get(BOOTSTRAP, solo.bob)
    assert hinted.content == plain.content
    assert solo.alice.canary not in hinted.text


async def test_a_hint_with_a_refused_token_is_a_401_and_stores_nothing(solo: Stage) -> None:
    solo.tenant.fault(Override('{"RelatedProfiles":[],"Threads":[]}'), OF_ALICE, token="garbage")
    answer = await solo.send(
        "GET", f"{BOOTSTRAP}?coworkerId=101", headers={"authorization": "Bearer garbage"}
    )
    assert answer.status_code == 401
    honest = await solo.get(BOOTSTRAP, solo.alice)
    assert parsed(honest.content)["RelatedProfiles"]
    assert solo.tenant.arrivals(OF_ALICE, token=solo.alice.token) == 1


MALFORMED = [
    "_shape=User&_shape=User",
    "coworkerId=1&coworkerId=1",
    "coworkerId=",
    "coworkerId=0",
    "coworkerId=-1",
    "coworkerId=1e3",
    "coworkerId=9223372036854775808",
    "coworkerid=101",
    "lang=en",
    "_shape=A.{B,C}",
    "_shape=a..b",
    "_shape=@nope",
    "_shape=%FF",
    "_shape=" + ",".join(f"p{n}" for n in range(257)),
    "_shape=" + ".".join("d" for _ in range(17)),
    "&".join(f"x{n}=1" for n in range(40)),
]


async def test_a_hint_that_is_none_is_told_to_be_left_out(solo: Stage) -> None:
    for written in ("", "null", "undefined", "NaN"):  # what scripts make of an id that they lack
        answer = await solo.get(f"{BOOTSTRAP}?coworkerId={written}", solo.alice)
        assert answer.status_code == 400
        assert answer.json()["detail"].endswith("Leave it out if none is remembered.")
    assert solo.tenant.visits() == []


async def test_what_cannot_be_understood_is_a_400(solo: Stage) -> None:
    for query in MALFORMED:
        answer = await solo.get(f"{BOOTSTRAP}?{query}", solo.alice)
        assert answer.status_code == 400, query
        kinds = ("urn:bff:problem:bad-shape", "urn:bff:problem:bad-parameter")
        assert answer.json()["type"] in kinds
        assert answer.headers["cache-control"] == "no-store"
    assert solo.tenant.visits() == []


async def test_short_queries_are_read_once_and_long_ones_are_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[bytes] = []

    def reading(query: bytes, parameters: frozenset[str]) -> dict[str, str]:
        read.append(query)
        return parse_query(query, parameters)

    monkeypatch.setattr(endpoints, "parse_query", reading)
    room = endpoints.REMEMBERED_BYTES - len("_shape=User.")
    async with stage() as s:
        for size in (room, room + 1):
            for member in s.crowd(3):
                answer = await s.get(f"{BOOTSTRAP}?_shape=User.{'x' * size}", member)
                assert answer.status_code == 200
    assert [len(query) - endpoints.REMEMBERED_BYTES for query in read] == [0, 1, 1, 1]


async def test_named_shapes() -> None:
    async with stage(env={"BFF_SHAPES": '{"tiny":"User.Id"}'}) as s:
        tiny = await s.get(f"{BOOTSTRAP}?_shape=@tiny", s.alice)
        assert parsed(tiny.content) == {"User": {"Id": 7001}}
        mobile = await s.get(f"{BOOTSTRAP}?_shape=%40mobile", s.alice)
        assert "AccessToken" not in mobile.text
        assert parsed(mobile.content)["Bootstrap"]


async def test_it_is_only_read(solo: Stage) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = await solo.send(method, BOOTSTRAP, solo.alice)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD"
    assert solo.tenant.visits() == []


async def test_a_caller_that_leaves_disturbs_nobody(solo: Stage) -> None:
    solo.tenant.hold(PROFILES)
    leaving = solo.later(BOOTSTRAP, solo.alice)
    await solo.tenant.held()
    staying = [solo.later(BOOTSTRAP, solo.alice) for _ in range(3)]
    await solo.waiting(4)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    solo.tenant.release()
    assert [(await each).status_code for each in staying] == [200, 200, 200]
    assert solo.tenant.arrivals(PROFILES) == 1
