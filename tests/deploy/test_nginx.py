"""deploy/nginx by itself, run by the real nginx before servers that tell what they were sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.deploy.front import Front, front_at, nginx_at
from tests.e2e.commands import HOST, free_port
from tests.support.nginx import HOW_TO_GET_IT, find_nginx

pytestmark = [
    pytest.mark.skipif(find_nginx() is None, reason=HOW_TO_GET_IT),
    pytest.mark.asyncio(loop_scope="module"),
]

ELSEWHERE = "127.0.0.2"
"""An address of this machine that operators.conf does not name."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    async with front_at(tmp_path_factory.mktemp("nginx")) as opened:
        yield opened


async def test_a_request_comes_over_http_2_and_goes_on_as_it_is(front: Front) -> None:
    path = "/api/public/coworkers/x%2Fy?_shape=a,b&token=one-time"
    async with front.client() as client:
        answer = await client.get(path, headers={"authorization": "Bearer of-jane"})
    assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
    assert answer.headers["strict-transport-security"]
    assert front.behind.heads[-1].startswith(f"GET {path} HTTP/1.1\r\n")
    sent = front.behind.last
    assert sent["authorization"] == "Bearer of-jane"
    assert sent["host"] == HOST
    assert "connection" not in sent, "connections to the gateways are kept"


async def test_a_gateway_that_is_away_is_gone_around(front: Front) -> None:
    """One of the two addresses refuses connections, all the time."""
    async with front.client() as client:
        for _ in range(6):
            assert (await client.get("/session/bootstrap")).status_code == 200


async def test_what_may_have_had_an_effect_is_not_lost_where_nothing_was_sent(front: Front) -> None:
    async with front.client() as client:
        for _ in range(4):
            assert (await client.post("/api/x", content=b"{}")).status_code == 200


@pytest.mark.parametrize(
    ("given", "kept"), [("app-4711.retry_2", True), ("short", False), ("a b c d e f g h", False)]
)
async def test_a_request_id_is_passed_on_or_made(front: Front, given: str, kept: bool) -> None:
    async with front.client() as client:
        await client.get("/api/x", headers={"x-request-id": given})
    passed = front.behind.last["x-request-id"]
    assert (passed == given) is kept
    assert 8 <= len(passed) <= 64
    assert json.loads(front.log.read_text().splitlines()[-1])["request_id"] == passed


async def test_pitfall_6_the_log_has_no_path_no_query_and_no_header(front: Front) -> None:
    async with front.client() as client:
        await client.get(
            "/api/canary-path?canary=query",
            headers={"authorization": "Bearer canary-token", "user-agent": "canary-agent"},
        )
    lines = front.log.read_text().splitlines()
    assert json.loads(lines[-1])["status"] == 200
    assert not any("canary" in line for line in lines)


async def test_plain_http_leads_to_tls_and_asks_no_gateway(front: Front) -> None:
    before = len(front.behind.heads)
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        answer = await client.post(f"{front.plain}/session/bootstrap?a=b")
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://{HOST}/session/bootstrap?a=b"
    assert len(front.behind.heads) == before


@pytest.mark.parametrize("path", ["/metrics", "/metrics?x=1", "/%6detrics", "//metrics"])
async def test_pitfall_20_metrics_are_not_seen_from_outside(front: Front, path: str) -> None:
    before = len(front.behind.heads)
    async with front.client() as client:
        request = client.build_request("GET", "/", extensions={"target": path.encode()})
        assert (await client.send(request)).status_code == 404
    assert len(front.behind.heads) == before


@pytest.mark.parametrize(
    "path", ["/ops", "/ops/api/purge", "/ops/api/live", "/%6fps/api/purge", "/a/../ops/api/purge"]
)
async def test_pitfall_20_strangers_do_not_reach_the_operators_doors(
    front: Front, path: str
) -> None:
    before = len(front.behind.heads)
    async with front.client(ELSEWHERE) as client:
        request = client.build_request("POST", "/", extensions={"target": path.encode()})
        assert (await client.send(request)).status_code == 403
    assert len(front.behind.heads) == before


@pytest.mark.parametrize("http2", [True, False])
async def test_live_figures_come_as_they_are_sent(front: Front, http2: bool) -> None:
    front.behind.go_on.clear()
    async with (
        asyncio.timeout(10),
        front.client(http2=http2) as client,
        client.stream("GET", "/ops/api/live") as answer,
    ):
        events = answer.aiter_text()
        assert await anext(events) == "data: 1\n\n"
        front.behind.go_on.set()
        assert "".join([each async for each in events]) == "data: 2\n\n"


async def test_whoever_goes_wild_is_told_so(front: Front) -> None:
    """Sign-ins have a bound of their own: 100 at once from one address, then five a second."""
    limits = httpx.Limits(max_connections=8)
    async with httpx.AsyncClient(
        base_url=front.origin, verify=front.tls.client(), trust_env=False, limits=limits, timeout=30
    ) as client:
        answers = await asyncio.gather(*(client.post("/api/token") for _ in range(160)))
        otherwise = await asyncio.gather(*(client.post("/api/Token/") for _ in range(20)))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) >= 101
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 160 - statuses.count(200) > 0
    assert refused[0].json()["status"] == 429
    assert refused[0].headers["retry-after"] == "1"
    assert 429 in {answer.status_code for answer in otherwise}, "however it is spelt"
    assert refused[0].headers["cache-control"] == "no-store"


async def test_a_body_that_is_too_large_for_it_is_a_problem_too(front: Front) -> None:
    async with front.client() as client:
        answer = await client.post("/api/upload", headers={"content-length": str(27 * 2**20)})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["status"] == 413


async def test_what_a_gateway_says_of_an_error_is_passed_on(front: Front) -> None:
    async with front.client() as client:
        answer = await client.get("/api/late")
    assert (answer.status_code, answer.text) == (504, "our problem")


async def test_without_any_gateway_the_answer_is_a_problem_that_says_when(tmp_path: Path) -> None:
    async with (
        nginx_at(tmp_path, [free_port(), free_port()]) as (tls, ports),
        httpx.AsyncClient(verify=tls.client(), trust_env=False) as client,
    ):
        answer = await client.get(f"https://{HOST}:{ports.tls}/session/bootstrap")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["title"] == "Service unavailable"
