"""The line that operators read first: its level, its words and its causes."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff import top
from bff.ops.figures import UNTIMED, Latency, Level, Minute, ProcessFigures, SpaceState, Window
from bff.ops.fleet.record import Recent
from bff.ops.summary.verdict import (
    COUNTED_FROM,
    FAILING_LEAST,
    FAILING_SHARE,
    FAILS_LEAST,
    Signs,
    verdict,
)

NOW: Final = 60_030.0


def minute(at: int = 0, requests: int = 0, failed: int = 0, calls: int = 0) -> Minute:
    """The one `at` minutes before the running one."""
    return Minute(NOW - 30 - 60 * at, requests, failed, 0, 0, calls, 0, 0, UNTIMED)


def process(seen_s: float = 1.0, **of: object) -> ProcessFigures:
    usual = ProcessFigures(
        "p", "h", 1, "0.1", NOW - 600, seen_s, 1, 1, 0, 0, 1.0, True, True, stopping=False
    )
    return replace(usual, **of)  # type: ignore[arg-type]


WELL: Final = Signs(
    fleet=True,
    bootstrap_hit_ratio=0.974,
    lately=[Recent("acme", 40, 0, 3, 0, 0)],
    minutes=[*(minute(at, 100) for at in range(5, 0, -1)), minute(0, 50)],
    states=[],
    open_s={},
    budget=[Window("acme", "1/100ms", 1, 1), Window("acme", "120/m", 60, 120)],
    unanswered=0,
    processes=[process(), process()],
    at=NOW,
)


def slow(minutes: int, p50_ms: float = 1_500.0) -> list[Minute]:
    upstream = Latency(p50_ms, 2 * p50_ms, 2 * p50_ms)
    return [
        replace(minute(at, 100, calls=9), upstream=upstream if at < minutes else Latency(9, 9, 9))
        for at in range(9, -1, -1)
    ]


def test_all_is_well() -> None:
    found = verdict(WELL)
    assert (found.level, found.headline, found.causes) == (
        Level.WELL,
        "Members are served; 97.4% of bootstraps from cache",
        (),
    )


@pytest.mark.parametrize(
    ("signs", "cause"),
    [
        (
            replace(
                WELL,
                states=[SpaceState("acme", "failing", "open", 0.0, per_token=False)],
                open_s={"acme": 39.2},
            ),
            "Nexudus fails (acme): breaker open for 40 s; stale answers are served",
        ),
        (
            replace(
                WELL,
                states=[SpaceState("acme", "paused for 12 s", "closed", 11.6, per_token=False)],
            ),
            "Nexudus throttles acme: paused for 12 s",
        ),
        (
            replace(WELL, lately=[Recent("acme", 40, 0, 9, 0, 3)]),
            "Nexudus throttles acme: 3 of the latest calls refused",
        ),
        (
            replace(WELL, lately=[Recent("acme", 40, 0, 9, 8, 0)]),
            "Nexudus fails (acme): 8 of the last 9 calls",
        ),
        (replace(WELL, minutes=slow(4)), "Nexudus slow for 4 min"),
        (replace(WELL, minutes=slow(4)[-4:]), "Nexudus slow for 4 min"),
        (
            replace(WELL, budget=[Window("acme", "120/m", 118, 120)]),
            "budget of acme nearly spent: 118 of 120 a minute",
        ),
        (
            replace(WELL, budget=[Window("acme", "writes 5000/d", 4_900, 5_000)]),
            "budget of acme nearly spent: 4900 of 5000 of writes a day",
        ),
        (
            replace(WELL, budget=[Window("acme", "10/5s", 10, 10)]),
            "budget of acme nearly spent: 10 of 10 in 5 s",
        ),
        (
            replace(WELL, lately=[Recent("acme", 40, 0, 3, 0, 0, 14)]),
            "budget of acme is spent: 14 calls were not made in time",
        ),
        (
            replace(WELL, fleet=False),
            "Redis is away: each process uses its own cache, and these figures are of one",
        ),
        (
            replace(WELL, fleet=False, refused=True),
            "Redis takes no figures (full, or read-only): these are of one process",
        ),
        (
            replace(WELL, processes=[process(waiters=15), process(waiters=5)]),
            "20 requests wait for Nexudus",
        ),
        (
            replace(
                WELL,
                processes=[process(), process(), process(store=False), process(store=False)],
            ),
            "Redis is away for 2 of 4 processes: each uses its own cache",
        ),
        (
            replace(WELL, unanswered=12),
            "Redis is slow: 12 operations were not answered in time",
        ),
        (
            replace(WELL, processes=[process(), process(bus=False)]),
            "invalidations are not heard by 1 process",
        ),
        (
            replace(WELL, processes=[process(), process(7.4)]),
            "1 process has not reported for 8 s",
        ),
        (
            replace(WELL, processes=[process(), process(loop_lag_ms=412.0)]),
            "1 process late by up to 412 ms: too much work for the machine",
        ),
        (
            replace(WELL, minutes=[minute(1, 60, 2), minute(0, 40, 1)]),
            "3% of requests fail",
        ),
        (
            replace(WELL, refreshes_paused="anna"),
            "refreshes are paused by operators (anna)",
        ),
    ],
)
def test_something_is_wrong_but_members_are_served(signs: Signs, cause: str) -> None:
    found = verdict(signs)
    assert found.causes == (cause,)
    assert found.level is Level.IMPAIRED
    assert found.headline == "Members are served; 97.4% of bootstraps from cache"


@pytest.mark.parametrize(
    "signs",
    [
        replace(WELL, minutes=slow(0)),
        replace(WELL, minutes=[*slow(4)[:-2], minute(1, 100), minute(0, 9)]),
        replace(WELL, minutes=[replace(each, calls=4) for each in slow(4)]),
        replace(WELL, budget=[Window("acme", "1/100ms", 1, 1), Window("acme", "120/m", 107, 120)]),
        replace(WELL, lately=[Recent("acme", 40, 0, 90, 2, 0)]),
        replace(WELL, unanswered=4),
        replace(WELL, minutes=[minute(1, 900, 3), minute(0, 100, 1)]),
        replace(WELL, minutes=[minute(1, 3, 2), minute(0, 1, 0)]),
        replace(WELL, processes=[process(), process(40.0, stopping=True)]),
        replace(WELL, processes=[process(), process(stopping=True, bus=False, store=False)]),
        replace(WELL, processes=[process(), process(bus=False, started_at=NOW - 1)]),
        replace(WELL, processes=[process(), process(5.9, loop_lag_ms=249.0)]),
        replace(WELL, processes=[process(waiters=19), process(stopping=True, waiters=99)]),
        replace(WELL, whole=False, processes=[process(waiters=99)]),
        replace(WELL, refused=True),
    ],
)
def test_what_is_no_reason_to_look(signs: Signs) -> None:
    assert verdict(signs).level is Level.WELL
    assert verdict(signs).causes == ()


def test_members_are_not_served() -> None:
    found = verdict(replace(WELL, lately=[Recent("acme", 21, 13, 9, 9, 0)]))
    assert (found.level, found.headline) == (
        Level.FAILING,
        "Members are not served: 61.9% of requests fail",
    )
    assert found.causes == ("Nexudus fails (acme): 9 of the last 9 calls",)


def test_an_outage_ends_with_the_first_requests_that_go_well() -> None:
    bad = replace(WELL, minutes=[minute(1, 100, 90), minute(0, 50, 40)])
    assert verdict(replace(bad, lately=[])).level is Level.FAILING
    assert verdict(replace(bad, lately=[Recent("acme", 3, 1, 0, 0, 0)])).level is Level.FAILING
    assert verdict(replace(bad, lately=[Recent("acme", 3, 0, 0, 0, 0)])).level is Level.IMPAIRED


def test_nothing_was_asked() -> None:
    quiet = replace(
        WELL, lately=[], minutes=[minute(5, 3), *(minute(at) for at in (4, 3, 2, 1, 0))]
    )
    found = verdict(quiet)
    assert (found.level, found.headline) == (
        Level.QUIET,
        "Nobody asked for anything for 4 min",
    )
    assert verdict(replace(quiet, fleet=False)).level is Level.IMPAIRED
    never = verdict(replace(quiet, minutes=[minute(at) for at in range(59, -1, -1)]))
    assert never.headline == "Nobody asked for anything for an hour"


def test_who_waits_has_asked() -> None:
    quiet = replace(WELL, lately=[], minutes=[minute(at) for at in range(59, -1, -1)])
    found = verdict(replace(quiet, processes=[process(waiters=40), process(9.0, waiters=9)]))
    assert found.level is Level.IMPAIRED
    assert found.headline == "Members wait: nothing was answered for an hour"
    assert found.causes[0] == "40 requests wait for Nexudus"
    one = verdict(replace(quiet, processes=[process(waiters=1)]))
    assert (one.level, one.causes) == (Level.QUIET, ())
    assert one.headline == "Nothing was answered for an hour; 1 request waits"


def test_few_requests_that_all_fail_are_an_outage() -> None:
    few = replace(WELL, minutes=[minute(1), minute(0, 4, 4)])
    found = verdict(replace(few, lately=[Recent("acme", 4, 4)]))
    assert found.headline == "Members are not served: 100% of requests fail"
    assert verdict(replace(few, lately=[Recent("acme", 2, 2)])).level is Level.IMPAIRED
    assert verdict(replace(few, lately=[Recent("acme", 4, 3)])).level is Level.IMPAIRED


def test_windows_for_spacing_are_the_same_everywhere() -> None:
    page = (files("bff.ops.page") / "files" / "figures.js").read_text()
    assert f"const COUNTED_FROM = {COUNTED_FROM};" in page
    assert top.COUNTED_FROM == COUNTED_FROM


def test_many_spaces_are_not_all_named() -> None:
    states = [SpaceState(name, "", "open", 0.0, per_token=False) for name in "abcde"]
    found = verdict(replace(WELL, states=states, open_s=dict.fromkeys("abcde", 240.0)))
    assert found.causes[0].startswith("Nexudus fails (a, b, c and 2 more): breaker open for 4 min")


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.0, "100% of"),
        (0.99999, "more than 99.9% of"),
        (0.0001, "less than 0.1% of"),
        (0.0, "0% of"),
        (0.5, "50% of"),
    ],
)
def test_all_and_nothing_are_said_of_all_and_nothing_only(ratio: float, words: str) -> None:
    assert f"; {words} bootstraps" in verdict(replace(WELL, bootstrap_hit_ratio=ratio)).headline


def test_without_a_bootstrap_there_is_no_share_of_them() -> None:
    assert verdict(replace(WELL, bootstrap_hit_ratio=None)).headline == "Members are served"


@given(
    st.integers(0, 500).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    st.sampled_from((None, 0.0, 0.5, 1.0)),
    st.booleans(),
)
def test_an_outage_is_a_matter_of_the_share_that_fails(
    now: tuple[int, int], ratio: float | None, fleet: bool
) -> None:
    requests, failed = now
    signs = replace(
        WELL, fleet=fleet, bootstrap_hit_ratio=ratio, lately=[Recent("a", *now, 0, 0, 0)]
    )
    found = verdict(signs)
    least = FAILS_LEAST if failed == requests else FAILING_LEAST
    outage = failed >= least and failed >= FAILING_SHARE * requests
    assert (found.level is Level.FAILING) == outage
    if outage:
        who = "Members" if failed >= requests / 2 else "Many members"
        assert found.headline.startswith(f"{who} are not served: ")
        assert not any("of requests fail" in cause for cause in found.causes), "said once"
    else:
        assert found.headline.startswith("Members are served")
    assert all(found.causes)
