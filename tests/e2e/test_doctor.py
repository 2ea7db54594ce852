"""`bff doctor` before real servers, well and unwell: what it finds, and what it never shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bff.doctor import Result, worst
from bff.doctor.shapes import PROFILES_CASES, RELATED_CASES
from bff.resources import PROFILES, RELATED
from bff.sandbox.effects import Effect, Html200, Override, Status
from bff.shape import parse, project
from tests.e2e.commands import bff
from tests.e2e.doctor_stage import (
    NOBODY,
    SECRET,
    TOKEN,
    BriskClock,
    Nexudus,
    findings,
    results,
    simulated,
)
from tests.support.raw_upstream import Peer, answering, upstream
from tests.support.redis_server import RedisServer
from tests.support.serving import serving
from tests.support.tls import TestTls


@pytest.fixture
async def nexudus() -> AsyncIterator[Nexudus]:
    async with simulated() as running:
        yield running


# --- the command


async def test_all_is_well(own_redis: RedisServer) -> None:
    own_redis.config("maxmemory", "64mb")
    own_redis.config("maxmemory-policy", "allkeys-lru")
    async with simulated(throttle=True) as nexudus:
        done = await asyncio.to_thread(
            bff,
            "doctor",
            BFF_UPSTREAM=nexudus.origin,
            BFF_REDIS_URL=own_redis.url,
            BFF_SECRET=SECRET,
            BFF_OPS_TOKEN="o" * 16,
            BFF_WEBHOOK_SECRET="w" * 16,
            BFF_DOCTOR_TOKEN=TOKEN,
        )
        assert nexudus.inside.throttle.refused == 0
    assert done.returncode == 0
    assert done.stderr == ""
    assert "fault" not in done.stdout
    assert "warning" not in done.stdout
    assert f"{len(PROFILES_CASES)} shapes give the same here" in done.stdout
    assert f"{len(RELATED_CASES)} shapes give the same here" in done.stdout
    assert TOKEN not in done.stdout


def test_faults_are_told_to_programs_too() -> None:
    variables = {"BFF_REDIS_URL": "redis://:hidden@127.0.0.1:9/0", "BFF_SECRET": SECRET}
    done = bff("doctor", "--json", "--token", TOKEN, BFF_UPSTREAM=NOBODY, **variables)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["result"] == "fault"
    faults = {each["check"] for each in told["findings"] if each["result"] == "fault"}
    assert faults == {"Nexudus 127.0.0.1:9", "Redis"}
    assert all(each["remedy"] for each in told["findings"] if each["result"] != "ok")
    assert TOKEN not in done.stdout + done.stderr
    assert "hidden" not in done.stdout + done.stderr


@pytest.mark.unmeasured
async def test_warnings_do_not_fail(nexudus: Nexudus) -> None:
    done = await asyncio.to_thread(bff, "doctor", BFF_UPSTREAM=nexudus.origin)
    assert done.returncode == 0
    assert "warning" in done.stdout
    assert "no member's token" in done.stdout


def test_faults_of_the_configuration_are_findings() -> None:
    done = bff("doctor", "--json", BFF_UPSTREAM="x.y/z", BFF_PORT="no")
    assert done.returncode == 1
    told = json.loads(done.stdout)["findings"]
    assert {(each["check"], each["result"]) for each in told} == {
        ("BFF_UPSTREAM", "fault"),
        ("BFF_PORT", "fault"),
    }


async def test_workers_that_cannot_share_their_cache_are_a_fault() -> None:
    found = await findings(NOBODY, BFF_WORKERS="2")
    assert found["BFF_WORKERS"].result is Result.FAULT


# --- shapes


async def test_a_broken_shape_is_a_fault_told_by_path_and_not_by_value(nexudus: Nexudus) -> None:
    listed = {
        "User": {"Id": 7001, "FullName": "canary-name", "Email": "canary@mail", "Active": True},
        "DefaultBusiness": {"Id": 5001},
        "Profiles": [{"Id": 101, "FullName": "canary-name", "IsDefaultProfile": True}],
    }
    nexudus.meets(Override(json.dumps(listed)), PROFILES.path)
    found = await findings(nexudus.origin, TOKEN)
    finding = found["_shape on profiles"]
    assert worst(found.values()) is Result.FAULT
    assert "User.Active is missing here" in finding.detail
    assert "Profiles[].IsDefaultProfile is missing here" in finding.detail
    assert "canary" not in repr(found)
    assert results(found)["_shape on related"] == "ok"


async def test_what_changes_between_two_answers_is_no_fault_of_the_shapes() -> None:
    asked = 0

    async def profiles(request: Request) -> JSONResponse:
        nonlocal asked
        asked += 1
        document = {
            "User": {"Id": 7, "FullName": f"name {asked}", "Email": "a@b", "AccessToken": "other"},
            "DefaultBusiness": {"Id": 1, "Seen": asked},
            "Profiles": [{"Id": 1, "FullName": "n", "Active": False}],
        }
        return JSONResponse(project(document, parse(request.query_params.get("_shape", ""))))

    async with serving(Starlette(routes=[Route(PROFILES.path, profiles)])) as origin:
        found = await findings(origin, TOKEN)
    assert results(found)["_shape on profiles"] == "ok"
    assert "no active profile" in found["_shape on related"].detail
    assert found["member token"].result is Result.WARNING  # its AccessToken is another one


async def test_a_difference_that_nexudus_does_not_document_is_a_warning() -> None:
    async def profiles(request: Request) -> JSONResponse:
        document: dict[str, object] = {
            "User": {"Id": 7, "FullName": "n"},
            "DefaultBusiness": {"Id": 1},
            "Profiles": [],
        }
        shape = request.query_params.get("_shape", "")
        kept = project(document, parse(shape))
        assert isinstance(kept, dict)
        return JSONResponse(kept | ({"NotAField": None} if "NotAField" in shape else {}))

    async with serving(Starlette(routes=[Route(PROFILES.path, profiles)])) as origin:
        found = await findings(origin, TOKEN)
    assert found["_shape on profiles"].result is Result.OK
    finding = found["_shape on profiles, odd paths"]
    assert finding.result is Result.WARNING
    assert finding.detail.endswith(": NotAField is missing here")


async def test_a_refused_token_is_a_fault(nexudus: Nexudus) -> None:
    found = await findings(nexudus.origin, "garbage")
    assert found["member token"].result is Result.FAULT
    assert "401" in found["member token"].detail


async def test_a_token_that_cannot_be_one_is_not_sent(nexudus: Nexudus) -> None:
    found = await findings(nexudus.origin, "gar\nbage é")
    assert found["member token"].result is Result.FAULT
    assert [visit.path for visit in nexudus.inside.calls.log()] == [
        "/api/public/businesses/current"
    ]


@pytest.mark.parametrize(
    ("user_id", "reason"), [(7010, "not published (404)"), (7007, "no active profile")]
)
async def test_a_member_outside_of_the_directory_has_nothing_to_compare(
    nexudus: Nexudus, user_id: int, reason: str
) -> None:
    found = await findings(nexudus.origin, nexudus.inside.tokens.mint(user_id))
    assert found["_shape on profiles"].result is Result.OK
    assert found["_shape on related"].result is Result.WARNING
    assert reason in found["_shape on related"].detail


async def test_a_throttle_is_waited_for(nexudus: Nexudus) -> None:
    nexudus.meets(Status(409, retry_after=2), PROFILES.path, count=2)
    clock = BriskClock()
    found = await findings(nexudus.origin, TOKEN, clock)
    assert found["_shape on profiles"].result is Result.OK
    assert clock.pauses.count(2.0) == 2
    assert clock.pauses.count(0.12) >= len(PROFILES_CASES) + len(RELATED_CASES) + 4


async def test_a_throttle_without_an_end_is_told(nexudus: Nexudus) -> None:
    nexudus.meets(Status(409), PROFILES.path)
    found = await findings(nexudus.origin, TOKEN)
    assert found["member token"].detail == "Nexudus is throttling (409)"


async def test_an_answer_that_is_no_document_is_told(nexudus: Nexudus) -> None:
    path = RELATED.path.replace("{id}", "101")
    nexudus.meets(Status(200, body="{}"), path, count=1)
    found = await findings(nexudus.origin, TOKEN)
    assert "another form" in found["_shape on related"].detail
    nexudus.meets(Html200(), PROFILES.path)
    found = await findings(nexudus.origin, TOKEN)
    assert found["member token"].detail == "Nexudus answers 200 without JSON"


# --- Nexudus


async def test_nexudus_down_is_a_fault_that_names_the_step() -> None:
    found = await findings(NOBODY, TOKEN)
    finding = found["Nexudus 127.0.0.1:9"]
    assert finding.result is Result.FAULT
    assert finding.detail == f"TCP: no connection to {NOBODY}: Connection refused"
    assert "member token" not in found


async def test_a_silent_nexudus_is_a_fault() -> None:
    async def silent(peer: Peer) -> None:
        await peer.closed()

    async with upstream(silent) as running:
        found = await findings(running.space.origin.url, BFF_DEADLINE_S="0.3")
    finding = found[f"Nexudus {running.space.name}"]
    assert finding.result is Result.FAULT
    assert finding.detail.startswith("connects, but does not answer")


async def test_an_untrusted_certificate_is_a_fault(tmp_path: Path) -> None:
    async with upstream(answering(b"{}"), TestTls(tmp_path).server) as running:
        found = await findings(running.space.origin.url)
    finding = found[f"Nexudus {running.space.name}"]
    assert finding.result is Result.FAULT
    assert finding.detail.startswith("TLS: its certificate is refused")


@pytest.mark.parametrize(
    ("effect", "result", "words"),
    [
        (Status(401), "ok", "answers 401 in"),
        (Status(503), "warning", "answers 503"),
        (Status(409, retry_after=1), "warning", "throttled"),
        (Html200(), "warning", "without JSON"),
    ],
)
async def test_any_answer_shows_that_nexudus_is_there(
    nexudus: Nexudus, effect: Effect, result: str, words: str
) -> None:
    nexudus.meets(effect, "/api/public/businesses/current")
    found = await findings(nexudus.origin)
    (finding,) = (each for check, each in found.items() if check.startswith("Nexudus"))
    assert finding.result.value == result
    assert words in finding.detail


@pytest.mark.parametrize(
    ("year", "age", "result"), [(2001, b"", "fault"), (2001, b"x", None), (0, b"", None)]
)
async def test_the_clock_is_compared_with_that_of_nexudus(
    year: int, age: bytes, result: str | None
) -> None:
    date = b"\r\nDate: Sat, 21 Nov %d 20:00:00 GMT" % year if year else b""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json" + date
    head += b"\r\nAge: " + age if age else b""
    async with upstream(answering(b"{}", head=head)) as running:
        found = await findings(running.space.origin.url)
    assert results(found).get(f"clock against Nexudus {running.space.name}") == result
