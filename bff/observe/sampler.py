"""What is counted and measured, written now and then: who is scraped has what others have written.

Gauges are set once a second, and whenever somebody asks this process for them. What fails is told
of, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import resource
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from bff.clock import Clock
from bff.observe.metrics import Metrics

log = structlog.get_logger("bff.metrics")

EVERY_S: Final = 1.0
TICK_S: Final = 0.1
"""How old counts may be; and a loop that is busy for longer than this is noticed."""
LATELY: Final = 15
"""Seconds that the loop's lag is told of: a usual interval between two scrapes."""
TOLD_S: Final = 60.0
"""Between two lines about errors of the same type."""
_STATM: Final = Path("/proc/self/statm")


class Sampler:
    """Sets the gauges of one process. `probes` are called for each sample."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._probes: list[Callable[[], None]] = []
        self._lags: deque[float] = deque([0.0], maxlen=LATELY)
        self._told: dict[type[Exception], float] = {}
        self._task: asyncio.Task[None] | None = None
        metrics.refresh = self.sample
        self.probe(self._process)

    def probe(self, probe: Callable[[], None]) -> None:
        """Call `probe`, which sets gauges, now and for each sample."""
        self._probes.append(probe)
        probe()

    def sample(self) -> None:
        """Set every gauge, but those whose probe fails."""
        for probe in self._probes:
            self._tried(probe)

    def start(self, version: str) -> None:
        """Sample from now on. For the lifespan of an application."""
        self._metrics.set("bff_build_info", 1, version, platform.python_version())
        self._metrics.set("bff_workers", 1)
        self._metrics.count("bff_worker_starts")
        self._task = asyncio.create_task(self._run(), name="sampler")

    async def aclose(self) -> None:
        """Sample no more."""
        self._metrics.set("bff_workers", 0)
        self._tried(self._metrics.settle_hot)
        self._tried(self._metrics.flush)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            latest = 0.0
            for _ in range(round(EVERY_S / TICK_S)):
                before = self._clock.monotonic()
                await self._clock.sleep(TICK_S)
                self._tried(self._metrics.settle_hot)
                latest = max(latest, self._clock.monotonic() - before - TICK_S)
                self._tried(self._metrics.flush)
            self._lags.append(latest)
            self._tried(self._metrics.settle)
            self.sample()

    def _tried(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            now, told = self._clock.monotonic(), self._told.get(type(error))
            if told is None or now - told >= TOLD_S:
                self._told[type(error)] = now
                with contextlib.suppress(OSError):  # it may be the log that fails
                    log.exception("sample_failed")

    def _process(self) -> None:
        self._metrics.set("bff_loop_lag_seconds", max(self._lags))
        self._metrics.set("bff_resident_bytes", _resident_bytes())


def _resident_bytes() -> int:
    """What this process has in memory; where the system does not say, the most that it had."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
