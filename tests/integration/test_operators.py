"""Who may do what as an operator, and that it is done everywhere and written down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from redis.exceptions import OutOfMemoryError
from structlog.typing import EventDict

from bff.cache.store import Refused
from bff.observe import logs
from tests.integration.test_explanations import explained, operate, told
from tests.support.gateway import (
    BOOTSTRAP,
    OPS_TOKEN,
    PROFILES,
    Stage,
    bearer,
    related,
    stage,
    until,
)

READER = "operator-who-may-only-read"
ACTOR = "operator-who-may-act-too"
SEVERAL = {"BFF_OPS_TOKENS": f"carl:read={READER},jane:act={ACTOR}"}
ACTS = {
    "purge": b'{"user":7001}',
    "sharing": b'{"scope":"coworker"}',
    "refreshes": b'{"paused":false}',
    "log-level": b'{"level":"info"}',
}


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EventDict]]:
    """What is logged of operators' actions, and no level that a test sets outlives it."""
    monkeypatch.setattr("bff.observe.logs.Leveled.least", 0)
    with structlog.testing.capture_logs() as captured:
        yield captured


def deeds(lines: list[EventDict]) -> list[tuple[Any, ...]]:
    """Who did what where, and what came of it."""
    names = ("operator", "action", "what", "outcome")
    return [
        tuple(line[name] for name in names) for line in lines if line["event"] == "operator_action"
    ]


async def test_pitfall_20_whoever_may_only_read_changes_nothing(lines: list[EventDict]) -> None:
    async with stage(env=SEVERAL) as s:
        await s.get(BOOTSTRAP, s.alice)
        for action, body in ACTS.items():
            answer = await s.send(
                "POST", f"/ops/api/{action}", headers=bearer(READER), content=body
            )
            assert answer.status_code == 403
            assert answer.json()["type"] == "urn:bff:problem:role-too-small"
            assert "carl may look" in answer.json()["detail"]
            answer = await s.send("POST", f"/ops/api/{action}", headers=bearer("x"), content=body)
            assert answer.status_code == 401
        s.tenant.forget_visits()
        await s.get(BOOTSTRAP, s.alice)
        assert s.tenant.arrivals() == 0
        assert deeds(lines) == [("carl", action, "", "refused") for action in ACTS]
        for token, name, role in (
            (READER, "carl", "read"), (ACTOR, "jane", "act"), (OPS_TOKEN, "ops", "act"),
        ):  # fmt: skip
            answer = await s.get("/ops/api/whoami", headers=bearer(token))
            assert answer.json() == {"name": name, "role": role}
            assert answer.headers["cache-control"] == "no-store"
            assert (await s.get("/metrics", headers=bearer(token))).status_code == 200
            readiness = await s.get("/readyz", headers=bearer(token))
            assert "spaces" in readiness.json()["checks"]


async def test_what_is_done_is_written_down_with_who_did_it(lines: list[EventDict]) -> None:
    async with stage(env=SEVERAL) as s:
        digest = (await explained(s, PROFILES, s.alice))["request"]["digest"]
        lines.clear()
        for action, body in (*ACTS.items(), ("purge", b'{"token":"%s"}' % digest.encode())):
            answer = await s.send("POST", f"/ops/api/{action}", headers=bearer(ACTOR), content=body)
            assert answer.status_code == 200, answer.text
        refused = await s.send(
            "POST", "/ops/api/purge", headers=bearer(ACTOR), content=b'{"user":0}'
        )
        assert refused.status_code == 400
        assert deeds(lines) == [
            ("jane", "purge", "user 7001", "done"),
            ("jane", "sharing", "related lists for each coworker", "done"),
            ("jane", "refreshes", "resumed", "done"),
            ("jane", "log-level", "info", "done"),
            ("jane", "purge", f"token {digest}", "done"),
        ]

        async def on_the_time_line() -> bool:
            figures = (await s.get("/ops/api/snapshot", headers=bearer(READER))).json()
            return "jane: purge user 7001" in [each["text"] for each in figures["events"]]

        await until(on_the_time_line)


async def test_pitfall_6_no_token_is_in_an_explanation_or_its_line(
    lines: list[EventDict],
) -> None:
    async with stage(env=SEVERAL) as s:
        for target in (
            BOOTSTRAP, related(101), "/api/public/x", "/nowhere", "/api/public/canary-of-a-path",
            "/canary-of-a-path", "/api//canary-of-a-path", "/ops/canary-of-a-path",
        ):  # fmt: skip
            story = await explained(s, f"{target}?secret=canary-of-a-query", s.alice)
            answer = await s.get(f"{target}?_shape=Id", s.alice)
            name = answer.headers["x-request-id"]
            if target in (BOOTSTRAP, related(101)):
                story |= await told(s, {"request_id": name})
            for secret in (s.alice.token, s.alice.canary, "canary-of-a-query", "jane.doe"):
                assert secret not in repr(story)
        written = repr([line for line in lines if line["event"] == "operator_action"])
        for secret in (s.alice.token, "canary", OPS_TOKEN, READER, ACTOR):
            assert secret not in written
        digest = (await explained(s, PROFILES, s.alice))["request"]["digest"]
        told_of = [what for _, _, what, _ in deeds(lines) if not what.startswith("request ")]
        assert told_of == [
            BOOTSTRAP, "forwarded", "forwarded", "unmatched", "forwarded", "unmatched", "", "own",
            f"{PROFILES} {digest}",
        ]  # fmt: skip


async def test_a_purge_of_all_spaces_is_asked_for_by_name() -> None:
    async with stage(hosts=("alpha.test", "beta.test")) as s:

        async def read() -> list[int]:
            for tenant in s.tenants:
                tenant.forget_visits()
                await s.get(PROFILES, tenant.alice, headers={"host": tenant.host})
            return [tenant.arrivals() for tenant in s.tenants]

        assert await read() == [1, 1]
        names = [tenant.origin.partition("//")[2] for tenant in s.tenants]
        for unclear in (
            {"everything": True},
            {"everything": True, "space": names[0], "spaces": "all"},
            {"everything": True, "spaces": names},
            {"everything": False, "spaces": "all"},
        ):
            assert (await operate(s, "purge", unclear)).status_code == 400
        assert await read() == [0, 0]
        done = await operate(s, "purge", {"everything": True, "space": names[1]})
        assert (done.json()["space"], done.json()["spaces"]) == (names[1], [names[1]])
        assert await read() == [0, 1]
        done = await operate(s, "purge", {"everything": True, "spaces": "all"})
        assert (done.json()["space"], done.json()["spaces"]) == ("", names)
        assert await read() == [1, 1]


async def test_refreshes_are_paused_and_requests_remembered_in_every_process(
    pair: Stage, lines: list[EventDict]
) -> None:
    for via in (0, 1):
        await pair.get(BOOTSTRAP, pair.alice, via=via)
    await operate(pair, "refreshes", {"paused": True})
    await operate(pair, "log-level", {"level": "debug"})

    async def heard() -> bool:
        story = await explained(pair, PROFILES, pair.alice, via=1)
        return bool(story["space"]["refreshes_paused"])

    await until(heard)
    pair.clock.advance(70)
    pair.tenant.forget_visits()
    for via in (0, 1):
        story = await explained(pair, PROFILES, pair.alice, via=via)
        assert "operators have paused refreshes" in story["answer"]["sentence"]
        stale = await pair.get(PROFILES, pair.alice, via=via)
        assert stale.status_code == 200
        await pair.quiet()
    assert pair.tenant.arrivals() == 0
    story = await told(pair, {"request_id": stale.headers["x-request-id"]}, via=0)
    assert story["process"] not in {"", (await process_of_the_first(pair))}
    assert [each["outcome"] for each in story["documents"]] == ["stale"]
    assert story["documents"][0]["age_s"] == 70
    assert logs.level() == "debug"
    await operate(pair, "refreshes", {"paused": False})
    await pair.get(PROFILES, pair.alice)
    await pair.quiet()
    assert pair.tenant.arrivals(token=pair.alice.token) == 1


async def process_of_the_first(s: Stage) -> str:
    """The name of the first process, which serves this very request."""
    answer = await s.get(PROFILES, s.bob)
    story = await told(s, {"request_id": answer.headers["x-request-id"]})
    name: str = story["process"]
    return name


async def test_a_request_that_nobody_remembers(
    solo: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.ops.fleet.shared.ASK_S", 0.01)
    forgotten = await operate(solo, "explain", {"request_id": "nobody-asked-this"})
    assert forgotten.status_code == 404
    assert forgotten.json()["type"] == "urn:bff:problem:unknown-request"
    for unclear in ("short", "x" * 65, "a b c d e f", 12345678, None):
        refused = await operate(solo, "explain", {"request_id": unclear})
        assert refused.status_code == 400


async def test_what_cannot_reach_the_fleet_is_refused(lines: list[EventDict]) -> None:
    async with stage() as s:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("bff.cache.guarded.GuardedStore.available", property(lambda _: False))
            answer = await operate(s, "refreshes", {"paused": True})
        assert answer.status_code == 503
        assert "shared store is away" in answer.json()["detail"]
        assert deeds(lines)[-1] == ("ops", "refreshes", "paused", "failed")


async def test_a_full_store_is_not_said_to_be_away(lines: list[EventDict]) -> None:
    async with stage() as s:

        async def full(*_: object) -> list[object]:
            raise Refused("OutOfMemoryError") from OutOfMemoryError("OOM")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("bff.cache.remote.RemoteStore.run", full)
            answer = await operate(s, "log-level", {"level": "info"})
        assert answer.status_code == 503
        assert "takes nothing (full, or read-only: OutOfMemoryError)" in answer.json()["detail"]
        assert "away" not in answer.json()["detail"]
        assert deeds(lines)[-1] == ("ops", "log-level", "info", "failed")


@pytest.mark.parametrize(
    ("status", "cache", "words"),
    [(200, "profiles=miss:upstream", "Nexudus was asked"), (401, "refused", "passed on")],
)
async def test_what_was_decided_is_told(solo: Stage, status: int, cache: str, words: str) -> None:
    token = solo.alice.token if status == 200 else "nobody-has-this-token"
    answer = await solo.get(PROFILES, headers=bearer(token))
    story = await told(solo, {"request_id": answer.headers["x-request-id"]})
    assert (story["status"], story["cache"]) == (status, cache)
    assert words in story["sentence"]
    assert story["route"] == PROFILES
