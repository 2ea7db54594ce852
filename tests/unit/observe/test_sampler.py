"""Gauges are set once a second, and right before somebody reads them."""

from __future__ import annotations

import errno

import pytest
from structlog.testing import capture_logs

from bff.observe.metrics import Metrics
from bff.observe.sampler import LATELY, TICK_S, TOLD_S, Sampler
from tests.support.manual_time import ManualTime


async def passed(time: ManualTime, seconds: float) -> None:
    """Time goes on as it does where nobody is busy."""
    for _ in range(round(seconds / TICK_S)):
        await time.advance(TICK_S)


async def test_a_probe_is_called_at_once_each_second_and_for_whoever_asks() -> None:
    time, metrics, calls = ManualTime(), Metrics(), list[float]()
    sampler = Sampler(metrics, time)
    sampler.probe(lambda: calls.append(time.now))
    assert len(calls) == 1
    sampler.start("1.2.3")
    await passed(time, 2.5)
    assert len(calls) == 3
    metrics.measured()
    assert len(calls) == 4
    await sampler.aclose()
    await passed(time, 3)
    assert len(calls) == 4


async def test_a_process_says_what_it_is() -> None:
    metrics = Metrics()
    sampler = Sampler(metrics, ManualTime())
    sampler.start("1.2.3")
    told = metrics.measured()
    [(version, _)] = [labels for name, labels in told if name == "bff_build_info"]
    assert version == "1.2.3"
    assert told["bff_workers", ()] == 1
    assert told["bff_resident_bytes", ()] > 2**20
    await sampler.aclose()
    assert metrics.measured()["bff_workers", ()] == 0


async def test_a_loop_that_was_late_is_told_of_for_a_while() -> None:
    time, metrics = ManualTime(), Metrics()
    sampler = Sampler(metrics, time)

    def lag_s() -> float:
        return round(metrics.measured()["bff_loop_lag_seconds", ()], 3)

    sampler.start("1")
    await passed(time, 1)
    assert lag_s() == 0
    time.now += 0.4  # nobody else had a turn meanwhile
    await passed(time, 1)
    assert lag_s() == 0.4
    await passed(time, LATELY - 2)
    assert lag_s() == 0.4
    await passed(time, 3)
    assert lag_s() == 0
    await sampler.aclose()


async def test_what_fails_is_told_of_now_and_then_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time, metrics, calls = ManualTime(), Metrics(), list[float]()
    sampler, began = Sampler(metrics, time), time.now

    def fails() -> None:
        if time.now > began:
            raise OSError(errno.EMFILE, "Too many open files")

    sampler.probe(fails)
    sampler.probe(lambda: calls.append(time.now))
    monkeypatch.setattr(metrics, "flush", fails)
    sampler.start("1")
    with capture_logs() as logs:
        await passed(time, 5)
        assert len(calls) == 6
        assert [line["event"] for line in logs] == ["sample_failed"]
        await passed(time, TOLD_S)
        assert len(logs) == 2
        await sampler.aclose()
