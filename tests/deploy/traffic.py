"""A day of a few members, in seconds: what happens on good days, and what happens on bad ones."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import httpx

from tests.deploy.stack import Stack
from tests.support.gateway import BOOTSTRAP, EDIT, PROFILES, related

PUBLISHED = "/api/public/coworkers/published"
JANE, CARLOS, ANNA = 7001, 7002, 7003
OF_JANE, OF_NOBODY = 101, 999_999
FAILING = {"kind": "status", "status": 500}
THROTTLED = {"kind": "status", "status": 409, "retry_after": 1}
PATIENCE_S = 15.0
PACE_S = 0.02
"""Between requests without end: nginx lets an address have a hundred a second."""
UNTIL_COMPARED_S = 0.3
"""Comparisons come after everybody who waits, so let nobody wait."""


@dataclass(slots=True)
class Traffic:
    """Asks through nginx, and counts by route's beginning and status."""

    stack: Stack
    app: httpx.AsyncClient
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def token(self, user_id: int) -> str:
        """A token that nobody has seen yet."""
        minted = await self.stack.nexudus.control("POST", "tokens", {"user_id": user_id})
        return str(minted["token"])

    async def ask(
        self, target: str, token: str, method: str = "GET", **headers: str
    ) -> httpx.Response:
        answer = await self.app.request(
            method,
            target,
            headers={
                "authorization": f"Bearer {token}",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
            content=b'{"Notes":"new"}' if method != "GET" else None,
        )
        self.asked.append((target.partition("?")[0], answer.status_code))
        return answer

    def answered(self, route: str) -> int:
        """How often a route was asked for."""
        return sum(target == route for target, _ in self.asked)


async def good_day(traffic: Traffic) -> None:
    """Sessions, lists, a change, one call passed through; all of it answered as it should be."""
    jane, carlos = await traffic.token(JANE), await traffic.token(CARLOS)
    first = await traffic.ask(BOOTSTRAP, jane)
    assert (first.status_code, first.http_version) == (200, "HTTP/2")
    for token in (jane, carlos):
        for shape in ("", "?_shape=@mobile", "?_shape=@mobile"):
            # Each of four workers has to have it in process before it is there in two tiers.
            for _ in range(6):
                answer = await traffic.ask(BOOTSTRAP + shape, token)
                assert answer.status_code == 200
        assert (await traffic.ask(PROFILES, token, accept_encoding="gzip")).status_code == 200
    known = await traffic.ask(BOOTSTRAP, jane)
    again = await traffic.ask(BOOTSTRAP, jane, if_none_match=known.headers["etag"])
    assert again.status_code == 304
    for token in (jane, carlos, await traffic.token(JANE)):
        assert (await traffic.ask(related(OF_JANE), token)).status_code == 200
    for _ in range(3):
        assert (await traffic.ask(related(OF_NOBODY), jane)).status_code == 404
    hinted = await traffic.ask(f"{BOOTSTRAP}?coworkerId={OF_JANE}", await traffic.token(JANE))
    assert hinted.status_code == 200
    assert (await traffic.ask(f"{PROFILES}?page=1", jane)).status_code == 200
    assert (await traffic.ask("/api/public/_echo", jane)).status_code == 200
    assert (await traffic.ask(EDIT, jane, "PATCH")).is_success
    assert (await traffic.ask(BOOTSTRAP, jane)).status_code == 200
    assert (await traffic.ask(f"{PROFILES}?_shape=a..b", jane)).status_code == 400
    assert (await traffic.ask(PROFILES, "nobody-s-token-at-all")).status_code == 401


async def bad_day(traffic: Traffic) -> None:
    """Lists differ by viewer, Nexudus lets one down, Redis goes, Nexudus throttles, then fails."""
    stack = traffic.stack
    await stack.nexudus.control("PUT", "behaviour", {"viewer_threads": True})
    async with asyncio.timeout(PATIENCE_S):
        while not await stack.query('bff_comparisons_total{outcome="different"}'):
            for viewer in (JANE, CARLOS):
                asked = await traffic.ask(related(OF_JANE), await traffic.token(viewer))
                assert asked.status_code == 200
            await asyncio.sleep(UNTIL_COMPARED_S)
    await stack.nexudus.fail(FAILING, path_prefix=PUBLISHED)
    partly = await traffic.ask(BOOTSTRAP, await traffic.token(ANNA))
    assert (partly.status_code, partly.headers["bff-complete"]) == (200, "false")
    await stack.nexudus.recover()
    await stack.redis_ends()
    assert (await traffic.ask(EDIT, await traffic.token(JANE), "PATCH")).is_success
    await stack.nexudus.fail(THROTTLED, path_prefix=PROFILES)
    await traffic.ask(f"{PROFILES}?page=1", await traffic.token(JANE))
    await stack.nexudus.fail(FAILING)
    async with asyncio.timeout(PATIENCE_S):
        while not await stack.query('bff_upstream_refused_total{reason="breaker"}'):
            await traffic.ask(PROFILES, await traffic.token(ANNA))
            await asyncio.sleep(PACE_S)
