"""Webhooks through the whole gateway: what they drop, and which are refused."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from structlog.testing import capture_logs

from tests.support.gateway import (
    BOOTSTRAP,
    PROFILES,
    WEBHOOK_SECRET,
    Stage,
    related,
    stage,
    until,
)

HOOK = "/hooks/nexudus"
ALICE = {"Id": 101, "UserId": 7001, "FullName": "Jane Doe", "Email": "jane.doe@example.com"}


def signed(body: bytes, secret: str = WEBHOOK_SECRET) -> dict[str, str]:
    digest = hmac.digest(secret.encode(), body, hashlib.sha256).hex().upper()
    return {"x-nexudus-hook-signature": digest, "content-type": "application/json"}


async def deliver(
    stage: Stage, body: bytes, headers: dict[str, str] | None = None, target: str = HOOK
) -> httpx.Response:
    given = signed(body) if headers is None else headers
    return await stage.send("POST", target, headers=given, content=body)


async def dropped(stage: Stage, times: int = 1) -> None:
    """Returns once so many webhooks have been followed by their drops."""

    async def is_done() -> bool:
        return await stage.metric("bff_invalidations", "webhook") >= times

    await until(is_done)


async def warm(stage: Stage) -> None:
    for member in (stage.alice, stage.bob):
        for via in range(len(stage.gateways)):
            for _ in range(2):
                await stage.get(BOOTSTRAP, member, via=via)
    stage.tenant.forget_visits()


async def test_an_update_elsewhere_is_seen_in_every_process(pair: Stage) -> None:
    await warm(pair)
    pair.tenant.sandbox.world.edit(101, {"FullName": "Renamed"})
    answer = await deliver(pair, orjson.dumps([ALICE]))
    assert (answer.status_code, answer.headers["cache-control"]) == (204, "no-store")
    await dropped(pair)
    for via in (1, 0):
        for member in (pair.alice, pair.bob):
            assert "Renamed" in (await pair.get(BOOTSTRAP, member, via=via)).text
    asked = sorted(visit.path for visit in pair.tenant.visits())
    assert asked == sorted([PROFILES, related(101), related(202)]), "Bob's profiles were kept"


async def test_pitfall_20_a_replayed_webhook_is_acknowledged_and_ignored(pair: Stage) -> None:
    body = orjson.dumps([ALICE])
    await deliver(pair, body)
    await dropped(pair)
    await warm(pair)
    for via in (0, 1, 0):
        answer = await pair.send("POST", HOOK, via=via, headers=signed(body), content=body)
        assert answer.status_code == 204
    for member in (pair.alice, pair.bob):
        for via in (0, 1):
            await pair.get(BOOTSTRAP, member, via=via)
    assert pair.tenant.visits() == []


async def test_pitfall_20_an_altered_or_unsigned_webhook_is_refused(solo: Stage) -> None:
    await warm(solo)
    body = orjson.dumps([ALICE])
    good = signed(body)
    name = "x-nexudus-hook-signature"
    for headers in (
        {},
        {name: ""},
        {name: "0" * 64},
        {name: good[name][:-1]},
        signed(body + b" "),
        signed(body, "another-secret"),
        {"authorization": f"Bearer {WEBHOOK_SECRET}"},
    ):
        answer = await deliver(solo, body, headers)
        assert answer.status_code == 401
        assert answer.headers["cache-control"] == "no-store"
    assert (await deliver(solo, body + b" ", good)).status_code == 401
    for member in (solo.alice, solo.bob):
        await solo.get(BOOTSTRAP, member)
    assert solo.tenant.visits() == []


async def test_what_is_signed_and_not_understood_drops_nothing(solo: Stage) -> None:
    await warm(solo)
    with capture_logs() as lines:
        for body in (b"[]", b"not json", b'[{"Id":1}]', b"[1,2]", b'{"Number":"INV-1"}', b"[1,2]"):
            assert (await deliver(solo, body)).status_code == 204
    said = [line for line in lines if line["event"] == "webhook_not_understood"]
    assert len(said) == 2, "of another form than is known: each once"
    await solo.get(BOOTSTRAP, solo.alice)
    assert solo.tenant.visits() == []


async def test_a_fetch_under_way_when_a_webhook_comes_is_not_stored(pair: Stage) -> None:
    pair.tenant.hold(PROFILES, token=pair.alice.token, count=1)
    old = pair.later(BOOTSTRAP, pair.alice, via=1)
    await pair.tenant.held()
    pair.tenant.sandbox.world.edit(101, {"CompanyName": "After Ltd"})
    await deliver(pair, orjson.dumps(ALICE))
    await dropped(pair)
    pair.tenant.release()
    assert "After Ltd" not in (await old).text
    for via in (1, 0):
        assert "After Ltd" in (await pair.get(BOOTSTRAP, pair.alice, via=via)).text


async def test_only_post_and_only_so_much(solo: Stage) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await solo.send(method, HOOK)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    large = b" " * (1024 * 1024 + 1)
    assert (await deliver(solo, large)).status_code == 413


async def test_a_sender_that_leaves_in_the_middle_is_no_error(solo: Stage) -> None:
    async def cut() -> None:
        async def body() -> AsyncIterator[bytes]:
            yield b"[1,"
            raise RuntimeError

        with solo.apps.one() as client:
            await client.post(solo.gateways[0].origin + HOOK, content=body())

    with pytest.raises(RuntimeError):
        await cut()
    assert (await solo.get("/healthz")).status_code == 200

    async def is_counted() -> bool:
        return await solo.metric("bff_requests", HOOK) >= 1

    await until(is_counted)
    assert await solo.metric("bff_requests", "500") == 0


async def test_without_a_secret_there_are_no_webhooks() -> None:
    async with stage(env={"BFF_WEBHOOK_SECRET": ""}) as s:
        body = orjson.dumps([ALICE])
        for headers in (signed(body), signed(body, ""), {}):
            assert (await deliver(s, body, headers)).status_code == 401


async def test_with_several_spaces_the_path_names_one() -> None:
    async with stage(hosts=("alpha.test", "beta.test")) as s:
        alpha, beta = s.tenants
        for tenant in s.tenants:
            await s.get(PROFILES, tenant.alice, headers={"host": tenant.host})
            tenant.forget_visits()
        name = beta.origin.removeprefix("http://")
        body = orjson.dumps([ALICE])
        # From anywhere: Nexudus calls the address that it was given.
        answer = await deliver(s, body, target=f"{HOOK}/{name}")
        assert answer.status_code == 204
        await dropped(s)
        for tenant in s.tenants:
            await s.get(PROFILES, tenant.alice, headers={"host": tenant.host})
        assert (alpha.arrivals(), beta.arrivals()) == (0, 1)
        by_host = {**signed(body), "host": alpha.host}
        assert (await deliver(s, body, by_host)).status_code == 204
        for target in (HOOK, f"{HOOK}/nowhere"):
            assert (await deliver(s, body, target=target)).status_code == 421


async def test_a_burst_is_taken_whole_and_what_is_acknowledged_is_seen_everywhere(
    pair: Stage,
) -> None:
    await warm(pair)
    edit = pair.tenant.sandbox.world.edit
    edit(101, {"FullName": "Renamed"})
    bodies = [orjson.dumps([{"Id": 10_000 + n, "CoworkerId": 10_000 + n}]) for n in range(149)]
    bodies.insert(75, orjson.dumps([ALICE]))
    answers = await asyncio.gather(*(deliver(pair, body) for body in bodies))
    assert Counter(answer.status_code for answer in answers) == {204: 150}
    assert "Renamed" in (await pair.get(BOOTSTRAP, pair.alice, via=1)).text
