"""Traces of a whole gateway, as a collector on a socket receives them."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bff.sandbox.effects import Status
from tests.integration.test_answers_before_the_store import Saves
from tests.integration.test_pitfalls import full_run
from tests.support import fair_time
from tests.support.collector import Collector, Seen, collector
from tests.support.gateway import BOOTSTRAP, OPS_TOKEN, PROFILES, Member, Stage, bearer, stage

PAGE = Path(__file__).parents[2] / "docs" / "observability.md"
ECHO = "/api/public/_echo"
TRACED = {"BFF_TRACES": "on"}


def parent(trace: str, *, sampled: bool = True) -> dict[str, str]:
    """The headers of a caller whose span is `b…b` of a trace `x…x`."""
    return {"traceparent": f"00-{trace * 32}-{'b' * 16}-0{int(sampled)}", "tracestate": "v=1"}


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    """Where the spans of gateways go that are opened within the test."""
    async with collector() as opened:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", opened.origin)
        yield opened


def told(span: Seen, *names: str) -> tuple[object, ...]:
    return tuple(span.told.get(name) for name in names)


async def test_a_cold_bootstrap_is_one_tree_in_its_callers_trace(
    redis_url: str, receiver: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(redis_url, env=TRACED) as s:
        answer = await s.get(BOOTSTRAP, s.alice, headers=parent("a"))
        visits = {visit.path: visit.header("traceparent") for visit in s.tenant.visits()}
        states = {visit.header("tracestate") for visit in s.tenant.visits()}
        space = s.tenant.origin.removeprefix("http://")
    assert answer.status_code == 200
    tree = receiver.tree("a" * 32)
    # Which scripts the budget and the leadership run, and when, is theirs to say. The related list
    # of a session that begins is looked for with the turn to fetch it.
    assert [line for line in tree if not line.endswith("redis.run")] == [
        "GET /session/bootstrap",
        *("  cache.find", "    redis.load"),
        *(
            "  flight.wait",
            "    flight",
            "      cache.keep",
            "        redis.save",
            "      upstream.call",
        )
        * 2,
    ]
    root = receiver.one("GET /session/bootstrap")
    assert (root.parent, root.kind, root.failed) == ("b" * 16, "server", False)
    assert root.told == {
        "http.request.method": "GET",
        "http.route": BOOTSTRAP,
        "http.response.status_code": 200,
        "bff.space": space,
        "bff.cache": "profiles=miss:upstream related=miss:upstream",
        "bff.request_id": answer.headers["x-request-id"],
    }
    assert {span.told["bff.space"] for span in receiver.spans} == {space}
    lists, related_lists = receiver.named("upstream.call")
    assert told(lists, "bff.route", "bff.reason", "bff.outcome", "http.response.status_code") == (
        *("profiles", "interactive", "2xx", 200),
    )
    assert related_lists.told["bff.route"] == "related"
    found = receiver.named("cache.find")[0]
    assert told(found, "bff.resources", "bff.tiers", "bff.outcome") == (
        *(["profiles", "proof"], ["none", "none"], "miss"),
    )
    assert {told(span, "bff.flight") for span in receiver.named("flight.wait")} == {("led",)}
    # Nexudus is told of the call's own span, and of nothing that the client wrote but its state.
    assert visits[PROFILES] == f"00-{'a' * 32}-{lists.ident}-01"
    assert set(visits.values()) == {
        f"00-{'a' * 32}-{call.ident}-01" for call in (lists, related_lists)
    }
    assert states == {"v=1"}
    line = next(line for line in capsys.readouterr().out.splitlines() if BOOTSTRAP in line)
    assert "a" * 32 in line


async def test_who_joins_a_flight_is_linked_to_its_leaders_call(receiver: Collector) -> None:
    async with stage(env=TRACED) as s:
        s.tenant.hold(PROFILES)
        first = asyncio.create_task(s.get(PROFILES, s.alice, headers=parent("a")))
        await s.tenant.held()
        second = asyncio.create_task(s.get(PROFILES, s.alice, headers=parent("c")))
        await s.waiting(2)
        s.tenant.release()
        assert {(await first).status_code, (await second).status_code} == {200}
        assert s.tenant.arrivals(PROFILES) == 1
    [call] = receiver.named("upstream.call")
    assert call.trace == "a" * 32
    led, joined = sorted(receiver.named("flight.wait"), key=lambda span: span.trace)
    assert (led.trace, led.told["bff.flight"], led.links) == ("a" * 32, "led", ())
    assert (joined.trace, joined.told["bff.flight"]) == ("c" * 32, "joined")
    assert joined.links == (call.ident,)


async def test_nobody_waits_until_it_is_stored_with_traces_either(
    redis_url: str, receiver: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = Saves()
    saves.hold(monkeypatch)
    async with stage(redis_url, env=TRACED, settles=False) as s:
        async with asyncio.timeout(5):
            assert (await s.get(BOOTSTRAP, s.alice)).status_code == 200
        saves.go.set()
        await s.stored()
    assert {span.told["bff.outcome"] for span in receiver.named("cache.keep")} == {"everywhere"}


async def test_a_refresh_belongs_to_the_request_that_began_it(receiver: Collector) -> None:
    async with stage(env=TRACED) as s:
        await s.get(PROFILES, s.alice)
        s.clock.advance(70)
        await s.get(PROFILES, s.alice, headers=parent("a"))
        await s.quiet()
    lines = receiver.tree("a" * 32)
    assert lines[:2] == [f"GET {PROFILES}", "  cache.find"]
    assert "    upstream.call" in lines
    call = next(span for span in receiver.named("upstream.call") if span.trace == "a" * 32)
    assert told(call, "bff.reason", "bff.outcome") == ("refresh", "2xx")


async def test_a_call_that_is_made_again_says_so(receiver: Collector) -> None:
    async with stage(env={**TRACED, "BFF_RETRIES": "1"}) as s:
        s.tenant.fault(Status(503), ECHO, count=1)
        answer = await s.get(ECHO, s.alice, headers=parent("a"))
        assert answer.status_code == 200
    first, again = receiver.named("upstream.call")
    names = ("bff.route", "bff.outcome", "error.type", "http.request.resend_count")
    assert told(first, *names) == ("forwarded", "5xx", "503", None)
    assert told(again, *names) == ("forwarded", "2xx", None, 1)
    assert first.parent == again.parent == receiver.one("GET forwarded").ident


async def test_nexudus_hears_of_our_span_or_of_none(receiver: Collector) -> None:
    async def seen(opened: Stage, headers: dict[str, str]) -> dict[str, str]:
        answer = await opened.get(ECHO, opened.alice, headers=headers)
        return {name: value for name, value in answer.json()["Headers"] if "trace" in name}

    async with stage(env=TRACED) as s:
        traced = await seen(s, parent("a"))
        unsampled = await seen(s, parent("c", sampled=False))
        invalid = await seen(
            s, {"traceparent": f"00-{'0' * 32}-{'b' * 16}-01", "tracestate": "x=1"}
        )
        async with stage(beside=s) as off:
            assert await seen(off, parent("d")) == {}
    assert set(traced) == {"traceparent", "tracestate"}
    assert traced["traceparent"].startswith(f"00-{'a' * 32}-")
    assert list(unsampled) == list(invalid) == ["traceparent"]
    assert re.fullmatch(rf"00-{'c' * 32}-[0-9a-f]{{16}}-00", unsampled["traceparent"])
    for headers in (traced, unsampled, invalid):
        assert "b" * 16 not in headers["traceparent"]
    assert not receiver.tree("c" * 32)


async def test_probes_and_operators_are_not_traced(receiver: Collector) -> None:
    async with stage(env={**TRACED, "BFF_OPS_TOKEN": OPS_TOKEN}) as s:
        for target in ("/healthz", "/readyz", "/metrics", "/ops/api/snapshot"):
            await s.get(target, headers={**bearer(OPS_TOKEN), **parent("a")})
        await s.get("/nowhere", headers=parent("a"))
    assert receiver.tree("a" * 32) == ["GET unmatched"]


async def test_pitfall_06_spans_and_lines_hold_no_secret(
    redis_url: str, receiver: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(redis_url, gateways=2, env=TRACED) as s:
        members = [s.alice, s.bob]
        for member in members:
            await full_run(s, member)
            await s.send(member.token, BOOTSTRAP, member)
        secrets = [*secrets_of(members), OPS_TOKEN]
    assert undocumented(receiver.spans) == []
    printed = capsys.readouterr()
    spans = b"".join(receiver.raw)
    names = {span.name for span in receiver.spans}
    assert {"redis.load", "redis.save", "redis.invalidate", "upstream.call", "cache.keep"} <= names
    assert {"GET unmatched", "PUT forwarded", f"_OTHER {BOOTSTRAP}"} <= names
    assert printed.out.count("trace_id") > 50
    assert "@" not in repr(receiver.spans)  # in the raw ones it may be a length
    for secret in secrets:
        assert secret.encode() not in spans
        assert secret not in printed.out + printed.err


def secrets_of(members: list[Member]) -> list[str]:
    """What is in no span and no line, of these and of whom they know."""
    own = [each for member in members for each in (member.token, member.canary)]
    return [*own, "jane.doe@example.com", "Carlos", "AccessToken", "_shape", "coworkerId"]


def undocumented(spans: list[Seen]) -> list[str]:
    """Attributes that the page does not name for the span that has them."""
    rows = re.findall(r"^\| `(\S+?)[` ].*?\| (\w+) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    table = {
        name: (kind, {*re.findall(r"`([a-z]+\.[a-z_.]+)`", text)}) for name, kind, text in rows
    }
    found = set()
    for span in spans:
        name = "redis.<operation>" if span.name.startswith("redis.") else span.name
        kind, known = table["<method>" if " " in name else name]
        strange = span.told.keys() - known - {"error.type", "bff.cancelled"}
        found |= {f"{name}: {each}" for each in strange}
        if kind != span.kind:
            found.add(f"{name}: {span.kind}")
    return sorted(found)


async def test_a_receiver_that_is_away_is_nobodys_matter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "32")
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
        async with stage(env=TRACED) as s:
            began = fair_time.now()
            for member in [s.tenant.another(s.alice) for _ in range(40)]:
                assert (await s.get(BOOTSTRAP, member)).status_code == 200
            assert fair_time.now() - began < 4
    lines = capsys.readouterr().out.splitlines()
    others = [line for line in lines if "] request " not in line]
    assert sum("traces_not_sent" in line for line in others) == 1
    assert len(others) <= 4, others


async def test_a_sample_of_healthy_traffic_and_all_of_the_rest_is_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with stage(env={"BFF_LOG_SAMPLE": "0", "BFF_OPS_TOKEN": OPS_TOKEN}) as s:
        for _ in range(3):
            assert (await s.get(BOOTSTRAP, s.alice)).status_code == 200
        assert (await s.get(BOOTSTRAP)).status_code == 401
        assert (await s.get("/metrics", headers=bearer(OPS_TOKEN))).status_code == 200
    lines = [line for line in capsys.readouterr().out.splitlines() if "] request " in line]
    routes = [re.search(r"route=(\S+).*status=(\d+)", line) for line in lines]
    assert [each.groups() for each in routes if each] == [(BOOTSTRAP, "401"), ("/metrics", "200")]
