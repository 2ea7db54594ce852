"""Where ok ends and a warning or a fault begins."""

from __future__ import annotations

import json

import pytest

from bff.doctor import Finding, Result, as_json, worst
from bff.doctor.clocks import judge
from bff.doctor.difference import Difference, Kind
from bff.doctor.examination import configured
from bff.doctor.shapes import SHOWN, Case, Compared, judged
from bff.doctor.store import judge_eviction, judge_memory, judge_version
from bff.settings import load

OK, WARNING, FAULT = Result.OK, Result.WARNING, Result.FAULT


@pytest.mark.parametrize("name", ["BFF_OPS_TOKEN", "BFF_OPS_TOKENS"])
def test_operators_are_there_whichever_way_they_are_set(name: str) -> None:
    one = {"BFF_OPS_TOKEN": "0123456789abcdef", "BFF_OPS_TOKENS": "jane:act=0123456789abcdef"}[name]
    without, with_one = (
        {each.check for each in configured(load({"BFF_UPSTREAM": "acme"} | more))}
        for more in ({}, {name: one})
    )
    assert without - with_one == {"operators"}


@pytest.mark.parametrize(
    ("ahead_s", "result"),
    [(0, OK), (5, OK), (-5, OK), (5.1, WARNING), (-60, WARNING), (60.1, FAULT), (-61, FAULT)],
)
def test_clocks(ahead_s: float, result: Result) -> None:
    assert judge("Redis", ahead_s).result is result


@pytest.mark.parametrize(
    ("version", "result"),
    [("6.2.0", OK), ("7.4", OK), ("10.0.1", OK), ("6.0.16", FAULT), ("5.0", FAULT), ("", WARNING)],
)
def test_versions(version: str, result: Result) -> None:
    assert judge_version(version).result is result


@pytest.mark.parametrize(
    ("policy", "result"),
    [("noeviction", WARNING), ("allkeys-lru", OK), ("volatile-lru", OK), ("volatile-ttl", OK)],
)
def test_eviction(policy: str, result: Result) -> None:
    assert judge_eviction(policy).result is result


def test_memory() -> None:
    assert judge_memory(2**20, 0).result is WARNING
    assert judge_memory(2**20, 2**30).detail == "1.0 MiB used of 1024 MiB"


def compared(documented: bool, *paths: str) -> Compared:
    found = tuple(Difference(path, Kind.MISSING) for path in paths)
    return Compared(Case("A,B", documented), found)


@pytest.mark.parametrize(
    ("cases", "results"),
    [
        ([compared(True), compared(False)], [OK]),
        ([compared(True, "A"), compared(False)], [FAULT]),
        ([compared(True), compared(False, "B")], [OK, WARNING]),
        ([compared(True, "A"), compared(False, "B")], [FAULT, WARNING]),
    ],
)
def test_shapes(cases: list[Compared], results: list[Result]) -> None:
    assert [each.result for each in judged("_shape", cases)] == results


def test_of_many_differences_some_are_shown_and_the_others_counted() -> None:
    paths = [f"P{number}" for number in range(SHOWN + 3)]
    (finding,) = judged("_shape", [compared(True, *paths)])
    assert finding.detail.count("is missing here") == SHOWN
    assert finding.detail.endswith("; and 3 more")


def test_the_worst_decides() -> None:
    def of(*results: Result) -> Result:
        return worst(Finding("", result, "") for result in results)

    assert of() is OK
    assert of(OK, WARNING, OK) is WARNING
    assert of(FAULT, WARNING, OK) is FAULT


def test_for_programs() -> None:
    told = json.loads(as_json([Finding("Redis", WARNING, "slow", "move it")]))
    assert told == {
        "result": "warning",
        "findings": [
            {"check": "Redis", "result": "warning", "detail": "slow", "remedy": "move it"}
        ],
    }
