"""`make bench-micro`: the pure parts of a request, one by one."""

from __future__ import annotations

import pytest

from tests.bench.micro.subjects import Measure, subjects

SUBJECTS = subjects()


@pytest.mark.parametrize("name", SUBJECTS)
def test_part(benchmark: Measure, counted: Measure, name: str) -> None:
    subject = SUBJECTS[name]
    subject()
    counted(subject)
    benchmark(subject)
