"""Pitfall 19: what a shared cache in front of the gateway keeps of its answers, which is nothing.

Two members, Jane and Carlos, each with data that nobody else has.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.sandbox.effects import Effect, Hang, Html200, NoStore, Status, Truncate
from bff.sandbox.faults import Match, Rule
from tests.support.eager_cache import (
    APP,
    CARLOS,
    JANE,
    MAX_BODY,
    OPS_TOKEN,
    SECRET,
    Call,
    Member,
    Stage,
    assert_kept_out,
    directives,
    eager_cache,
    signed_in,
    staged,
)
from tests.support.nginx import HOW_TO_GET_IT, find_nginx

pytestmark = [
    pytest.mark.skipif(find_nginx() is None, reason=HOW_TO_GET_IT),
    pytest.mark.asyncio(loop_scope="module"),
]

PROFILES = "/api/public/coworkers/profiles"
PUBLISHED = "/api/public/coworkers/published"
BOOTSTRAP = "/session/bootstrap"
ECHO = "/api/public/_echo"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with staged(tmp_path_factory.mktemp("nginx")) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def stage(whole: Stage) -> AsyncIterator[Stage]:
    """New tokens, an empty gateway; nginx may keep what it was wrongly given."""
    whole.fail()
    body = Call("/ops/api/purge", "POST", body=b'{"everything":true}')
    assert (await whole.ask(body, OPS_TOKEN)).status_code == 200
    jane, carlos = (signed_in(whole.sandbox, user_id) for user_id in (JANE, CARLOS))
    yield replace(whole, jane=jane, carlos=carlos)
    whole.sandbox.holds.release()


VARYING = [(b"vary", b"Authorization")]
HUGE = b"x" * (MAX_BODY + 1)
ECHOED = Call(ECHO)
ANSWERS: dict[str, tuple[int, Call, Effect | None]] = {
    "bootstrap": (200, Call(BOOTSTRAP), None),
    "bootstrap, hinted": (200, Call(f"{BOOTSTRAP}?coworkerId={{id}}"), None),
    "profiles": (200, Call(PROFILES), None),
    "profiles, shaped": (200, Call(f"{PROFILES}?_shape=User.Email"), None),
    "profiles, compressed": (200, Call(PROFILES, headers={"Accept-Encoding": "br"}), None),
    "profiles, from the app": (200, Call(PROFILES, headers={"Origin": APP}), None),
    "profiles, headers only": (200, Call(PROFILES, "HEAD"), None),
    "related": (200, Call(f"{PUBLISHED}/{{id}}/related"), None),
    "related, of nobody": (404, Call(f"{PUBLISHED}/114/related"), None),
    "passed": (200, ECHOED, None),
    "passed, another list": (200, Call(f"{PROFILES}/current/benefits"), None),
    "passed, near a list": (200, Call(f"{PROFILES}?_shape=&page=1"), None),
    "passed, from the app": (200, Call(ECHO, headers={"Origin": APP}), None),
    "passed, written": (200, Call(ECHO, "POST", body=b"{}"), None),
    "passed, public": (200, ECHOED, NoStore("public, max-age=60, s-maxage=60")),
    "passed, not found": (404, Call("/api/public/nothing"), None),
    "passed, refused": (401, ECHOED, Status(401)),
    "passed, forbidden": (403, ECHOED, Status(403)),
    "passed, throttled": (409, ECHOED, Status(409, retry_after=0)),
    "passed, failed": (500, ECHOED, Status(500)),
    "passed, elsewhere": (302, Call("/api/public/_redirect/own"), None),
    "refused": (401, Call(PROFILES), Status(401)),
    "forbidden": (403, Call(PROFILES), Status(403)),
    "throttled": (503, Call(PROFILES), Status(409, retry_after=0)),
    "bad shape": (400, Call(f"{PROFILES}?_shape=a..b"), None),
    "bad parameter": (400, Call(f"{BOOTSTRAP}?shape=User"), None),
    "no route": (404, Call("/nothing"), None),
    "no target": (404, Call("/api//public"), None),
    "no method": (405, Call(BOOTSTRAP, "POST"), None),
    "too large": (413, Call(ECHO, "POST", body=HUGE), None),
    "unusable": (502, Call(PROFILES), Html200()),
    "down": (503, Call(PROFILES), Truncate()),
}


@pytest.mark.unmeasured
@pytest.mark.parametrize("kind", ANSWERS)
async def test_pitfall_19_no_answer_to_a_member_is_kept(stage: Stage, kind: str) -> None:
    status, call, effect = ANSWERS[kind]
    if effect is not None:
        stage.fail(Rule(effect))
    for member in (stage.jane, stage.jane, stage.carlos):
        answer = await stage.ask_as(call, member)
        assert answer.status_code == status
        assert_kept_out(answer)
    stranger = await stage.ask(call, None)
    assert not stage.jane.is_in(stranger)
    assert not stage.carlos.is_in(stranger)
    # What the stranger was told may have been kept, for strangers.
    assert_kept_out(await stage.ask_as(call, stage.jane))


async def test_pitfall_19_a_bootstrap_in_part_is_not_kept(stage: Stage) -> None:
    stage.fail(Rule(Status(500), Match(path_prefix=PUBLISHED)))
    for member in (stage.jane, stage.carlos):
        answer = await stage.ask_as(Call(BOOTSTRAP), member)
        assert (answer.status_code, answer.headers["bff-complete"]) == (200, "false")
        assert_kept_out(answer)


async def test_pitfall_19_no_answer_that_is_too_late_is_kept(tmp_path: Path) -> None:
    patience = {"BFF_DEADLINE_S": "0.2", "BFF_STREAM_TIMEOUT_S": "0.2"}
    async with staged(tmp_path, **patience) as stage:
        stage.fail(Rule(Hang()))
        for call in (Call(BOOTSTRAP), ECHOED):
            for member in (stage.jane, stage.carlos):
                answer = await stage.ask_as(call, member)
                assert answer.status_code == 504
                assert_kept_out(answer)


@pytest.mark.parametrize("target", [BOOTSTRAP, PROFILES, f"{PUBLISHED}/101/related"])
async def test_pitfall_19_a_304_is_kept_for_nobody(stage: Stage, target: str) -> None:
    jane = Call(target, headers={"If-None-Match": await validator(stage, target, stage.jane)})
    carlos = Call(target, headers={"If-None-Match": await validator(stage, target, stage.carlos)})
    assert jane != carlos
    for call, member in ((jane, stage.jane), (carlos, stage.carlos), (jane, stage.jane)):
        answer = await stage.ask_as(call, member)
        assert (answer.status_code, answer.content) == (304, b"")
        assert_kept_out(answer)
    for call in (Call(target), jane):
        answer = await stage.ask_as(call, stage.carlos)
        assert answer.status_code == 200
        assert_kept_out(answer)


async def validator(stage: Stage, target: str, member: Member) -> str:
    return (await stage.ask_as(Call(target), member)).headers["etag"]


async def test_pitfall_19_no_sign_in_is_kept(stage: Stage) -> None:
    tokens = set()
    for member in (stage.jane, stage.carlos, stage.jane):
        form = {"grant_type": "password", "username": member.email, "password": "demo"}
        answer = await stage.client.post("/api/token", data=form)
        assert answer.status_code == 200
        assert_kept_out(answer)
        assert "no-store" in directives(answer)
        tokens.add(answer.json()["access_token"])
    assert len(tokens) == 3


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_pitfall_19_no_token_is_kept(stage: Stage, method: str) -> None:
    """Nor is one handed out twice: the exchange of a token that is spent asks Nexudus again."""
    admin = signed_in(stage.sandbox, 7004)
    refresh = Call("/api/sys/users/token/refresh", method)
    one_time = []
    for member in (stage.jane, stage.carlos):
        answer = await stage.ask_as(refresh, member)
        assert_kept_out(answer)
        assert "no-store" in directives(answer)
        one_time.append(answer.json()["Value"])
    answer = await stage.ask(Call("/api/public/coworkers/101/impersonate"), admin.token)
    assert_kept_out(answer)
    assert "no-store" in directives(answer)
    one_time.append(answer.json()["token"])
    for token in one_time:
        exchange = Call(f"/api/sys/users/exchange?token={token}", method)
        for status in (200, 401):
            answer = await stage.ask(exchange, None)
            assert answer.status_code == status
            assert_kept_out(answer)
            assert "no-store" in directives(answer)


async def test_pitfall_19_no_answer_to_a_webhook_is_kept(stage: Stage) -> None:
    body = b'[{"Action":"updated"}]'
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    signed = {"X-Nexudus-Hook-Signature": signature}
    for headers, status in ((signed, 204), (signed, 204), ({}, 401), (signed, 204)):
        call = Call("/hooks/nexudus", "POST", headers=headers, body=body)
        answer = await stage.ask(call, None)
        assert answer.status_code == status
        assert_kept_out(answer)


@pytest.mark.parametrize("target", ["/metrics", "/ops/api/purge"])
async def test_pitfall_19_no_answer_to_an_operator_is_kept(stage: Stage, target: str) -> None:
    posted = target.startswith("/ops/")
    call = Call(target, "POST" if posted else "GET", body=b'{"everything":true}' if posted else b"")
    for token, status in ((OPS_TOKEN, 200), (stage.jane.token, 401), (None, 401), (OPS_TOKEN, 200)):
        answer = await stage.ask(call, token)
        assert answer.status_code == status
        assert_kept_out(answer)


@pytest.mark.parametrize("target", [BOOTSTRAP, PROFILES, ECHO, "/api/token", "/nothing"])
async def test_pitfall_19_no_preflight_is_kept(stage: Stage, target: str) -> None:
    for origin, status in ((APP, 200), ("https://evil.example", 400)):
        headers = {
            "Origin": origin,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        }
        answer = await stage.ask(Call(target, "OPTIONS", headers=headers), None)
        assert answer.status_code == status
        assert_kept_out(answer, "OPTIONS")
        allowed = {"access-control-allow-origin": APP} if origin == APP else {}
        assert allowed.items() <= answer.headers.items()
        assert "evil" not in answer.headers.get("access-control-allow-origin", "")


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ([(b"cache-control", b"public, max-age=60")], True),
        ([], True),
        (VARYING, False),
        ([(b"cache-control", b"private")], False),
        ([(b"cache-control", b"no-store")], False),
    ],
)
async def test_the_same_nginx_keeps_what_does_not_forbid_it(
    tmp_path: Path, headers: list[tuple[bytes, bytes]], kept: bool
) -> None:
    """So that the tests above can fail: an answer without their headers reaches the other member.

    `Vary: Authorization` alone keeps the members apart, and still leaves copies in the cache.
    """

    async def unsafe(request: Request) -> Response:
        answer = Response(request.headers["authorization"], status_code=401)
        answer.raw_headers.extend(headers)
        return answer

    async with eager_cache(Starlette(routes=[Route("/api/x", unsafe)]), tmp_path) as asking:
        answers = [
            await asking.get("/api/x", headers={"Authorization": name})
            for name in ("jane", "carlos", "carlos")
        ]
    assert [answer.text for answer in answers[1:]] == ["jane" if kept else "carlos"] * 2
    assert (answers[1].headers["x-cache"] == "HIT") is kept
    assert (answers[2].headers["x-cache"] == "HIT") is (kept or headers == VARYING)
