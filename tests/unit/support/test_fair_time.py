"""What others take of a machine is not counted, and everything else is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support import fair_time

WORK_S = 0.06


def work(seconds: float) -> None:
    """So much of the processor's time."""
    until_s = time.thread_time() + seconds
    while time.thread_time() < until_s:
        pass


@pytest.fixture
def crowded() -> Iterator[None]:
    """Somebody else wants the only processor that this thread may use."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    busy = subprocess.Popen(
        [sys.executable, "-c", "print('!', flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    )
    try:
        assert busy.stdout is not None
        assert busy.stdout.readline() == b"!\n"
        yield
    finally:
        busy.kill()
        busy.communicate()
        os.sched_setaffinity(0, before)


def test_sleeping_and_working_count() -> None:
    began = fair_time.now()
    time.sleep(WORK_S)
    slept = fair_time.now()
    work(WORK_S)
    assert slept - began > WORK_S * 0.9
    assert fair_time.now() - slept > WORK_S * 0.9


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how long a thread waited")
def test_what_others_take_does_not(crowded: None) -> None:
    began, wall = fair_time.now(), time.monotonic()
    work(WORK_S)
    taken_s, passed_s = fair_time.now() - began, time.monotonic() - wall
    assert passed_s > WORK_S * 1.3
    assert taken_s - WORK_S < (passed_s - WORK_S) / 2
