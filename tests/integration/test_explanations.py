"""What operators are told of a request is what becomes of it, and nothing becomes of asking."""

from __future__ import annotations

import contextlib
import random
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import orjson
import pytest
from redis import Redis
from starlette.routing import Route

from bff.sandbox.effects import Status
from tests.support.gateway import (
    BOOTSTRAP,
    OPS_TOKEN,
    PROFILES,
    SWITCH,
    Member,
    Stage,
    bearer,
    related,
    stage,
    until,
)
from tests.support.redis_server import RedisServer

OTHER = "/api/public/_echo"
TARGETS = (
    BOOTSTRAP,
    f"{BOOTSTRAP}?_shape=User.Id",
    f"{BOOTSTRAP}?coworkerId=101",
    PROFILES,
    f"{PROFILES}?_shape=@mobile",
    f"{PROFILES}?page=2",
    related(101),
    related(145),
    related(202),
    OTHER,
    "/elsewhere",
    f"{PROFILES}/%2e%2e/x",
)
SPENT = (
    "the calls that Nexudus allows the space are",
    "what calls whose token is yet to be accepted may use is",
    "what calls that are passed through may use is",
    "what refreshes may use is",
)
AGES_S = (1.0, 50.0, 70.0, 310.0, 1_000.0, 4_000.0, 90_000.0)
SPARSE = 40
"""Calls that a space is allowed, and that are soon spent."""
LEVELS = (20, 36, 38, 40)
"""Up to which use of them there are refreshes, calls passed through, new tokens', and members'."""
BREAKING = {"BFF_BREAKER_FAILURES": "1", "BFF_BREAKER_OPEN_S": "60"}
DEADLINE_S = "4"
"""Whoever waits for a place is refused after three quarters of it at the latest, and timed out
after nine tenths: with 1 s, a machine that stands still for 0.2 s makes a timeout of a refusal."""


async def explained(
    s: Stage, target: str, member: Member | None, *, via: int = 0, **others: object
) -> dict[str, Any]:
    """The explanation of a GET."""
    headers: Mapping[str, str] = {} if member is None else member.headers
    return await told(s, {"path": target, "headers": dict(headers), **others}, via=via)


async def told(s: Stage, asked: Mapping[str, object], *, via: int = 0) -> dict[str, Any]:
    answer = await operate(s, "explain", asked, via=via)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def operate(
    s: Stage, action: str, asked: Mapping[str, object], *, via: int = 0
) -> httpx.Response:
    return await s.send(
        "POST", f"/ops/api/{action}", headers=bearer(OPS_TOKEN), content=orjson.dumps(asked),
        via=via,
    )  # fmt: skip


class Walk:
    """Members come and go, time passes, things break: each answer is foretold first."""

    def __init__(self, s: Stage, seed: int) -> None:
        self.stage = s
        self.plans: Counter[str] = Counter()
        self.rules: Counter[int | None] = Counter()
        self.spent: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._members = [s.alice, s.tenant.another(s.alice), s.bob]
        jwt = s.tenant.mint(s.alice, jwt=True, ttl_s=600)
        self._members.append(Member(7001, 101, s.alice.canary, jwt))

    async def step(self) -> None:
        match self._chance.randrange(12):
            case 0 | 1:
                self.stage.clock.advance(self._chance.choice(AGES_S))
            case 2:
                await self._something_happens()
            case 3:  # a new session, whose token nobody knows yet
                self._members[1] = self.stage.tenant.another(self.stage.alice)
            case _:
                member = self._chance.choice(self._members)
                await self._foretold(self._chance.choice(TARGETS), member)

    async def _something_happens(self) -> None:
        s = self.stage
        match self._chance.randrange(6):
            case 0:
                await operate(s, "purge", {"user": 7001})
            case 1:
                await operate(s, "purge", {"everything": True, "spaces": "all"})
            case 2:
                target = f"{SWITCH}?coworkerId={self._chance.choice((101, 145))}"
                await s.send("PUT", target, s.alice)
            case 3:  # its proof is withdrawn
                s.tenant.fault(Status(401), OTHER, count=1)
                await s.get(OTHER, s.alice)
            case 4:
                await operate(s, "sharing", {"scope": self._chance.choice(("coworker", "token"))})
            case 5:
                s.tenant.fault(Status(503), count=3)

    async def _foretold(self, target: str, member: Member) -> None:
        s = self.stage
        before = s.tenant.arrivals()
        story = await explained(s, target, member)
        assert s.tenant.arrivals() == before, "an explanation calls nobody"
        answer = await s.get(target, member)
        outlook, plans = story["answer"], Counter(each["plan"] for each in story["documents"])
        hinted = sum(each["hinted"] for each in story["documents"])
        if plans.keys() - {"serve"}:  # a part whose plan is open may be fetched behind it as well
            await s.quiet()  # what is done behind the answer counts too
        self.plans += plans
        self.rules[outlook["rule"]] += 1
        if outlook["status"] is not None:
            assert answer.status_code == outlook["status"], story
        calls = s.tenant.arrivals() - before
        budget = [] if story["space"] is None else story["space"]["budget"]
        used = max((each["used"] for each in budget), default=0)
        for what in SPENT:
            self.spent[what] += f"{what} spent (" in outlook["sentence"]
        most = outlook["calls"] + outlook["behind"]
        assert calls <= most, story
        went_on = answer.status_code in {200, 404} and "bff-complete" not in answer.headers
        if any(level - 4 < used < level for level in LEVELS):  # maybe room for the first call only
            went_on = False
        if went_on and "stale-if-error" not in answer.headers.get("cache-status", ""):
            assert calls >= most - plans["open"] - hinted, story
        self._places(story, answer)
        assert member.token not in orjson.dumps(story).decode()

    def _places(self, story: Mapping[str, Any], answer: httpx.Response) -> None:
        """Where it was found is where it was said to be."""
        plans = {each["plan"] for each in story["documents"]}
        if plans == {"serve"} and story["finished"]["state"] == "none":
            tiers = {
                place["tier"]
                for document in story["documents"]
                for place in document["looked_at"]
                if place["verdict"] == "fresh" and place["resource"] == document["resource"]
            }
            detail = answer.headers["cache-status"].rpartition("detail=")[2]
            assert detail == max(tiers), story


@pytest.mark.unmeasured
@pytest.mark.parametrize(("seed", "max_age_s"), [(1, "15"), (3, "0")])
async def test_what_is_foretold_comes_true(seed: int, max_age_s: str, redis_url: str) -> None:
    async with stage(redis_url, env={"BFF_L1_MAX_AGE_S": max_age_s}) as s:
        walk = Walk(s, seed)
        for _ in range(120):
            await walk.step()
    assert walk.plans.keys() == {"serve", "refresh", "fall_back", "fetch", "open"}
    assert len(walk.rules) >= 3


@pytest.mark.unmeasured
async def test_what_is_foretold_comes_true_while_the_calls_run_out() -> None:
    async with stage(env={"BFF_BUDGET": "on", "BFF_BUDGET_CALLS": f"{SPARSE}/d"}) as s:
        walk = Walk(s, 6)
        for _ in range(80):
            await walk.step()
    assert all(walk.spent[what] for what in SPENT)


async def test_asking_leaves_no_trace(redis_url: str) -> None:
    async with stage(redis_url) as s:
        for target in (BOOTSTRAP, f"{BOOTSTRAP}?_shape=@mobile", related(202)):
            await s.get(target, s.alice)
        await s.get(BOOTSTRAP, s.bob)
        s.clock.advance(70)  # stale: a read would refresh
        kept, read = _kept(redis_url), await _reads(s)
        s.tenant.forget_visits()
        for target in (*TARGETS, f"{BOOTSTRAP}?_shape=Id"):
            for member in (s.alice, s.bob, s.tenant.another(s.bob), None):
                await explained(s, target, member)
        assert (_kept(redis_url), await _reads(s)) == (kept, read)
        assert s.tenant.arrivals() == 0


def _kept(redis_url: str) -> dict[bytes, bytes | None]:
    """Every key of the space's documents, generations, clock and fences."""
    with Redis.from_url(redis_url) as redis:
        names = [name for name in redis.scan_iter() if b"~fleet" not in name]
        kinds = (b":k:", b":c:", b":f:", b":clock")
        found = {name: redis.dump(name) for name in names if any(kind in name for kind in kinds)}
    assert len(found) > 4
    return found


async def _reads(s: Stage) -> tuple[float, ...]:
    names = ("bff_cache_reads", "bff_finished_hits", "bff_l1_items", "bff_l1_bytes", "bff_flights")
    return tuple([await s.metric(name) for name in names])


class TestWhy:
    """The rule that decides is named."""

    async def test_rule_1_a_token_that_is_not_proven(self, solo: Stage) -> None:
        await solo.get(related(101), solo.alice)
        story = await explained(solo, related(101), solo.tenant.another(solo.alice))
        profiles, listed = story["documents"]
        assert (profiles["plan"], listed["plan"]) == ("fetch", "serve")
        story = await explained(solo, related(101), None)
        assert story["answer"]["status"] == 401
        assert story["answer"]["rule"] == 1

    async def test_rule_2_a_proof_that_was_withdrawn(self, solo: Stage) -> None:
        await solo.get(PROFILES, solo.alice)
        solo.tenant.fault(Status(401), OTHER, count=1)
        await solo.get(OTHER, solo.alice)
        answer = (await explained(solo, PROFILES, solo.alice))["answer"]
        assert (answer["rule"], answer["calls"]) == (2, 1)

    async def test_rule_3_a_write_and_the_tag_that_it_dropped(self, solo: Stage) -> None:
        await solo.get(BOOTSTRAP, solo.alice)
        await solo.send("PUT", f"{SWITCH}?coworkerId=145", solo.alice)
        story = await explained(solo, PROFILES, solo.alice)
        assert story["answer"]["rule"] == 3
        assert "u:7001" in story["answer"]["sentence"]
        [profiles, _] = story["documents"][0]["looked_at"]
        assert profiles["stored"]["state"] == "dropped"
        [tag] = [each for each in profiles["stored"]["tags"] if each["tag"] == "u:7001"]
        assert tag["generation"] >= profiles["stored"]["stamp"]
        unknown = solo.tenant.another(solo.alice)
        answer = (await explained(solo, SWITCH, unknown, method="PUT"))["answer"]
        assert (answer["rule"], answer["calls"]) == (3, 2)
        solo.tenant.forget_visits()
        await solo.send("PUT", f"{SWITCH}?coworkerId=101", unknown)
        assert solo.tenant.arrivals() == 2

    async def test_rule_4_generations_that_redis_lost(self, redis_url: str) -> None:
        async with stage(redis_url, env={"BFF_L1_MAX_AGE_S": "0"}) as s:
            await s.get(PROFILES, s.alice)
            with Redis.from_url(redis_url) as redis:
                redis.delete(*redis.scan_iter("*}:clock"))
            answer = (await explained(s, PROFILES, s.alice))["answer"]
        assert (answer["rule"], answer["calls"]) == (4, 1)

    async def test_rule_5_a_call_that_is_under_way(self, solo: Stage) -> None:
        solo.tenant.hold(PROFILES)
        waiting = solo.later(PROFILES, solo.alice)
        await solo.tenant.held()
        story = await explained(solo, PROFILES, solo.alice)
        assert story["documents"][0]["under_way_s"] > 0
        assert "under way" in story["answer"]["sentence"]
        assert story["answer"]["rule"] == 5
        solo.tenant.release()
        await waiting

    async def test_rule_7_redis_is_away(self, own_redis: RedisServer) -> None:
        async with stage(own_redis.url) as s:
            await s.get(BOOTSTRAP, s.alice)
            own_redis.kill()

            async def away() -> bool:
                await s.get(BOOTSTRAP, s.bob)
                story = await explained(s, BOOTSTRAP, s.alice)
                return bool(story["process"]["redis"] == "away")

            await until(away)
            stranger = s.tenant.another(s.alice)
            story = await explained(s, PROFILES, stranger)
            assert story["answer"]["rule"] == 7
            assert story["documents"][0]["looked_at"][0]["stored"]["state"] == "unknown"

    async def test_rule_9_lists_that_are_kept_for_each_token(self, solo: Stage) -> None:
        for member in (solo.alice, solo.bob):
            await solo.get(related(101), member)
        await operate(solo, "sharing", {"scope": "token"})
        story = await explained(solo, related(101), solo.bob)
        assert story["answer"]["rule"] == 9
        assert story["documents"][-1]["looked_at"][0]["container"].startswith("k:")
        assert story["space"]["related_lists"].startswith("for each token")

    async def test_a_nexudus_that_is_left_alone(self) -> None:
        async with stage(env=BREAKING) as s:
            await s.get(BOOTSTRAP, s.alice)
            s.clock.advance(1_000)
            s.tenant.fault(Status(500))
            await s.get(PROFILES, s.bob)
            story = await explained(s, BOOTSTRAP, s.alice)
            assert (story["answer"]["status"], story["answer"]["calls"]) == (200, 0)
            assert "left alone" in story["answer"]["sentence"]
            assert story["space"]["breaker"] == "open"
            assert (await s.get(BOOTSTRAP, s.alice)).status_code == 200
            stranger = s.tenant.another(s.bob)
            assert (await explained(s, PROFILES, stranger))["answer"]["status"] == 503
            assert (await s.get(PROFILES, stranger)).status_code == 503
            assert (await explained(s, OTHER, stranger))["answer"]["status"] == 503

    async def test_whose_503_it_was(self) -> None:
        """Nexudus' own is passed on; the gateway's is a problem document."""
        async with stage(env=BREAKING) as s:
            s.tenant.fault(Status(503))
            for name, words in (
                ("nexudus-answers", "Nexudus itself answered 503, which was passed on"),
                ("breaker-is-open", "It was answered 503 (upstream-down)"),
            ):
                answer = await s.get(PROFILES, s.alice, headers={"x-request-id": name})
                assert answer.status_code == 503
                assert (b"urn:bff:problem" in answer.content) is (name == "breaker-is-open")
                assert words in (await told(s, {"request_id": name}))["sentence"]

    async def test_a_space_that_is_throttled(self) -> None:
        """Something old stands in, but proves nobody."""
        async with stage(env={"BFF_DEADLINE_S": "1"}) as s:
            await s.get(BOOTSTRAP, s.alice)
            s.clock.advance(1_000)
            s.tenant.fault(Status(409, retry_after=60), PROFILES, count=1)
            await s.get(PROFILES, s.bob)
            for target, status in ((BOOTSTRAP, 200), (related(101), 503), (OTHER, 503)):
                answer = (await explained(s, target, s.alice))["answer"]
                assert (answer["status"], answer["calls"]) == (status, 0)
                assert "throttles" in answer["sentence"]
                assert (await s.get(target, s.alice)).status_code == status

    async def test_a_budget_that_is_spent(self) -> None:
        env = {"BFF_BUDGET": "on", "BFF_BUDGET_CALLS": "8/h", "BFF_DEADLINE_S": "1"}
        async with stage(env=env) as s:
            await s.get(BOOTSTRAP, s.alice)
            answers = []
            for _ in range(9):
                stranger = s.tenant.another(s.alice)
                answer = (await explained(s, PROFILES, stranger))["answer"]
                answers.append((answer["status"], (await s.get(PROFILES, stranger)).status_code))
            await s.get(OTHER, s.alice)
            assert answers[0] == (None, 200)
            assert answers[-1] == (503, 503)
            assert all(foretold in (None, got) for foretold, got in answers)
            s.clock.advance(1_000)
            for target, status in ((BOOTSTRAP, 200), (related(101), 503), (OTHER, 503)):
                answer = (await explained(s, target, s.alice))["answer"]
                assert (answer["status"], answer["calls"]) == (status, 0)
                assert "spent (8 of 8/h)" in answer["sentence"]
                assert (await s.get(target, s.alice)).status_code == status

    async def test_a_part_of_the_budget_that_is_spent(self, redis_url: str) -> None:
        """Invented tokens use up theirs; of those that another process let pass it is not heard."""
        env = {"BFF_BUDGET": "on", "BFF_BUDGET_CALLS": "20/d", "BFF_BUDGET_STRANGER_SHARE": "0.2"}
        async with stage(redis_url, gateways=2, env=env | {"BFF_DEADLINE_S": DEADLINE_S}) as s:
            invented = [Member(0, 0, "", f"invented-{number}") for number in range(5)]
            for member in invented[:4]:
                assert (await s.get(PROFILES, member)).status_code == 401
            for target in (f"{BOOTSTRAP}?coworkerId=101", PROFILES):
                answer = (await explained(s, target, invented[4]))["answer"]
                assert (answer["status"], answer["calls"]) == (503, 0)
            assert "whose token is yet to be accepted may use is spent (4 of 20/d)" in str(answer)
            assert (await s.get(OTHER, s.alice, via=1)).status_code == 200
            answer = (await explained(s, PROFILES, invented[4], via=1))["answer"]
            assert (answer["status"], answer["calls"]) == (None, 1)
            assert "if other processes left room for calls whose token" in answer["sentence"]
            for via in (0, 1):
                assert (await s.get(PROFILES, invented[4], via=via)).status_code == 503

    async def test_members_whose_proof_is_lost_do_not_share_the_part_of_invented_tokens(
        self, redis_url: str
    ) -> None:
        env = {"BFF_BUDGET": "on", "BFF_BUDGET_CALLS": "20/d", "BFF_BUDGET_STRANGER_SHARE": "0.2"}
        async with stage(redis_url, env=env | {"BFF_DEADLINE_S": DEADLINE_S}) as s:
            await s.get(PROFILES, s.alice)
            await operate(s, "purge", {"everything": True})
            for number in range(4):
                member = Member(0, 0, "", f"invented-{number}")
                assert (await s.get(PROFILES, member)).status_code == 401
            for member, status, got in ((s.bob, 503, 503), (s.alice, None, 200)):
                assert (await explained(s, PROFILES, member))["answer"]["status"] == status
                before = s.tenant.arrivals()
                assert (await s.get(PROFILES, member)).status_code == got
                assert s.tenant.arrivals() - before == (got == 200)

    async def test_an_answer_that_its_caller_holds(self, solo: Stage) -> None:
        first = await solo.get(BOOTSTRAP, solo.alice)
        for given, status in ((first.headers["etag"], 304), ('"another"', 200)):
            headers = {**solo.alice.headers, "if-none-match": given}
            answer = (await told(solo, {"path": BOOTSTRAP, "headers": headers}))["answer"]
            assert answer["status"] == status
            assert (await solo.get(BOOTSTRAP, headers=headers)).status_code == status
        solo.clock.advance(70)  # its bytes are made once more, which may be the same
        answer = (await told(solo, {"path": BOOTSTRAP, "headers": headers}))["answer"]
        assert "becomes a 304 if If-None-Match" in answer["sentence"]

    async def test_the_routes_of_the_gateway_are_its_own(self, solo: Stage) -> None:
        own = [each.path for each in solo.gateways[0].app.routes if isinstance(each, Route)]
        assert {"/healthz", "/metrics", "/ops", "/hooks/nexudus"} <= set(own)
        for path in own:
            story = await told(solo, {"url": f"https://nobody.test{path}"})
            assert story["request"]["route"] == "own", path
            assert "not a member's" in story["answer"]["sentence"]

    async def test_a_host_that_nobody_serves(self) -> None:
        async with stage(hosts=("alpha.test", "beta.test")) as s:
            story = await told(s, {"url": f"https://gamma.test{BOOTSTRAP}"})
            assert story["answer"]["status"] == 421
            url = f"https://beta.test{BOOTSTRAP}?_shape=@mobile"
            story = await told(s, {"url": url, "headers": {"Authorization": "Bearer x"}})
            assert story["request"]["space"] == s.tenants[1].origin.partition("//")[2]
            assert (await operate(s, "explain", {"path": BOOTSTRAP})).status_code == 400


async def test_pitfall_6_what_is_pasted_into_a_shape_is_shown_to_nobody(redis_url: str) -> None:
    """A JWT, a hexadecimal token, an e-mail: no operator sees them, nor does Redis hold them."""
    secrets = (
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl",
        "c0ffee5a" * 8,
        "jane.doe@example",
    )
    async with stage(redis_url) as s:
        for number, secret in enumerate(secrets):
            headers = {"x-request-id": f"pasted-{number}"}
            answer = await s.get(f"{BOOTSTRAP}?_shape=User.Id,{secret}", s.alice, headers=headers)
            assert answer.status_code == 200
        shown: list[str] = []

        async def is_reported() -> bool:
            found = await s.get("/ops/api/snapshot", headers=bearer(OPS_TOKEN))
            shown.append(found.text)
            return any(use["shape"] == "~other" for use in found.json()["shapes"])

        await until(is_reported)
        for number in range(len(secrets)):
            story = await told(s, {"request_id": f"pasted-{number}"})
            assert story["shape"] == "~other"
            shown.append(str(story))
        held = b"".join(_everything(redis_url))
    assert b"~other" in held
    for secret in secrets:
        assert not any(secret in each for each in shown)
        assert secret.encode() not in held


def _everything(redis_url: str) -> Iterator[bytes]:
    """All names and values, unpacked where they are packed."""
    with Redis.from_url(redis_url) as redis:
        for name in redis.scan_iter():
            yield name
            match redis.type(name):
                case b"hash":
                    found = [each for pair in redis.hgetall(name).items() for each in pair]
                case b"stream":
                    found = [each for _, row in redis.xrange(name) for each in row.values()]
                case b"zset":
                    found = redis.zrange(name, 0, -1)
                case b"set":
                    found = list(redis.smembers(name))
                case b"list":
                    found = redis.lrange(name, 0, -1)
                case _:
                    found = [redis.get(name) or b""]
            for value in found:
                with contextlib.suppress(zlib.error):
                    yield zlib.decompress(value)
                yield value
