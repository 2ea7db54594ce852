"""A portal's page on an origin of its own, in a headless Chromium, before the demo's gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from bff.demo import TOKEN
from tests.e2e.commands import HOST, Command, free_port
from tests.support.ops_page import CHROMIUM, WHY_NOT, chromium
from tests.support.serving import serving

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason=WHY_NOT),
]

CARLOS = 7002
WIRE_S = 10.0
START = "/session/bootstrap?_shape=@portal"
_PAGE = '<!doctype html><link rel="icon" href="data:,">'
_FETCH = """
async ({ url, token, ...init }) => {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(url, { ...init, headers: { ...headers, ...init.headers } });
  const text = await answer.text();
  const json = text && (answer.headers.get("content-type") ?? "").includes("json");
  return {
    status: answer.status,
    headers: Object.fromEntries(answer.headers),
    body: json ? JSON.parse(text) : text,
  };
}
"""
_KEEP = """
async ({ url, token, other }) => {
  const asked = (token) => new Request(url, { headers: { Authorization: `Bearer ${token}` } });
  const cache = await caches.open("kept");
  await cache.put(asked(token), await fetch(asked(token)));
  const found = async (token) => (await (await cache.match(asked(token)))?.json()) ?? null;
  return [await found(token), await found(other)];
}
"""


_TIMED = """
async (url) => {
  for (let tries = 0; tries < 100; tries++) {
    const [entry] = performance.getEntriesByName(url);
    if (entry) return { size: entry.encodedBodySize, parts: entry.serverTiming.map((p) => p.name) };
    await new Promise((done) => setTimeout(done, 50));
  }
}
"""


@dataclass(frozen=True, slots=True)
class Portal:
    """A tab. `wire`: the statuses that came to it, those of preflights too."""

    page: Page
    gateway: str
    wire: asyncio.Queue[int] = field(default_factory=asyncio.Queue)

    async def fetch(self, target: str, token: str = "", **init: Any) -> dict[str, Any]:
        """What a script is given: `status`, `headers`, `body`."""
        told = {"url": self.gateway + target, "token": token, **init}
        answer: dict[str, Any] = await self.page.evaluate(_FETCH, told)
        return answer

    async def came(self) -> int:
        """The next status that came over the wire; what tells of it may be late."""
        return await asyncio.wait_for(self.wire.get(), WIRE_S)


@dataclass(frozen=True, slots=True)
class Demo:
    """A running one, and the token of a second member."""

    origin: str
    carlos: str


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    port, sandbox_port = free_port(), free_port()
    with Command("demo", "--port", str(port), "--sandbox-port", str(sandbox_port)) as command:
        command.says("Ctrl-C ends it all.")
        minted = httpx.post(
            f"http://{HOST}:{sandbox_port}/_sandbox/tokens",
            json={"user_id": CARLOS},
            trust_env=False,
            verify=False,
        )
        yield Demo(f"http://{HOST}:{port}", minted.json()["token"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@asynccontextmanager
async def opened(browser: Browser, demo: Demo) -> AsyncIterator[Portal]:
    """A tab with an empty cache, on an origin that is not the gateway's."""
    empty = Starlette(routes=[Route("/", lambda _: HTMLResponse(_PAGE))])
    async with serving(empty) as url:
        context = await browser.new_context()
        try:
            page = await context.new_page()
            portal = Portal(page, demo.origin)
            await page.goto(url)
            wire = await context.new_cdp_session(page)
            await wire.send("Network.enable")
            wire.on(
                "Network.responseReceivedExtraInfo",
                lambda event: portal.wire.put_nowait(event["statusCode"]),
            )
            yield portal
        finally:
            await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def portal(browser: Browser, demo: Demo) -> AsyncIterator[Portal]:
    async with opened(browser, demo) as tab:
        yield tab


async def test_the_second_start_is_a_304_that_scripts_see_as_the_whole_answer(
    portal: Portal,
) -> None:
    first = await portal.fetch(START, TOKEN)
    assert [await portal.came(), await portal.came()] == [200, 200], "the first is a preflight's"
    again = await portal.fetch(START, TOKEN)
    assert await portal.came() == 304
    assert (again["status"], again["body"]) == (200, first["body"])
    assert again["body"]["Bootstrap"] == {"CoworkerId": 101, "Complete": True, "Problems": []}
    readable = {"etag", "age", "cache-status", "server-timing", "x-request-id"}
    assert readable <= again["headers"].keys()
    assert again["headers"]["etag"] == first["headers"]["etag"]
    assert again["headers"]["x-request-id"] != first["headers"]["x-request-id"]


async def test_who_asks_with_a_validator_is_given_the_304_itself(portal: Portal) -> None:
    held = (await portal.fetch(START, TOKEN))["headers"]["etag"]
    answer = await portal.fetch(START, TOKEN, headers={"If-None-Match": held})
    assert (answer["status"], answer["body"]) == (304, "")
    assert answer["headers"]["etag"] == held


async def test_what_a_request_took_is_there_for_scripts_to_read(portal: Portal) -> None:
    answer = await portal.fetch(START, TOKEN)
    timed = await portal.page.evaluate(_TIMED, portal.gateway + START)
    parts = [
        part.partition(";")[0].strip() for part in answer["headers"]["server-timing"].split(",")
    ]
    assert "total" in parts
    assert timed["parts"] == parts
    assert timed["size"] > 0


@pytest.mark.parametrize("mode", ["default", "force-cache", "no-cache"])
async def test_pitfall_1_a_browser_never_shows_one_member_what_it_keeps_of_another(
    portal: Portal, demo: Demo, mode: str
) -> None:
    jane = await portal.fetch(START, TOKEN)
    carlos = await portal.fetch(START, demo.carlos, cache=mode)
    assert (jane["body"]["User"]["Id"], carlos["body"]["User"]["Id"]) == (7001, CARLOS)
    for nobody in ("nobodys", ""):
        refused = await portal.fetch(START, nobody, cache=mode)
        assert refused["status"] == 401
        assert "7001" not in str(refused["body"])
    back = await portal.fetch(START, TOKEN, cache=mode)
    assert back["body"] == jane["body"]


async def test_pitfall_1_what_a_service_worker_keeps_is_found_with_the_same_token_only(
    portal: Portal, demo: Demo
) -> None:
    told = {"url": demo.origin + START, "token": TOKEN, "other": demo.carlos}
    mine, others = await portal.page.evaluate(_KEEP, told)
    assert mine["User"]["Id"] == 7001
    assert others is None


@pytest.mark.parametrize(
    ("target", "init", "status", "kind"),
    [
        (START, {}, 401, "no-credentials"),
        ("/session/bootstrap?_shape=User..Id", {"token": TOKEN}, 400, "bad-shape"),
        ("/session/bootstrap?shape=User", {"token": TOKEN}, 400, "bad-parameter"),
        ("/nowhere", {"token": TOKEN}, 404, "not-found"),
        (START, {"token": TOKEN, "method": "DELETE"}, 405, "method-not-allowed"),
    ],
)
async def test_a_problem_is_there_for_scripts_to_read(
    portal: Portal, target: str, init: dict[str, Any], status: int, kind: str
) -> None:
    answer = await portal.fetch(target, **init)
    assert answer["status"] == status
    assert answer["headers"]["content-type"] == "application/problem+json"
    assert answer["body"]["type"] == f"urn:bff:problem:{kind}"
    assert answer["body"]["request_id"] == answer["headers"]["x-request-id"]
    assert answer["body"]["detail"]


async def test_a_switch_is_seen_by_the_next_start_of_the_same_page(portal: Portal) -> None:
    before = await portal.fetch(START, TOKEN)
    switch = "/api/public/coworkers/profiles/current?coworkerId="
    try:
        done = await portal.fetch(f"{switch}145", TOKEN, method="PUT")
        assert done["status"] == 200
        after = await portal.fetch(START, TOKEN)
        assert after["body"]["Bootstrap"]["CoworkerId"] == 145
    finally:
        await portal.fetch(f"{switch}101", TOKEN, method="PUT")
    back = await portal.fetch(START, TOKEN)
    assert back["body"] == before["body"]
