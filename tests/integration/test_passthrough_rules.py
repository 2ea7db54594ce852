"""Everything that is not cached: streamed through, never stored, and safe for caches in between."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bff.sandbox.effects import NoStore, Override, Status
from tests.support.gateway import BOOTSTRAP, PROFILES, Stage, bearer, related, stage
from tests.support.serving import serving

ECHO = "/api/public/_echo"
OF_ALICE = related(101)


def arrived(answer: httpx.Response) -> dict[str, list[str]]:
    """The headers that Nexudus got, by name."""
    found: dict[str, list[str]] = {}
    for name, value in answer.json()["Headers"]:
        found.setdefault(name, []).append(value)
    return found


async def test_a_call_passes_as_it_is_and_is_never_stored(solo: Stage) -> None:
    for target in (ECHO, f"{ECHO}/a/b?x=1&x=2", "/en/_echo", "/pt-BR/_echo/x;y=@z", "/api/x"):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            solo.tenant.forget_visits()
            body = b'{"a":1}' if method in ("POST", "PUT", "PATCH") else None
            for _ in range(2):
                answer = await solo.send(method, target, solo.alice, content=body)
                if target == "/api/x":
                    assert answer.status_code == 404
                    continue
                echo = answer.json()
                path, _, query = target.partition("?")
                assert (echo["Method"], echo["RawPath"], echo["RawQuery"]) == (method, path, query)
                assert echo["Body"]["Sha256"] == hashlib.sha256(body or b"").hexdigest()
            assert solo.tenant.arrivals() == 2


async def test_queries_pass_with_every_character_that_browsers_leave_as_it_is(solo: Stage) -> None:
    """WHATWG URL leaves these in a query; what it encodes is refused."""
    query = "a=[1]&b={x|y}&c=^`\\&d='*;:@!$()&e=%20%C3%BC%00&f=~-_.+/?&&=="
    answer = await solo.get(f"{ECHO}?{query}", solo.alice)
    assert answer.json()["RawQuery"] == query
    for refused in ('a="', "a=<b>", "a=%zz", "a=%"):
        before = solo.tenant.arrivals()
        assert (await solo.get(f"{ECHO}?{refused}", solo.alice)).status_code == 404
        assert solo.tenant.arrivals() == before


AMBIGUOUS = [
    "/api/../en/profile",
    "/api/%2e%2e/en/profile",
    "/api/.%2E/x",
    "/api/a%2fb",
    "/api/a%5Cb",
    "/api//x",
    "//api/x",
    "/api/x%00",
    "/api/x%0a",
    "/api/x%3fy",
    "/api/x%23y",
    "/api/x%",
    "/api/%ff",
    "/api/x\\y",
    "/api/{x}",
    "/api/..;/x",
]


async def test_a_path_that_could_be_read_in_two_ways_goes_nowhere(solo: Stage) -> None:
    for path in AMBIGUOUS:
        answer = await solo.get(path, solo.alice)
        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:bff:problem:bad-target"
    assert solo.tenant.visits() == []


async def test_a_method_that_is_never_forwarded_is_refused_before_it_costs_a_call() -> None:
    async with stage(env={"BFF_BUDGET": "on"}) as s:
        answer = await s.send("TRACE", ECHO, s.alice)
        assert answer.status_code == 405
        assert answer.json()["type"] == "urn:bff:problem:method-not-allowed"
        assert "GET" in answer.headers["allow"].split(", ")
        assert s.tenant.arrivals() == 0
        assert await s.metric("bff_upstream_calls", "forwarded") == 0
        assert await s.metric("bff_budget_wait_seconds_count", "forwarded") == 0


async def test_other_paths_are_not_forwarded(solo: Stage) -> None:
    for path in (
        "/",
        "/apix",
        "/eng/x",
        "/_sandbox/members",
        "/session/bootstrap/",
        "/ops/x",
        "/1/x",
    ):
        answer = await solo.get(path, solo.alice)
        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:bff:problem:not-found"
    assert solo.tenant.visits() == []


class TestPitfall16:
    async def test_pitfall_16_only_known_headers_pass(self, solo: Stage) -> None:
        dropped = {
            "x_forwarded_for": "1.2.3.4",
            "x-forwarded-for": "1.2.3.4",
            "x-forwarded-host": "evil.example",
            "x-forwarded-proto": "http",
            "forwarded": "for=1.2.3.4",
            "x-original-url": "/admin",
            "x-rewrite-url": "/admin",
            "x-http-method-override": "DELETE",
            "proxy-authorization": "Basic YTpi",
            "keep-alive": "timeout=5",
            "te": "trailers",
            "x-request-id": "12345678",
        }
        kept = {
            "nx-app-version": "4.0.901",
            "x-use-timezone": "true",
            "origin": "https://a.example",
        }
        answer = await solo.get(ECHO, solo.alice, headers={**dropped, **kept})
        headers = arrived(answer)
        assert not headers.keys() & dropped.keys()
        assert {name: [value] for name, value in kept.items()}.items() <= headers.items()
        assert headers["host"] == [solo.tenant.origin.removeprefix("http://")]
        assert "x-powered-by" not in answer.headers

    async def test_pitfall_16_what_connection_names_stays_here(self, solo: Stage) -> None:
        headers = {"connection": "Authorization, X-Use-Timezone", "x-use-timezone": "true"}
        got = arrived(await solo.get(ECHO, solo.alice, headers=headers))
        assert not got.keys() & {"authorization", "x-use-timezone", "connection"}

    async def test_pitfall_16_two_authorization_headers_are_refused(self, solo: Stage) -> None:
        for target in (ECHO, BOOTSTRAP, PROFILES, OF_ALICE):
            for values in ((solo.alice.token, solo.bob.token), (solo.alice.token,) * 2):
                lines = [f"Authorization: Bearer {value}" for value in values]
                status, _ = await raw_request(solo, f"GET {target} HTTP/1.1", *lines)
                assert status in (400, 401)
        assert solo.tenant.visits() == []


async def raw_request(stage: Stage, request_line: str, *lines: str) -> tuple[int, bytes]:
    """One request in so many words; the status of its answer, and all of it."""
    port = int(stage.gateways[0].origin.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    text = "\r\n".join((request_line, "Host: x", "Connection: close", *lines, "", ""))
    writer.write(text.encode("latin-1"))
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1]), answer


class TestPitfall17:
    @pytest.fixture
    async def elsewhere(self) -> AsyncIterator[tuple[str, list[Request]]]:
        """A host that must never see a token, and what it saw."""
        seen: list[Request] = []

        async def collect(request: Request) -> Response:
            seen.append(request)
            return PlainTextResponse("thanks")

        async with serving(Starlette(routes=[Route("/{rest:path}", collect)])) as origin:
            yield origin, seen

    async def test_pitfall_17_no_target_names_another_host(
        self, solo: Stage, elsewhere: tuple[str, list[Request]]
    ) -> None:
        origin, seen = elsewhere
        host = origin.removeprefix("http://")
        own = f"Authorization: Bearer {solo.alice.token}"
        for target in (
            f"{origin}/api/x",
            f"http://{host}{PROFILES}",
            f"//{host}/api/x",
            f"@{host}/api/x",
            f"/@{host}/api/x",
            f"/\\{host}/api/x",
            f"{host}:443",
            "*",
        ):
            status, _ = await raw_request(solo, f"GET {target} HTTP/1.1", own)
            assert status in (400, 404), target
        for method in ("CONNECT", "TRACE"):
            status, _ = await raw_request(solo, f"{method} /api/x HTTP/1.1", own)
            assert status >= 400
        assert (await solo.get(f"/api/@{host}/x", solo.alice)).status_code == 404
        assert [visit.path for visit in solo.tenant.visits()] == [f"/api/@{host}/x"]
        assert seen == []

    async def test_pitfall_17_a_redirect_to_another_host_is_not_followed(
        self, solo: Stage, elsewhere: tuple[str, list[Request]]
    ) -> None:
        origin, seen = elsewhere
        for to in (f"{origin}/collect", "http://169.254.169.254/latest/meta-data"):
            for status in (301, 302, 303, 307, 308):
                target = f"/api/public/_redirect/other?status={status}&to={to}"
                answer = await solo.get(target, solo.alice)
                assert (answer.status_code, answer.headers["location"]) == (status, to)
        assert seen == []

    async def test_pitfall_17_redirects_to_nexudus_stay_behind_the_gateway(
        self, solo: Stage
    ) -> None:
        for kind in ("own", "relative"):
            answer = await solo.get(f"/api/public/_redirect/{kind}", solo.alice)
            assert (answer.status_code, answer.headers["location"]) == (302, ECHO)

    async def test_pitfall_17_a_redirected_list_is_not_followed_either(
        self, elsewhere: tuple[str, list[Request]]
    ) -> None:
        origin, seen = elsewhere
        asked: list[str] = []

        async def nexudus(request: Request) -> Response:
            asked.append(request.url.path)
            own = str(request.base_url).rstrip("/")
            is_german = request.headers.get("accept-language") == "de"
            abroad = request.url.path == PROFILES and not is_german
            to = f"{origin}/x" if abroad else f"{own}/login?x=1"
            return Response(status_code=302, headers={"location": to})

        app = Starlette(routes=[Route("/{rest:path}", nexudus)])
        async with serving(app) as upstream, stage(env={"BFF_UPSTREAM": upstream}) as s:
            for target in (PROFILES, BOOTSTRAP):
                answer = await s.get(target, s.alice)
                assert (answer.status_code, answer.headers["location"]) == (302, f"{origin}/x")
            for target in (PROFILES, "/api/x"):
                answer = await s.get(target, s.alice, headers={"accept-language": "de"})
                assert answer.headers["location"] == "/login?x=1"
        assert asked == [PROFILES, PROFILES, PROFILES, "/api/x"]
        assert seen == []

    async def test_pitfall_17_an_id_that_is_none_never_builds_a_url(self, solo: Stage) -> None:
        own = f"Authorization: Bearer {solo.alice.token}"
        for ident in (
            "1@evil.example",
            "1:2",
            "..",
            "%2e%2e",
            "1%2f..",
            "1?x",
            "1#x",
            "\xb9",
            "1 ",
        ):
            target = f"/api/public/coworkers/published/{ident}/related"
            await raw_request(solo, f"GET {target} HTTP/1.1", own)
        hosts = {visit.header("host") for visit in solo.tenant.visits()}
        assert hosts == {solo.tenant.origin.removeprefix("http://")}
        assert await solo.metric("bff_cache_reads") == 0


class TestWhatCachesAreTold:
    async def test_an_authorised_answer_is_private(self, solo: Stage) -> None:
        for headers in (solo.alice.headers, {"authorization": "Basic YTpi"}, {"cookie": "a=b"}):
            answer = await solo.get(ECHO, headers=headers)
            assert answer.headers["cache-control"] == "private, no-cache"
            vary = answer.headers["vary"].split(", ")
            assert {"Authorization", "Origin", "Cookie"} <= set(vary)

    async def test_public_is_taken_back_for_who_is_authorised(self, solo: Stage) -> None:
        for sent, expected in (
            ("public, max-age=60", "private, max-age=60"),
            ("no-store", "no-store"),
            ("s-maxage=99", "private, no-cache"),
            ("nonsense=(", "no-store"),
        ):
            solo.tenant.fault(NoStore(sent), ECHO)
            answer = await solo.get(ECHO, solo.alice)
            assert answer.headers["cache-control"] == expected
            anonymous = await solo.get(ECHO)
            assert anonymous.headers["cache-control"] == sent
            assert "Authorization" in anonymous.headers["vary"]
            solo.tenant.release()

    async def test_an_answer_that_sets_a_cookie_is_private_for_anybody(self, solo: Stage) -> None:
        answer = await solo.get("/api/public/_cookies")
        assert answer.headers["cache-control"] == "private, no-cache"
        assert len(answer.headers.get_list("set-cookie")) == 2

    async def test_a_sign_in_is_never_kept(self, solo: Stage) -> None:
        form = b"grant_type=password&username=jane.doe@example.com&password=demo&totp="
        kind = {"content-type": "application/x-www-form-urlencoded", "client_id": "nexudus.portal"}
        for _ in range(2):
            answer = await solo.send("POST", "/api/token", headers=kind, content=form)
            assert answer.headers["cache-control"] == "no-store"
            token = answer.json()["access_token"]
            assert (await solo.get(PROFILES, headers=bearer(token))).status_code == 200
        assert solo.tenant.arrivals("/api/token") == 2
        assert solo.tenant.visits("/api/token")[0].header("client_id") == "nexudus.portal"


async def test_errors_of_nexudus_pass_as_they_are(solo: Stage) -> None:
    for effect in (
        Status(400, body='{"Message":"x: y","Errors":[]}'),
        Status(403),
        Status(409, retry_after=0),
        Status(500, body="boom", content_type="text/plain"),
        Status(503, retry_after=9),
    ):
        solo.tenant.fault(effect, ECHO)
        for member in (solo.alice, None):
            answer = await solo.get(ECHO, member)
            assert (answer.status_code, answer.text) == (effect.status, effect.body)
            assert answer.headers.get("retry-after") == (
                None if effect.retry_after is None else str(effect.retry_after)
            )
        solo.tenant.release()


async def test_401_of_an_anonymous_call_withdraws_nothing(solo: Stage) -> None:
    await solo.get(BOOTSTRAP, solo.alice)
    for headers in ({}, {"authorization": "Basic YTpi"}, bearer("garbage")):
        answer = await solo.get("/api/public/coworkers/published", headers=headers)
        assert answer.status_code == 401
    solo.tenant.forget_visits()
    await solo.get(BOOTSTRAP, solo.alice)
    assert solo.tenant.visits() == []


async def test_a_body_past_the_limit_is_a_413() -> None:
    async with stage(env={"BFF_MAX_BODY": "1000"}) as s:
        answer = await s.send("POST", ECHO, s.alice, content=b"x" * 1001)
        assert answer.status_code == 413
        assert answer.json()["type"] == "urn:bff:problem:body-too-large"
        assert (await s.send("POST", ECHO, s.alice, content=b"x" * 1000)).status_code == 200


async def test_a_coding_that_nexudus_chose_passes_untouched(solo: Stage) -> None:
    answer = await solo.get("/api/public/_gzip", solo.alice)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json() == {"Encoded": True}


async def test_a_large_answer_streams_through_whole(solo: Stage) -> None:
    body = orjson.dumps({"x": "y" * 3_000_000}).decode()
    solo.tenant.fault(Override(body), ECHO)
    assert (await solo.get(ECHO, solo.alice)).text == body


async def test_metrics_count_what_is_forwarded(solo: Stage) -> None:
    await solo.get(ECHO, solo.alice)
    await solo.get("/api/nothing", solo.alice)
    assert await solo.metric("bff_upstream_calls", "forwarded", "2xx") == 1
    assert await solo.metric("bff_upstream_calls", "forwarded", "4xx") == 1
    assert await solo.metric("bff_requests", "forwarded") == 2
