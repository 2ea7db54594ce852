"""Several spaces behind one gateway: nothing of one is ever seen in another."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from bff.sandbox.model import Behaviour
from tests.support.gateway import (
    BOOTSTRAP,
    EDIT,
    OPS_TOKEN,
    PROFILES,
    Member,
    Stage,
    Tenant,
    bearer,
    related,
    stage,
)

OF_ALICE = related(101)
CACHED = (BOOTSTRAP, PROFILES, OF_ALICE)
HOSTS = ("alpha.test", "beta.test")


@pytest.fixture
async def both(redis_url: str) -> AsyncIterator[Stage]:
    """Two spaces behind two gateways."""
    async with stage(redis_url, gateways=2, hosts=HOSTS) as opened:
        yield opened


async def ask(
    stage: Stage, tenant: Tenant, target: str, member: Member | None, *, via: int = 0, **more: str
) -> httpx.Response:
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    return await stage.get(target, member, via=via, headers={"host": tenant.host, **headers})


async def test_pitfall_04_the_same_ids_in_two_spaces_are_two_people(both: Stage) -> None:
    alpha, beta = both.tenants
    beta.sandbox.world.edit(202, {"FullName": "Only in Beta"})
    assert (alpha.alice.user_id, alpha.alice.coworker_id) == (beta.alice.user_id, 101)
    for _ in range(2):
        for via in (0, 1):
            for target in CACHED:
                ours = await ask(both, alpha, target, alpha.alice, via=via)
                theirs = await ask(both, beta, target, beta.alice, via=via)
                assert (ours.status_code, theirs.status_code) == (200, 200)
                assert beta.alice.canary not in ours.text
                assert alpha.alice.canary not in theirs.text
                if target != PROFILES:
                    assert "Only in Beta" in theirs.text
                    assert "Only in Beta" not in ours.text
    for tenant in both.tenants:
        assert (tenant.arrivals(PROFILES), tenant.arrivals(OF_ALICE)) == (1, 1)


async def test_pitfall_04_one_token_used_in_two_spaces_is_two_callers(both: Stage) -> None:
    """Where Nexudus accepts it in both, as some do."""
    alpha, beta = both.tenants
    beta.sandbox.tokens.mint(7001, text=alpha.alice.token)
    for target in CACHED:
        ours = await ask(both, alpha, target, alpha.alice)
        theirs = await ask(both, beta, target, alpha.alice)
        assert ours.headers["etag"] != theirs.headers["etag"]
        assert target == OF_ALICE or beta.alice.canary in theirs.text
        given = ours.headers["etag"]
        again = await ask(both, beta, target, alpha.alice, if_none_match=given)
        assert again.status_code == 200


async def test_pitfall_04_a_token_of_one_space_proves_nothing_in_another(both: Stage) -> None:
    alpha, beta = both.tenants
    for target in CACHED:
        await ask(both, alpha, target, alpha.alice)
        await ask(both, beta, target, beta.alice)
        assert (await ask(both, beta, target, alpha.alice)).status_code == 401


async def test_pitfall_04_a_forged_host_changes_nothing(both: Stage) -> None:
    alpha, beta = both.tenants
    for target in CACHED:
        plain = await ask(both, alpha, target, alpha.alice)
        for name in (
            "x-forwarded-host",
            "x-host",
            "x-original-host",
            "forwarded",
            "x-forwarded-server",
        ):
            value = f"host={beta.host}" if name == "forwarded" else beta.host
            headers = {"host": alpha.host, name: value}
            answer = await both.get(target, alpha.alice, headers=headers)
            assert answer.content == plain.content
    assert beta.visits() == []


async def test_pitfall_04_a_forged_host_does_nothing_to_a_single_space(solo: Stage) -> None:
    plain = await solo.get(BOOTSTRAP, solo.alice)
    for host in ("evil.example", "beta.test", "127.0.0.1:1"):
        answer = await solo.get(BOOTSTRAP, solo.alice, headers={"host": host})
        assert answer.content == plain.content
    assert solo.tenant.arrivals(PROFILES) == 1
    assert all(v.header("host") == solo.tenant.origin[7:] for v in solo.tenant.visits())


async def test_an_unknown_host_is_a_421(both: Stage) -> None:
    alpha = both.tenants[0]
    for host in ("gamma.test", "alpha.test.evil.example", "evil-alpha.test", "alpha.test@x", ""):
        for target in (*CACHED, "/api/public/x", "/nowhere", "/api/../x"):
            answer = await both.get(target, alpha.alice, headers={"host": host})
            assert answer.status_code == 421, (host, target)
            assert answer.json()["type"] == "urn:bff:problem:unknown-host"
            assert answer.headers["cache-control"] == "no-store"
    assert alpha.visits() == []


async def test_a_host_is_matched_as_http_says(both: Stage) -> None:
    alpha = both.tenants[0]
    for host in ("ALPHA.test", "alpha.test.", "alpha.test:8443"):
        answer = await both.get(PROFILES, alpha.alice, headers={"host": host})
        assert answer.status_code == 200


async def test_probes_and_operators_come_by_any_host(both: Stage) -> None:
    for host in ("10.0.0.7:8080", "gamma.test", HOSTS[0]):
        headers = {"host": host}
        for target in ("/healthz", "/readyz", "/openapi.json"):
            assert (await both.get(target, headers=headers)).status_code == 200
        operator = {**headers, **bearer(OPS_TOKEN)}
        assert (await both.get("/metrics", headers=operator)).status_code == 200
        purge = await both.send(
            "POST", "/ops/api/purge", headers=operator,
            content=b'{"user":7001,"space":"%s"}' % both.tenants[0].origin[7:].encode(),
        )  # fmt: skip
        assert purge.status_code == 200
        assert (await both.get("/metrics", headers=headers)).status_code == 401


async def test_a_write_in_one_space_drops_nothing_in_the_other(both: Stage) -> None:
    alpha, beta = both.tenants
    for tenant in both.tenants:
        for via in (0, 1):
            await ask(both, tenant, BOOTSTRAP, tenant.alice, via=via)
    headers = {"host": alpha.host, "content-type": "application/json"}
    body = b'{"CompanyName":"After Ltd"}'
    written = await both.send("PATCH", EDIT, alpha.alice, headers=headers, content=body)
    assert written.status_code == 200
    beta.forget_visits()
    for via in (1, 0):
        assert "After Ltd" in (await ask(both, alpha, BOOTSTRAP, alpha.alice, via=via)).text
        await ask(both, beta, BOOTSTRAP, beta.alice, via=via)
    assert beta.visits() == []


async def test_a_fetch_in_one_space_is_joined_by_nobody_in_the_other(both: Stage) -> None:
    alpha, beta = both.tenants
    for tenant in both.tenants:
        await ask(both, tenant, PROFILES, tenant.alice)
    alpha.hold(OF_ALICE)
    ours = both.later(OF_ALICE, alpha.alice, host=alpha.host)
    await alpha.held()
    assert (await ask(both, beta, OF_ALICE, beta.alice)).status_code == 200
    alpha.release()
    assert (await ours).status_code == 200


async def test_sharing_ends_in_the_space_where_it_was_found_wrong(redis_url: str) -> None:
    async with stage(redis_url, hosts=HOSTS) as s:
        alpha, beta = s.tenants
        for tenant in s.tenants:
            tenant.sandbox.world.behaviour = Behaviour(viewer_threads=True)
        answer = await s.send(
            "POST", "/ops/api/sharing", headers=bearer(OPS_TOKEN),
            content=b'{"scope":"token","space":"%s"}' % alpha.origin[7:].encode(),
        )  # fmt: skip
        assert answer.status_code == 200
        for tenant in s.tenants:
            for member in (tenant.alice, tenant.bob):
                await ask(s, tenant, OF_ALICE, member)
        assert (alpha.arrivals(OF_ALICE), beta.arrivals(OF_ALICE)) == (2, 1)
