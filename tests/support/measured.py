"""Whose coverage is measured: that of the tests that have something to add.

To trace everything takes more time than the tests do. So what tries in many ways, or from outside,
what other tests cover already is not traced: neither its fixtures nor the processes it starts.
"""

from __future__ import annotations

import os
from typing import Final

import coverage
import pytest

UNMEASURED: Final = (
    "tests/architecture/",
    "tests/contract/test_live_members",
    "tests/contract/test_openapi",
    "tests/contract/test_store",
    "tests/deploy/",
    "tests/e2e/test_isolation_processes",
    "tests/e2e/test_metrics_processes",
    "tests/e2e/test_ops_page",
    "tests/e2e/test_raw_",
    "tests/e2e/test_starting",
    "tests/e2e/test_stopping",
    "tests/fault/",
    "tests/integration/test_bootstrap",
    "tests/integration/test_budget",
    "tests/integration/test_bus.py",
    "tests/integration/test_bus_soak",
    "tests/integration/test_hot_answers",
    "tests/integration/test_lists",
    "tests/integration/test_pitfalls",
    "tests/integration/test_redis_faults",
    "tests/integration/test_representations",
    "tests/integration/test_rules.py",
    "tests/integration/test_rules_flights",
    "tests/integration/test_session_size",
    "tests/integration/test_spaces",
    "tests/integration/test_store_faults",
    "tests/integration/test_topologies",
    "tests/property/",
    "tests/unit/edge/test_respond",
    "tests/unit/simulate/",
)
"""Where node ids begin; a single test elsewhere has the mark `unmeasured`."""
MARK: Final = "unmeasured: what it covers others do, so it is not traced and takes half the time"
_OF_PROCESSES: Final = "COVERAGE_PROCESS_CONFIG"
"""A variable of coverage: processes that find it measure themselves."""


class Measured:
    """A plugin: coverage pauses while tests run that are not measured.

    pytest-cov's own mark `no_cover` does not do in a process of xdist: coverage was started twice
    there, once because it is a process, and one goes on where the other pauses.
    """

    def __init__(self) -> None:
        self._paused: list[coverage.Coverage] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        if item.nodeid.startswith(UNMEASURED) or item.get_closest_marker("unmeasured"):
            self._pause()
        else:
            self._resume()

    def _pause(self) -> None:
        while (running := coverage.Coverage.current()) is not None:
            running.stop()
            self._paused.append(running)
        os.environ.pop(_OF_PROCESSES, None)

    def _resume(self) -> None:
        while self._paused:
            self._paused.pop().start()  # which tells processes, too
