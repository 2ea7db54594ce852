"""Gauges are set once a second, and right before somebody reads them."""

from __future__ import annotations

from bff.observe.metrics import Metrics
from bff.observe.sampler import LATELY, TICK_S, Sampler
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
