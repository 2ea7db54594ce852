from __future__ import annotations

import re
from random import Random

import orjson
import pytest

from bff.sandbox.effects import (
    Effect,
    Empty200,
    Html200,
    Latency,
    NoStore,
    Override,
    Reset,
    SetCookie,
    SlowBody,
    Status,
    Truncate,
    WrongForm,
)
from bff.sandbox.faults import Faults, Match, Rule, rules_from_json
from bff.sandbox.injection import ConnectionCut
from tests.unit.sandbox.space import CURRENT, PROFILES, Space, fixture

ALL_KINDS: list[Effect] = [
    Latency(5),
    Status(503, "busy", retry_after=2),
    Override("{}"),
    Html200(),
    Empty200(),
    WrongForm(),
    Truncate("json"),
    SetCookie(),
    NoStore(),
    Reset(10),
    SlowBody(100),
]


def hit(space: Space, *effects: Effect) -> None:
    space.sandbox.faults.replace([Rule(effect) for effect in effects])


@pytest.mark.parametrize(
    ("match", "hits"),
    [
        (Match(), True),
        (Match(method="get"), True),
        (Match(method="POST"), False),
        (Match(path_prefix="/api/public"), True),
        (Match(path_prefix="/en"), False),
        (Match(path_regex=re.compile(r"profiles$")), True),
        (Match(path_regex=re.compile(r"^profiles")), False),
        (Match(token="t"), True),
        (Match(token="T"), False),
        (Match("GET", "/api", re.compile("."), "t"), True),
        (Match("GET", "/api", re.compile("."), ""), False),
    ],
)
def test_a_rule_hits_requests_that_match_in_everything_given(match: Match, hits: bool) -> None:
    assert match.accepts("GET", PROFILES, "t") is hits


def test_a_count_is_how_often_a_rule_hits() -> None:
    faults = Faults(Random(1))
    faults.replace([Rule(Html200(), count=2), Rule(NoStore(), Match(method="POST"))])
    assert [len(faults.choose("GET", "/", "")) for _ in range(3)] == [1, 1, 0]
    assert faults.choose("POST", "/", "") == (NoStore(),)
    assert [rule["applied"] for rule in faults.report()] == [2, 1]


def test_a_rate_is_how_many_requests_a_rule_hits() -> None:
    faults = Faults(Random(1))
    faults.replace([Rule(Html200(), rate=0.25), Rule(Empty200(), rate=0)])
    hits = [faults.choose("GET", "/", "") for _ in range(4_000)]
    assert 900 < hits.count((Html200(),)) < 1_100
    assert (Empty200(),) not in hits


def test_rules_add_up_in_order_until_cleared() -> None:
    faults = Faults(Random(1))
    faults.add(Rule(NoStore()))
    faults.add(Rule(SetCookie("a=b")))
    assert faults.choose("GET", "/", "") == (NoStore(), SetCookie("a=b"))
    faults.clear()
    assert faults.choose("GET", "/", "") == ()


@pytest.mark.parametrize("effect", ALL_KINDS)
def test_rules_survive_json(effect: Effect) -> None:
    faults = Faults(Random(1))
    rule = Rule(effect, Match("GET", "/api", re.compile("x+"), "t"), 0.5, 3)
    faults.replace([rule])
    reported = [{k: v for k, v in each.items() if k != "applied"} for each in faults.report()]
    assert rules_from_json(orjson.dumps(reported)) == [rule]


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"effect": {"kind": "nope"}},
        {"effect": {"kind": "hang", "extra": 1}},
        {"effect": {"kind": "hang"}, "mach": {}},
        {"effect": {"kind": "hang"}, "match": {"path": "/"}},
        {"effect": {"kind": "hang"}, "match": {"path_regex": "("}},
        {"effect": {"kind": "hang"}, "rate": 2},
        {"effect": {"kind": "hang"}, "count": 0},
        {"effect": {"kind": "latency", "ms": "soon"}},
        {"effect": {"kind": "status", "status": 99}},
        {"effect": {"kind": "slow_body", "bytes_per_second": 0}},
        {"effect": {"kind": "truncate", "mode": "half"}},
    ],
)
def test_a_rule_with_a_mistake_is_refused(rule: object) -> None:
    with pytest.raises(ValueError, match="validation error"):
        rules_from_json(orjson.dumps([rule]))


async def test_latency_before_the_request_and_before_the_answer(space: Space) -> None:
    hit(space, Latency(30), Latency((70, 70), at="answer"), Latency("lognormal:10:0"))
    assert (await space.get(PROFILES)).status_code == 200
    assert space.clock.slept == pytest.approx([0.03, 0.01, 0.07])


async def test_an_error_status_comes_with_body_and_retry_after(space: Space) -> None:
    hit(space, Status(503, '{"Message":"down"}', retry_after=7))
    answer = await space.get(PROFILES)
    assert (answer.status_code, answer.json()) == (503, {"Message": "down"})
    assert answer.headers["retry-after"] == "7"
    hit(space, Status(409, retry_after=1))
    throttled = await space.get(PROFILES)
    assert (throttled.status_code, throttled.content) == (409, b"")
    assert throttled.headers["content-length"] == "0"
    assert "content-type" not in throttled.headers


@pytest.mark.parametrize(
    "effect", [Status(500), Html200(), Override("{}"), Empty200(), WrongForm()]
)
async def test_an_answer_in_its_place_leaves_the_request_undone(
    space: Space, effect: Effect
) -> None:
    hit(space, effect)
    await space.call("PUT", CURRENT, params={"coworkerId": 145})
    assert space.sandbox.world.member(7001).current_id == 101


async def test_pitfall_12_unusable_answers_with_200(space: Space) -> None:
    whole = (await space.get(PROFILES)).content
    hit(space, Html200())
    page = await space.get(PROFILES)
    assert page.text == fixture("html_instead_of_json.json")["body"]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    hit(space, Empty200())
    nothing = await space.get(PROFILES)
    assert (nothing.status_code, nothing.content) == (200, b"")
    assert "content-type" not in nothing.headers
    hit(space, WrongForm())
    assert (await space.get(PROFILES)).json() == {"Items": [], "Total": 0}
    hit(space, Truncate("json"))
    cut = await space.get(PROFILES)
    assert cut.content == whole[: len(whole) // 2]
    assert cut.headers.get_list("content-length") == [str(len(cut.content))]
    hit(space, Truncate("length"))
    short = await space.get(PROFILES)
    assert short.content == cut.content
    assert short.headers.get_list("content-length") == [str(len(whole))]


async def test_a_streamed_body_is_truncated_as_a_whole(space: Space) -> None:
    hit(space, Truncate())
    answer = await space.get("/api/public/files/1?bytes=300000")
    assert (len(answer.content), answer.headers["content-length"]) == (150_000, "300000")


async def test_a_body_can_be_anything(space: Space) -> None:
    nested = "[" * 100_000 + "]" * 100_000
    hit(space, Override(nested, "application/json"))
    answer = await space.get(PROFILES)
    assert answer.text == nested
    assert answer.headers["content-type"] == "application/json"


async def test_headers_that_forbid_storing_are_added(space: Space) -> None:
    plain = await space.get(PROFILES)
    hit(space, SetCookie("a=b; path=/"), NoStore("private, no-store"))
    answer = await space.get(PROFILES)
    assert answer.content == plain.content
    assert answer.headers["set-cookie"] == "a=b; path=/"
    assert answer.headers["cache-control"] == "private, no-store"
    space.client.cookies.clear()


async def test_a_slow_body_is_whole_and_takes_its_time(space: Space) -> None:
    whole = (await space.get(PROFILES)).content
    hit(space, SlowBody(1_000))
    slow = await space.get(PROFILES)
    assert slow.content == whole
    assert sum(space.clock.slept) == pytest.approx(len(whole) / 1_000)
    assert max(space.clock.slept) <= 0.1
    hit(space, SlowBody(1))
    assert (await space.get("/api/public/announcements/active")).content == b"[]"
    hit(space, SlowBody(1))
    assert (await space.get(PROFILES, "garbage")).content == b""


@pytest.mark.parametrize("after", [None, 1, 100, 10**9])
async def test_a_reset_leaves_the_application_by_an_error(space: Space, after: int | None) -> None:
    hit(space, Reset(after))
    for path in (PROFILES, "/api/public/files/1?bytes=300000"):
        with pytest.raises(ConnectionCut):
            await space.get(path)
    assert space.sandbox.calls.count(status=200) == 2


async def test_faults_work_together_and_stop_when_cleared(space: Space) -> None:
    whole = (await space.get(PROFILES)).content
    hit(space, Latency(10), NoStore(), Truncate("json"), SlowBody(100_000), Status(200, "[1,2]"))
    answer = await space.get(PROFILES)
    assert (answer.content, answer.headers["cache-control"]) == (b"[1", "no-store")
    space.sandbox.faults.clear()
    assert (await space.get(PROFILES)).content == whole


async def test_control_routes_are_never_hit(space: Space) -> None:
    hit(space, Status(500))
    assert (await space.get("/_sandbox/healthz", None)).status_code == 200
