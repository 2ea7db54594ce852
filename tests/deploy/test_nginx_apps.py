"""What nginx itself refuses can be read by the browser apps that are listed, and by no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from bff.edge.middleware import EXPOSED_HEADERS
from tests.deploy.front import Front, front_at, nginx_at
from tests.e2e.commands import HOST, free_port
from tests.support.nginx import HOW_TO_GET_IT, find_nginx

pytestmark = [
    pytest.mark.skipif(find_nginx() is None, reason=HOW_TO_GET_IT),
    pytest.mark.asyncio(loop_scope="module"),
]

PORTAL = "https://portal.acme.example"
OTHERS = ("https://evil.example", f"{PORTAL}.evil.example", "https://portal-acme.example", "null")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    async with front_at(tmp_path_factory.mktemp("nginx"), f"{PORTAL} 1;\n") as opened:
        yield opened


def readable_by(origin: str, answer: httpx.Response) -> bool:
    """Whether a browser shows an app of this origin that answer, which it got with credentials."""
    allowed = answer.headers.get_list("access-control-allow-origin")
    assert answer.headers["vary"] == "Authorization, Origin"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["strict-transport-security"]
    assert len(answer.headers["x-request-id"]) >= 8
    if not allowed:
        assert not any(name.startswith("access-control") for name in answer.headers)
        return False
    assert answer.headers["access-control-expose-headers"] == ", ".join(EXPOSED_HEADERS)
    return allowed == [origin] and answer.headers["access-control-allow-credentials"] == "true"


async def wild(client: httpx.AsyncClient, method: str = "POST", **headers: str) -> httpx.Response:
    """The first sign-in that does not come through."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    for _ in range(400):
        answer = await client.request(method, "/api/token", headers=given)
        if answer.status_code != 200:
            return answer
    raise AssertionError("all came through")


async def test_apps_of_listed_origins_and_no_others_can_read_that_they_are_refused(
    front: Front,
) -> None:
    async with front.client() as client:
        for origin in (PORTAL, *OTHERS):
            answer = await wild(client, origin=origin)
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
            assert readable_by(origin, answer) is (origin == PORTAL)
        assert not readable_by(PORTAL, await wild(client))


async def test_a_browser_that_asks_first_is_not_stopped_by_that(front: Front) -> None:
    asked = {
        "access_control_request_method": "POST",
        "access_control_request_headers": "authorization,content-type",
    }
    async with front.client() as client:
        answer = await wild(client, "OPTIONS", origin=PORTAL, **asked)
        assert (answer.status_code, answer.content) == (204, b"")
        assert readable_by(PORTAL, answer)
        assert answer.headers["access-control-allow-headers"] == "authorization,content-type"
        assert "POST" in answer.headers["access-control-allow-methods"].split(", ")
        assert "access-control-max-age" not in answer.headers
        for origin in OTHERS:
            answer = await wild(client, "OPTIONS", origin=origin, **asked)
            assert (answer.status_code, readable_by(origin, answer)) == (429, False)
        forged = asked | {"access_control_request_method": f"POST {PORTAL}"}
        answer = await wild(client, "OPTIONS", origin=OTHERS[0], **forged)
        assert (answer.status_code, readable_by(OTHERS[0], answer)) == (429, False)
        for method, headers in (("OPTIONS", {}), ("POST", asked)):
            answer = await wild(client, method, origin=PORTAL, **headers)
            assert answer.status_code == 429
            assert "access-control-allow-methods" not in answer.headers


@pytest.mark.parametrize("origin", [PORTAL, *OTHERS])
async def test_apps_of_listed_origins_can_read_that_a_body_is_too_large(
    front: Front, origin: str
) -> None:
    headers = {"content-length": str(27 * 2**20), "origin": origin}
    async with front.client() as client:
        answer = await client.post("/api/upload", headers=headers)
    assert answer.status_code == 413
    assert readable_by(origin, answer) is (origin == PORTAL)


async def test_what_a_gateway_answers_is_its_own_to_open_to_apps(front: Front) -> None:
    async with front.client() as client:
        for path in ("/api/x", "/api/late"):
            answer = await client.get(path, headers={"origin": PORTAL})
            assert not any(name.startswith("access-control") for name in answer.headers)


async def test_as_shipped_no_origin_is_listed(tmp_path: Path) -> None:
    async with (
        nginx_at(tmp_path, [free_port(), free_port()]) as (tls, ports),
        httpx.AsyncClient(verify=tls.client(), trust_env=False) as client,
    ):
        url = f"https://{HOST}:{ports.tls}/session/bootstrap"
        answer = await client.get(url, headers={"origin": PORTAL})
        assert answer.status_code == 503
        assert not readable_by(PORTAL, answer)


async def test_where_all_origins_may_read_they_do_so_without_credentials(tmp_path: Path) -> None:
    async with (
        nginx_at(tmp_path, [free_port(), free_port()], "default *;") as (tls, ports),
        httpx.AsyncClient(verify=tls.client(), trust_env=False) as client,
    ):
        url = f"https://{HOST}:{ports.tls}/session/bootstrap"
        answer = await client.get(url, headers={"origin": "https://any.example"})
        assert answer.status_code == 503
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        assert "access-control-allow-origin" not in (await client.get(url)).headers
