"""What must never happen (PITFALLS), by number, through real sockets. Others are elsewhere:

4 in `test_spaces`, 10 in `test_lists`, 11 and 19 also in `test_representations`, 20 also in
`test_webhooks`.
"""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import replace
from random import Random
from typing import cast

import pytest
import redis

from bff.sandbox.effects import (
    Effect,
    Empty200,
    Html200,
    NoStore,
    Override,
    SetCookie,
    Status,
    Truncate,
    WrongForm,
)
from bff.sandbox.model import Behaviour
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
from tests.support.slow_proxy import slow_proxy

OF_ALICE = related(101)
CACHED = (BOOTSTRAP, f"{BOOTSTRAP}?coworkerId=101", PROFILES, OF_ALICE)


async def test_pitfall_01_a_members_data_is_seen_by_nobody_else(pair: Stage) -> None:
    mail = "jane.doe@example.com"
    for target in CACHED:
        for via in (0, 1):
            whole = await pair.get(target, pair.alice, via=via)
            assert target == OF_ALICE or pair.alice.canary in whole.text
    for target in CACHED:
        for via in (0, 1):
            theirs = await pair.get(target, pair.bob, via=via)
            for answer in (theirs, await pair.get(target, via=via)):
                assert pair.alice.canary not in answer.text
                assert pair.alice.token not in answer.text
                assert mail not in answer.text
            assert theirs.status_code == 200
            assert target == OF_ALICE or pair.bob.canary in theirs.text


async def test_pitfall_02_a_shared_entry_needs_a_proof(pair: Stage) -> None:
    """The bound for revoked tokens is in `test_rules`."""
    await pair.get(OF_ALICE, pair.alice)
    expired = replace(pair.alice, token=pair.tenant.mint(pair.alice, ttl_s=-1))
    revoked = pair.tenant.another(pair.alice)
    pair.tenant.sandbox.tokens.revoke(revoked.token)
    garbage = replace(pair.alice, token="garbage")
    for via in (0, 1):
        for member in (None, garbage, expired, revoked):
            assert (await pair.get(OF_ALICE, member, via=via)).status_code == 401
    assert pair.tenant.arrivals(OF_ALICE) == 1


async def test_pitfall_03_a_viewer_dependent_list_is_found_out(redis_url: str) -> None:
    async with stage(redis_url, gateways=2, env={"BFF_SENTINEL_RATE": "1"}) as s:
        s.tenant.sandbox.world.behaviour = Behaviour(viewer_threads=True)
        only_alice = "Only for user 7001"
        for via in (0, 1):
            assert only_alice in (await s.get(OF_ALICE, s.alice, via=via)).text
        await s.get(OF_ALICE, s.bob, via=1)

        async def is_demoted() -> bool:
            return await s.metric("bff_invalidations", "sharing_demoted", via=1) == 1

        await until(is_demoted)
        for via in (0, 1):
            for target in (OF_ALICE, f"{OF_ALICE}?_shape=Threads", f"{OF_ALICE}?_shape=Threads.Id"):
                assert only_alice not in (await s.get(target, s.bob, via=via)).text


async def test_pitfall_05_no_header_can_be_written_to_look_like_another_key(solo: Stage) -> None:
    """The encoding itself is a property in the unit tests of the cache."""
    solo.tenant.sandbox.world.behaviour = Behaviour(variants=True)
    hostile = ["de", "-", "+de", "de;tz=true", "tz=-;al=+de", "de|", "|de", "%7C", "de\tx", "{a}"]
    for _ in range(2):
        for language in hostile:
            for zone in ("", "true"):
                headers = {"accept-language": language, "x-use-timezone": zone}
                for target in (PROFILES, OF_ALICE):
                    document = (await solo.get(target, solo.alice, headers=headers)).json()
                    seen = (document["Culture"], document["UseTimezone"])
                    assert seen in ((language, zone), ("", zone)), "kept, or not forwarded"


async def test_pitfall_06_no_token_or_document_rests_in_clear(
    redis_url: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(redis_url, gateways=2) as s:
        members = [s.alice, s.bob, s.tenant.another(s.alice)]
        seen = [answer for member in members for answer in await full_run(s, member)]
        metrics = [await s.metrics(via=via) for via in (0, 1)]
        secrets = [member.token for member in members]
        secrets += [s.alice.canary, s.bob.canary, "jane.doe@example.com", "Carlos", "AccessToken"]
        with redis.Redis.from_url(redis_url) as client:
            stored = contents(client)
        assert len(stored) > 4
    # Leaving the stage ends the last background work, so that this is all of the log.
    printed = capsys.readouterr()
    written = [printed.out, printed.err, caplog.text, *metrics, *seen]
    assert "request" in printed.out
    for secret in secrets:
        for text in written:
            assert secret not in text
        for item in stored:
            assert secret.encode() not in item


async def full_run(stage: Stage, member: Member) -> list[str]:
    """Everything that a member can meet; the bodies of all problems."""
    targets = [
        *CACHED,
        f"{BOOTSTRAP}?_shape=@mobile",
        f"{BOOTSTRAP}?{member.token}=1",
        f"{BOOTSTRAP}?_shape=@{member.token}",
        f"{BOOTSTRAP}?coworkerId={member.token}",
        f"/api/public/%2e%2e/{member.token}",
        f"/api/sys/users/exchange?token={member.token}",
        f"/nowhere/{member.token}",
        "/en/profile",
    ]
    bodies = []
    for via in (0, 1):
        for target in targets:
            answer = await stage.get(target, member, via=via)
            if answer.headers.get("content-type") == "application/problem+json":
                bodies.append(answer.text)
        for effect in (Html200(), Status(401), Status(500), Truncate("length")):
            stage.tenant.fault(effect, count=2)
            for target in (BOOTSTRAP, "/api/public/teams/my"):
                answer = await stage.get(f"{target}?_shape=Id", stage.tenant.another(member))
                bodies.append(answer.text)
            stage.tenant.release()
        for headers in (
            {"authorization": f"Basic {member.token}"},
            {"authorization": f"Bearer {member.token} x"},
            {"authorization": f"Bearer {member.token}\x7f"},
            {"authorization": f"Token {member.token}"},
        ):
            bodies.append((await stage.get(BOOTSTRAP, headers=headers, via=via)).text)
        switched = f"{SWITCH}?coworkerId={member.coworker_id}"
        assert (await stage.send("PUT", switched, member, via=via)).status_code == 200
        await stage.get(BOOTSTRAP, member, via=via)
    assert len(bodies) > 20
    return bodies


def contents(client: redis.Redis) -> list[bytes]:
    """Every key and every value of a Redis."""
    found: list[bytes] = []
    for key in keys_of(client):
        found.append(key)
        match client.type(key):
            case b"hash":
                hashed = cast(dict[bytes, bytes], client.hgetall(key))
                found += [part for pair in hashed.items() for part in pair]
            case b"string":
                found.append(cast(bytes, client.get(key)))
            case b"zset":
                found += cast(list[bytes], client.zrange(key, 0, -1))
            case b"stream":
                for _, fields in cast(list[tuple[bytes, dict[bytes, bytes]]], client.xrange(key)):
                    found += [part for pair in fields.items() for part in pair]
            case other:
                raise AssertionError(other)
    return found + [plain for value in found if (plain := inflated(value))]


def inflated(value: bytes) -> bytes:
    """What is compressed only, and not encrypted, is as good as in clear."""
    try:
        return zlib.decompress(value)
    except zlib.error:
        return b""


def keys_of(client: redis.Redis) -> list[bytes]:
    return cast(list[bytes], client.keys())


async def test_pitfall_07_every_one_of_500_interleaved_misses_gets_its_callers_body(
    solo: Stage,
) -> None:
    for target in (PROFILES, OF_ALICE, related(202)):
        solo.tenant.hold(target)
    shapes = ("", "?_shape=User,Profiles", "?_shape=Profiles,RelatedProfiles,User")
    members = (solo.alice, solo.bob)
    asking = [
        (members[number % 2], solo.later(BOOTSTRAP + shapes[number % 3], members[number % 2]))
        for number in range(500)
    ]
    await solo.tenant.held(2)
    await solo.waiting(500)
    for _, request in asking[:2]:  # the leaders
        request.cancel()
    solo.tenant.release()
    for member, request in asking[2:]:
        answer = await request
        other = solo.bob if member is solo.alice else solo.alice
        assert answer.status_code == 200
        assert member.canary in answer.text
        assert member.token in answer.text
        assert other.canary not in answer.text
        assert other.token not in answer.text
    assert solo.tenant.arrivals(PROFILES) == 2


class TestPitfall08:
    async def test_pitfall_08_a_value_under_another_key_is_refused(self, redis_url: str) -> None:
        """As after a desynchronised connection: what was read belongs to something else."""
        async with stage(redis_url, env={"BFF_L1_BYTES": "0"}) as s:
            third = s.tenant.another(s.alice)
            for member in (s.alice, s.bob, third):
                await s.get(BOOTSTRAP, member)
            await s.get(related(202), s.bob)
            with redis.Redis.from_url(redis_url) as client:
                hashes = [key for key in keys_of(client) if client.type(key) == b"hash"]
                held = [cast(dict[bytes, bytes], client.hgetall(key)) for key in hashes]
                for key, own, other in zip(hashes, held, held[1:] + held[:1], strict=True):
                    values = list(other.values())
                    for number, name in enumerate(own):
                        client.hset(key, name, values[number % len(values)])
            s.tenant.forget_visits()
            for member in (s.alice, s.bob, third):
                answer = await s.get(BOOTSTRAP, member)
                assert member.canary in answer.text
                assert member.token in answer.text
            assert s.tenant.arrivals(PROFILES) == 3

    async def test_pitfall_08_cancellation_at_any_moment_crosses_no_answers(
        self, redis_url: str
    ) -> None:
        draw = Random(8)
        async with slow_proxy(redis_url) as proxy:
            # Some answers of Redis come too late and are given up, others just in time.
            proxy.delay_s = lambda: draw.uniform(0, 0.6) if draw.random() < 0.1 else 0.0
            env = {"BFF_L1_BYTES": "0", "BFF_REDIS_TIMEOUT_MS": "250"}
            async with stage(proxy.url, env=env, wait=False) as s:
                members = [s.alice, s.bob, s.tenant.another(s.alice), s.tenant.another(s.bob)]
                # A Redis that came too late a few times in a row is not asked for a while.
                while await s.metric("bff_cache_reads", "l2") < 20:
                    asking = []
                    for number in range(120):
                        member = members[number % 4]
                        asking.append((member, s.later(BOOTSTRAP, member)))
                        await asyncio.sleep(draw.uniform(0, 0.004))
                        draw.choice(asking)[1].cancel()
                    whole = 0
                    for member, request in asking:
                        (answer,) = await asyncio.gather(request, return_exceptions=True)
                        if isinstance(answer, BaseException):
                            continue
                        whole += 1
                        assert answer.status_code == 200
                        assert member.canary in answer.text
                        assert member.token in answer.text
                    assert whole > 20


NEAR_MISSES = [
    "{}/x.css",
    "{};x.js",
    "{}/;x.js",
    "{}.css",
    "{}/",
    "{}/..%2fx.css",
    "{}%2f..%2fx.css",
    "{}%2fx.css",
    "{}//x.css",
    "/{}",
    "{}%00.css",
    "{}%3fx.css",
    "{}%23x.css",
    "{}/%2e%2e/profiles",
    "{}/../profiles",
    "{}\\x.css",
    "{}%5cx.css",
    "{}%0a.css",
    "{}%20",
    "{}%09",
    "{}?x.css",
    "{}?_shape=Id&x=.css",
]


async def test_pitfall_09_what_is_near_a_cached_route_is_never_stored(solo: Stage) -> None:
    """Before an upstream that takes all of them for the profile list."""
    solo.tenant.sandbox.world.behaviour = Behaviour(lenient_paths=True)
    passed = 0
    for pattern in NEAR_MISSES:
        for path in (PROFILES, OF_ALICE, BOOTSTRAP):
            target = pattern.format(path)
            if path == BOOTSTRAP and "?" in target:
                continue  # an unknown parameter of a route of our own
            answers = []
            for member in (solo.alice, None, solo.alice):
                solo.tenant.forget_visits()
                answer = await solo.get(target, member)
                answers.append(answer)
                if member is not None:
                    assert answer.headers["cache-control"].startswith(("private", "no-store"))
                if answer.status_code != 404 or solo.tenant.visits():
                    assert len(solo.tenant.visits()) == 1, f"{target} was answered from a store"
                    assert "fwd=bypass" in answer.headers["cache-status"]
                    passed += 1
            assert solo.alice.canary not in answers[1].text
    assert passed > 20
    assert await solo.metric("bff_l1_items") == 0


async def test_pitfall_11_a_projected_body_is_never_stored_as_the_full_one(pair: Stage) -> None:
    for target in (PROFILES, OF_ALICE, BOOTSTRAP):
        small = await pair.get(f"{target}?_shape=Nope", pair.alice)
        assert small.content == b"{}"
        whole = await pair.get(target, pair.alice)
        assert len(whole.content) > 100
        for via in (0, 1):
            for query, expected in (("?_shape=Nope", small), ("", whole), ("?_shape=", whole)):
                answer = await pair.get(target + query, pair.alice, via=via)
                assert answer.content == expected.content
            twice = await pair.get(f"{target}?_shape=Id&_shape=", pair.alice, via=via)
            assert twice.status_code == 400
        assert (await pair.get(target, pair.alice)).content == whole.content


BAD_ANSWERS = [
    pytest.param(Html200(), 502, id="html"),
    pytest.param(Empty200(), 502, id="empty"),
    pytest.param(Truncate("json"), 502, id="truncated"),
    pytest.param(Truncate("length"), 503, id="cut"),
    pytest.param(WrongForm(), 502, id="wrong form"),
    pytest.param(Override("[]"), 502, id="list"),
    pytest.param(Override("null"), 502, id="null"),
    pytest.param(Status(401), 401, id="401"),
    pytest.param(Status(409, retry_after=0), 503, id="409"),
    pytest.param(Status(500), 500, id="500"),
    pytest.param(Status(302), 302, id="302"),
    pytest.param(Status(201, body="{}"), 502, id="201"),
    pytest.param(SetCookie(), 200, id="cookie"),
    pytest.param(NoStore(), 200, id="no-store"),
]


@pytest.mark.parametrize(("effect", "status"), BAD_ANSWERS)
async def test_pitfall_12_after_a_bad_answer_the_next_request_reaches_nexudus(
    solo: Stage, effect: Effect, status: int
) -> None:
    solo.tenant.fault(effect, PROFILES, count=2)
    for _ in range(2):
        assert (await solo.get(PROFILES, solo.alice)).status_code == status
    assert (await solo.get(PROFILES, solo.alice)).status_code == 200
    assert solo.tenant.arrivals(PROFILES) == 3

    solo.tenant.fault(effect, OF_ALICE, count=2)
    for _ in range(2):
        assert (await solo.get(OF_ALICE, solo.alice)).status_code == status
    assert (await solo.get(OF_ALICE, solo.alice)).status_code == 200
    assert solo.tenant.arrivals(OF_ALICE) == 3


TOKEN_ROUTES = [
    "/api/public/coworkers/202/impersonate",
    "/api/Public/Coworkers/202/Impersonate",
    "/api/sys/users/exchange?token=one-time",
    "/api/sys/users/%65xchange?token=one-time",
    "/api/sys/users/token/refresh",
    "/api/sys/users/7001/token/refresh",
    "/api/token",
    "/api/token/",
    "/api/public/auth/login/one-time",
    "/en/user/me",
    "/en/user/login?t=one-time",
    "/en/coworker/setCurrentProfile?coworkerId=145",
]


async def test_pitfall_13_gets_that_mint_tokens_or_mutate_are_never_kept(solo: Stage) -> None:
    solo.tenant.fault(Override('{"token":"minted"}'))
    for target in TOKEN_ROUTES:
        for member in (solo.alice, None):
            before = solo.tenant.arrivals()
            for _ in range(2):
                answer = await solo.get(target, member)
                assert answer.status_code == 200
                assert answer.headers["cache-control"] == "no-store", target
            calls = [v for v in solo.tenant.visits()[before:] if v.path != PROFILES]
            assert len(calls) == 2


async def test_pitfall_14_a_slow_fill_does_not_outlive_a_switch(pair: Stage) -> None:
    """More of this in `test_rules`, rule 4."""
    phone = pair.tenant.another(pair.alice)
    await pair.prove(phone)
    for via in (0, 1):
        pair.tenant.hold(PROFILES, token=pair.alice.token)
        filling = [pair.later(BOOTSTRAP, pair.alice, via=each) for each in (0, 1)]
        await pair.tenant.held()
        for each in (0, 1):  # one fills, the other waits for it
            await pair.waiting(1, via=each)
        target = 145 if via == 0 else 101
        await pair.send("PUT", f"{SWITCH}?coworkerId={target}", phone, via=via)
        pair.tenant.release()
        await asyncio.gather(*filling)
        for each in (0, 1):
            for _ in range(2):
                after = await pair.get(BOOTSTRAP, pair.alice, via=each)
                assert after.json()["Bootstrap"]["CoworkerId"] == target
        pair.clock.advance(4000)


async def test_pitfall_20_the_operators_doors_need_the_operators_token(solo: Stage) -> None:
    await solo.get(BOOTSTRAP, solo.alice)
    acts = ("purge", "sharing", "refreshes", "log-level", "explain")
    looks = ("/metrics", "/ops/api/whoami", "/ops/api/snapshot", "/ops/api/live")
    doors = [("POST", f"/ops/api/{act}") for act in acts] + [("GET", look) for look in looks]
    wrong = [
        {},
        bearer("wrong"),
        solo.alice.headers,
        bearer(OPS_TOKEN[:-1]),
        {"authorization": f"Basic {OPS_TOKEN}"},
        {"cookie": OPS_TOKEN},
    ]
    for method, door in doors:
        for headers in wrong:
            answer = await solo.send(method, door, headers=headers, content=b'{"everything":true}')
            assert answer.status_code == 401
            assert "www-authenticate" in answer.headers
            assert answer.headers["cache-control"] == "no-store"
        queried = await solo.send(method, f"{door}?token={OPS_TOKEN}", content=b"{}")
        assert queried.status_code == 401
    solo.tenant.forget_visits()
    await solo.get(BOOTSTRAP, solo.alice)
    assert solo.tenant.visits() == [], "nothing was purged"
    metrics = await solo.metrics()
    for secret in (solo.alice.token, solo.alice.canary, "jane.doe", '"7001"', "/101/"):
        assert secret not in metrics


async def test_pitfall_20_a_purge_drops_what_it_says(pair: Stage) -> None:
    for body, dropped in (
        (b'{"user":7001}', [PROFILES]),
        (b'{"coworker":101}', [PROFILES, OF_ALICE]),
        (b'{"everything":true}', [PROFILES, OF_ALICE]),
    ):
        for via in (0, 1):
            await pair.get(BOOTSTRAP, pair.alice, via=via)
        pair.tenant.forget_visits()
        answer = await pair.send("POST", "/ops/api/purge", headers=bearer(OPS_TOKEN), content=body)
        assert answer.json()["everywhere"] is True
        await pair.get(BOOTSTRAP, pair.alice, via=1)
        assert [visit.path for visit in pair.tenant.visits()] == dropped


async def test_pitfall_20_there_are_no_doors_without_a_token() -> None:
    async with stage(env={"BFF_OPS_TOKEN": ""}) as s:
        for door in ("/metrics", "/ops", "/ops/api/purge"):
            assert (await s.get(door, headers=bearer(OPS_TOKEN))).status_code == 404


async def test_pitfall_21_a_thousand_callers_on_one_expired_key_are_one_call(solo: Stage) -> None:
    """In one process; `tests/fault` has several."""
    members = solo.crowd(4)
    await solo.prove(*members)
    await solo.get(OF_ALICE, members[0])
    solo.clock.advance(86400 * 2)
    members = solo.crowd(4)
    await solo.prove(*members)
    solo.tenant.forget_visits()
    solo.tenant.hold(OF_ALICE)
    asking = [solo.later(OF_ALICE, members[number % 4]) for number in range(1000)]
    await solo.waiting(1000)
    solo.tenant.release()
    assert {(await each).status_code for each in asking} == {200}
    assert [visit.path for visit in solo.tenant.visits()] == [OF_ALICE]


async def test_pitfall_22_a_switch_on_the_phone_shows_in_the_portal_at_once(pair: Stage) -> None:
    phone, portal = pair.alice, pair.tenant.another(pair.alice)
    for _ in range(2):
        await pair.get(BOOTSTRAP, phone, via=0)
        before = await pair.get(BOOTSTRAP, portal, via=1)
    assert before.json()["Bootstrap"]["CoworkerId"] == 101
    for target in (145, 101, 145):
        await pair.send("PUT", f"{SWITCH}?coworkerId={target}", phone, via=0)
        tag = {"if-none-match": before.headers["etag"]}
        after = await pair.get(BOOTSTRAP, portal, via=1, headers=tag)
        assert after.status_code == 200
        assert after.json()["Bootstrap"]["CoworkerId"] == target
        active = [p["Id"] for p in after.json()["Profiles"] if p["IsDefaultProfile"]]
        assert active == [target]
        before = after
