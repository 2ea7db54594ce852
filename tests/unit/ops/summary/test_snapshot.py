"""What operators are shown is what was counted, of one space or of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bff.ops.figures import Happening, Level, Problem, Shape, Window
from bff.ops.fleet.minutes import Counts, Sum, UnreadableRecord, encode
from bff.ops.fleet.record import (
    Details,
    Gauges,
    ProcessRecord,
    Recent,
    SpaceSeen,
    gauges,
    pack,
    read,
    read_event,
    read_problem,
    recent,
    unanswered,
)
from bff.ops.fleet.shared import Controls
from bff.ops.fleet.tally import Lately
from bff.ops.summary.hour import Hour
from bff.ops.summary.processes import Seen
from bff.ops.summary.snapshot import Material, snapshot

BOOT: Final = "/session/bootstrap"
NOW: Final = 60_030.0
MINUTE: Final = 1_000
"""The running one."""

COUNTS: Final[Counts] = {
    "bff_requests": {
        f"{BOOT}\nacme\n200": 70,
        f"{BOOT}\nacme\n304": 20,
        f"{BOOT}\nacme\n503": 4,
        f"{BOOT}\nzeta\n200": 10,
        "forwarded\nacme\n404": 6,
        "forwarded\nacme\n0": 1,
        "/metrics\n\n200": 5,
        "/ops/api/live\n\n500": 1,
        "/hooks/nexudus\n\n503": 7,
        "unmatched\nacme\n404": 900,
        "unmatched\n\n421": 50,
    },
    "bff_request_seconds": {
        f"{BOOT}\nacme\n0.005": 90,
        f"{BOOT}\nzeta\n0.005": 10,
        "forwarded\nacme\n1.0": 7,
        "/ops/api/live\n\n10.0": 99,
        "unmatched\nacme\n0.0005": 900,
    },
    "bff_bootstraps_cached": {"acme": 72, "zeta": 10},
    "bff_bootstraps_incomplete": {"acme": 2},
    "bff_response_bytes": {f"{BOOT}\nacme": 900, f"{BOOT}\nzeta": 100, "/metrics\n": 9_000},
    "bff_cache_reads": {
        "acme\nprofiles\nl1\nhit": 60,
        "acme\nprofiles\nl2\nstale": 20,
        "acme\nprofiles\nupstream\nmiss": 20,
        "zeta\nrelated\nl1\nnegative": 3,
    },
    "bff_upstream_calls": {
        "acme\nprofiles\n2xx\ninteractive": 15,
        "acme\nprofiles\n5xx\nrefresh": 5,
        "zeta\nforwarded\n2xx\nforwarded": 2,
    },
    "bff_upstream_calls_saved": {"acme\nprofiles": 80, "zeta\nrelated": 3},
    "bff_bytes_saved": {"acme\nshape": 500, "acme\nencoding": 700, "zeta\nshape": 1},
    "bff_throttled": {"acme": 3},
    "bff_store_seconds": {"load\n0.001": 100},
    "bff_store_errors": {"load": 1},
    "shape_uses": {"acme\n@mobile": 9, "zeta\nId,Name": 2},
    "shape_bytes": {"acme\n@mobile": 900, "zeta\nId,Name": 10},
    "shape_saved": {"acme\n@mobile": 5_000, "zeta\nId,Name": 7},
}


def details(*spaces: SpaceSeen, store: bool = True) -> Details:
    return Details("host", 7, "0.1", NOW - 600, store, bus=True, spaces=spaces)


def seen(name: str, *spaces: SpaceSeen, seen_s: float = 1.0, stopping: bool = False) -> Seen:
    record = ProcessRecord(name, NOW, details(*spaces), Gauges(l1_bytes=5), (), stopping)
    return Seen(record, seen_s)


def material(counts: Counts, space: str, *processes: Seen) -> Material:
    hour = Hour()
    hour.put(MINUTE - 1, "1", [encode(counts)])
    *_, whole, _running = hour.window(NOW)
    return Material(
        at=NOW,
        fleet=True,
        counts=hour.counts,
        whole=hour.of([whole]),
        rows=hour.rows(space, NOW),
        seen=processes,
        events=[
            Happening(NOW - 4_000, "acme", "breaker", "long ago", "p"),
            Happening(NOW - 3, "acme", "breaker", "open", "p"),
            Happening(NOW - 1, "", "store", "away", "p"),
            Happening(NOW - 2, "zeta", "breaker", "open", "p"),
        ],
        problems=[Problem(NOW - 1, "zeta", BOOT, 503, "upstream-down", "r")],
        controls=Controls(log_level="debug"),
    )


def test_figures_of_all_spaces() -> None:
    found = snapshot(material(COUNTS, ""), "")
    assert (found.requests, found.failed, found.incomplete) == (111, 4, 2)
    assert found.bootstrap_hit_ratio == 0.82
    assert (found.calls, found.calls_saved) == (22, 83)
    assert found.calls_by_reason == (("interactive", 15), ("refresh", 5), ("forwarded", 2))
    assert found.calls_by_outcome == (("2xx", 17), ("5xx", 5))
    assert (found.bytes_sent, found.bytes_saved) == (1_000, (("encoding", 700), ("shape", 501)))
    assert found.latency.p50_ms == pytest.approx(2.5 + 2.5 * 53.5 / 100, abs=0.001)
    assert found.latency.p99_ms == pytest.approx(500 + 500 * (0.99 * 107 - 100) / 7, rel=1e-4)
    assert [shape.shape for shape in found.shapes] == ["@mobile", "Id,Name"]
    assert found.shapes[0] == Shape("acme", "@mobile", 9, 900, 5_000)
    assert [event.at - NOW for event in found.events] == [-1, -2, -3]
    assert found.log_level == "debug"


def test_figures_of_one_space() -> None:
    found = snapshot(material(COUNTS, "zeta"), "zeta")
    assert (found.requests, found.failed, found.calls, found.calls_saved) == (10, 0, 2, 3)
    assert found.bootstrap_hit_ratio == 1.0
    assert [resource.resource for resource in found.resources] == ["related"]
    assert [event.space for event in found.events] == ["", "zeta"]
    assert found.redis.errors == 1, "the store is of all spaces"
    assert [shape.shape for shape in found.shapes] == ["Id,Name"]
    assert snapshot(material(COUNTS, "acme"), "acme").problems == ()


def test_routes_and_resources() -> None:
    found = snapshot(material(COUNTS, ""), "")
    routes = {each.route: each for each in found.routes}
    assert list(routes) == [BOOT, "forwarded"], "as the requests that are counted: members'"
    assert (routes[BOOT].requests, routes[BOOT].failed) == (104, 4)
    assert routes[BOOT].per_second == round(104 / 60, 3)
    assert routes["forwarded"].latency.p50_ms == 750.0
    profiles, related = found.resources
    assert (profiles.reads, profiles.hit_ratio, related.hit_ratio) == (100, 0.8, 1.0)
    assert profiles.by_outcome == (("hit", 60), ("miss", 20), ("stale", 20))
    assert profiles.by_tier == (("l1", 60), ("l2", 20), ("upstream", 20))


def test_the_time_line_is_an_hour_and_holds_what_was_counted_when() -> None:
    found = snapshot(material(COUNTS, ""), "")
    assert [minute.at for minute in found.minutes] == [60.0 * at for at in range(941, 1_001)]
    then = found.minutes[-2]
    assert (then.requests, then.failed, then.bootstraps, then.bootstraps_cached) == (
        111, 4, 100, 82,
    )  # fmt: skip
    assert (then.calls, then.calls_saved, then.throttled) == (22, 83, 3)
    assert found.minutes[-1].requests == 0


def test_nothing_is_known_yet() -> None:
    found = snapshot(material({}, ""), "")
    assert found.bootstrap_hit_ratio is None
    assert (found.requests, found.routes, found.resources, found.shapes) == (0, (), (), ())
    assert found.verdict.level is Level.QUIET


def test_of_what_processes_say_the_worst_holds() -> None:
    one = seen(
        "p1",
        SpaceSeen("acme", "reachable", "closed", windows=(Window("acme", "120/m", 50, 120),)),
        SpaceSeen("zeta", "reachable", "closed", per_token=True),
    )
    other = seen(
        "p2",
        SpaceSeen(
            "acme", "failing", "open", 40.0, 3.0, windows=(Window("acme", "120/m", 70, 120),)
        ),
        seen_s=2.0,
    )
    found = snapshot(material(COUNTS, "", one, other), "")
    acme, zeta = found.states
    assert (acme.state, acme.breaker, acme.paused_s) == ("failing", "open", 1.0)
    assert (zeta.breaker, zeta.per_token) == ("closed", True)
    assert found.spaces == ("acme", "zeta")
    assert found.budget == (Window("acme", "120/m", 70, 120),)
    assert found.verdict.causes[0].startswith("Nexudus fails (acme): breaker open for 42 s")
    of_zeta = snapshot(material(COUNTS, "zeta", one, other), "zeta")
    assert of_zeta.verdict.level is Level.WELL
    assert [state.space for state in of_zeta.states] == ["zeta"]
    assert of_zeta.spaces == ("acme", "zeta")


def test_who_is_silent_or_stops_says_nothing_of_now() -> None:
    opened = SpaceSeen("acme", "failing", "open", 40.0)
    well = seen("p0", SpaceSeen("acme", "reachable", "closed"))
    silent, ended = seen("p1", opened, seen_s=7.0), seen("p2", opened, stopping=True)
    long_gone = seen("p3", opened, seen_s=11.0, stopping=True)
    found = snapshot(material(COUNTS, "", well, silent, ended, long_gone), "")
    assert found.verdict.causes[0] == "1 process has not reported for 7 s"
    assert [state.breaker for state in found.states] == ["closed"]
    assert [process.process for process in found.processes] == ["p0", "p1", "p2"]
    assert (found.redis.used, found.redis.processes, found.redis.heard) == (1, 2, 1)


def test_what_happened_lately_turns_the_verdict() -> None:
    bad = Recent("acme", 10, 8, 9, 9, 0)
    record = ProcessRecord("p1", NOW, details(), Gauges(), (bad, Recent("zeta", 90)))
    found = snapshot(material(COUNTS, "acme", Seen(record, 1.0)), "acme")
    assert found.verdict.headline == "Members are not served: 80% of requests fail"
    assert found.verdict.causes[0] == "Nexudus fails (acme): 9 of the last 9 calls"
    everybody = snapshot(material(COUNTS, "", Seen(record, 1.0)), "")
    assert everybody.verdict.level is Level.IMPAIRED, "8 of 100"
    hiccups = replace(record, recent=(), unanswered=6)
    slow = snapshot(material(COUNTS, "", Seen(hiccups, 1.0)), "")
    assert slow.verdict.causes[0].startswith("Redis is slow: 6 operations")
    old = snapshot(material(COUNTS, "acme", Seen(record, 12.0)), "acme")
    assert old.verdict.level is Level.IMPAIRED, "it has been silent since"


def test_a_scanner_does_not_hide_that_nobody_is_served() -> None:
    counts: Counts = {"bff_requests": {f"{BOOT}\nacme\n503": 9, "unmatched\nacme\n404": 900}}
    record = ProcessRecord(
        "p1", NOW, details(), Gauges(), recent([Lately(0.0, 2.0, counts)]), refused=True
    )
    found = snapshot(material(counts, "", Seen(record, 1.0)), "")
    assert found.verdict.headline == "Members are not served: 100% of requests fail"
    alone = snapshot(replace(material(counts, "", Seen(record, 1.0)), fleet=False), "")
    assert "Redis takes no figures (full, or read-only): these are of one process" in (
        alone.verdict.causes
    )


@pytest.mark.parametrize(
    ("space", "served", "headline", "causes"),
    [
        ("", ("acme", "zeta"), "Members wait: nothing was answered for an hour", 1),
        ("acme", ("acme",), "Members wait: nothing was answered for an hour", 1),
        (
            "acme",
            ("acme", "zeta"),
            "Nothing was answered for an hour; 40 requests of all spaces wait",
            0,
        ),
    ],
)
def test_who_waits_has_asked(
    space: str, served: tuple[str, ...], headline: str, causes: int
) -> None:
    here = details(*(SpaceSeen(name, "reachable", "closed") for name in served))
    waits = Seen(ProcessRecord("p", NOW, here, Gauges(waiters=40), ()), 1.0)
    silent = Seen(ProcessRecord("q", NOW, here, Gauges(waiters=40), (), stopping=True), 1.0)
    found = snapshot(material({}, space, waits, silent), space).verdict
    assert found.headline == headline
    assert found.causes == ("40 requests wait for Nexudus",)[:causes]


def test_operators_paused_refreshes() -> None:
    given_ = replace(
        material(COUNTS, ""), controls=Controls(refreshes_paused=True, paused_by="anna")
    )
    found = snapshot(given_, "")
    assert found.refreshes_paused
    assert "refreshes are paused by operators (anna)" in found.verdict.causes


def test_lately_is_told_by_space_and_of_members_only() -> None:
    counts = {name: COUNTS[name] for name in ("bff_requests", "bff_upstream_calls")}
    more: Counts = {
        "bff_throttled": {"acme": 1},
        "bff_upstream_refused": {
            "acme\nrelated\nbudget": 2,
            "acme\nrelated\npause": 5,
            "acme\nrelated\nbreaker": 9,
        },
    }
    found = recent([Lately(0.0, 2.0, counts), Lately(2.0, 4.0, more)])
    assert found == (Recent("acme", 101, 4, 20, 5, 1, 2), Recent("zeta", 10, 0, 2, 0, 0))
    assert unanswered([Lately(0.0, 2.0, COUNTS), Lately(2.0, 4.0, COUNTS)]) == 2


def test_a_record_of_a_process_is_read_as_it_was_written() -> None:
    record = ProcessRecord(
        "p",
        1.5,
        details(SpaceSeen("acme", "reachable", "closed", windows=(Window("acme", "1/m", 1, 1),))),
        gauges({("bff_loop_lag_seconds", ()): 0.0125, ("bff_resident_bytes", ()): 7e7}),
        (Recent("acme", 1),),
        stopping=True,
    )
    assert record.gauges == Gauges(resident_bytes=70_000_000, loop_lag_ms=12.5)
    assert read(pack(record)) == record


@pytest.mark.parametrize("stored", [b"", b"{}", encode({}), pack(seen("p").record)[:-1]])
def test_what_is_no_record_of_a_process_is_refused(stored: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        read(stored)
    with pytest.raises(UnreadableRecord):
        read_event(stored)
    with pytest.raises(UnreadableRecord):
        read_problem(stored)


ROUTES: Final = (BOOT, "forwarded", "/metrics")
REQUESTS: Final = st.dictionaries(
    st.tuples(
        st.sampled_from(ROUTES),
        st.sampled_from(("acme", "zeta", "x")),
        st.sampled_from(("200", "304", "404", "503", "0")),
    ).map("\n".join),
    st.integers(1, 1_000),
)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(930, 1_001), REQUESTS), max_size=8))
def test_the_time_line_adds_up_and_spaces_add_up(
    minutes: list[tuple[int, Mapping[str, int]]],
) -> None:
    records: dict[int, list[bytes]] = {}
    for minute, of in minutes:
        records.setdefault(minute, []).append(encode({"bff_requests": of}))
    hour = Hour()
    for minute, found in records.items():
        hour.put(minute, "old", [encode({"bff_throttled": {"x": 5}})])
        hour.put(minute, "1", [*found, b"of another version"])
    hour.forget(NOW)
    shown = {
        space: snapshot(
            replace(material({}, space), counts=hour.counts, rows=hour.rows(space, NOW), events=[]),
            space,
        )
        for space in ("", "acme", "zeta", "x")
    }
    latest = 1_001 if 1_001 in records else 1_000
    expected = Sum(
        *({"bff_requests": of} for at, of in minutes if latest - 60 < at <= latest)
    ).counts.get("bff_requests", {})
    members = sum(n for key, n in expected.items() if not key.startswith("/metrics"))
    assert shown[""].requests == members
    assert sum(shown[space].requests for space in ("acme", "zeta", "x")) == members
    for each in shown.values():
        assert sum(row.requests for row in each.minutes) == each.requests
        assert sum(row.failed for row in each.minutes) == each.failed
        assert len(each.minutes) == 60
    assert all(row.throttled == 0 for row in shown[""].minutes)
    assert not hour.counts.get("bff_throttled")
