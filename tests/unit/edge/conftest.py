"""What the tests of hostile input measure with."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

import pytest

CpuSeconds: TypeAlias = Callable[[Callable[[], object]], float]


@pytest.fixture
def cpu_s() -> CpuSeconds:
    """The CPU seconds of a call: the least of three, so that a collector's pause does not count."""

    def measured(call: Callable[[], object]) -> float:
        costs: list[float] = []
        for _ in range(3):
            started = time.process_time()
            call()
            costs.append(time.process_time() - started)
        return min(costs)

    return measured
