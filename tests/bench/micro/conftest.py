"""Calls are told beside times: they are the same in every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.calls import calls_of

if TYPE_CHECKING:
    from tests.bench.micro.subjects import Measure, Subject

_COUNTS = pytest.StashKey[dict[str, int]]()


@pytest.fixture
def counted(request: pytest.FixtureRequest) -> Measure:
    """Counts the calls of what a test measures."""
    counts = request.config.stash.setdefault(_COUNTS, {})

    def count(subject: Subject) -> None:
        counts[request.node.callspec.id] = calls_of(subject)

    return count


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    counts = config.stash.get(_COUNTS, {})
    if counts:
        terminalreporter.section("calls of Python and C functions, each time")
        for name, count in counts.items():
            terminalreporter.write_line(f"{name:32} {count:10,}")
