"""What the load saw, counted by phase, and printed as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from tests.support.fleet_checks import GOOD, Fault, Wrong
from tests.support.fleet_client import Reply

_KEPT: Final = 12
_HEAD: Final = (
    f"{'phase':33} asked wrong errors | slowest ms: read cached write | calls 409s"
    "  slowest read; note"
)


@dataclass(slots=True)
class Phase:
    """One phase. `errors` are those that are in order; `calls`, `overruns`: seen by Nexudus.

    `slowest_cached_s`: of the answers for which nobody waited for Nexudus; related lists are not
    among them, since a hit may have waited for the proof of its caller.
    """

    name: str
    began: float = field(default_factory=monotonic)
    requests: int = 0
    slowest_s: float = 0.0
    slowest: str = ""
    slowest_cached_s: float = 0.0
    slowest_write_s: float = 0.0
    calls: int = 0
    overruns: int = 0
    faults: Counter[Wrong] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    note: str = ""

    def add(self, what: str, reply: Reply, faults: list[Fault]) -> None:
        """One answer; `what` was asked for."""
        self.requests += 1
        self.faults.update(fault.wrong for fault in faults)
        if not faults and reply.status not in GOOD and reply.status != 401:
            self.errors[f"{what} {reply.status}"] += 1
        if what == "switch":
            self.slowest_write_s = max(self.slowest_write_s, reply.took_s)
        elif reply.took_s > self.slowest_s:
            self.slowest_s = reply.took_s
            self.slowest = f"{what} {reply.status} {reply.headers.get('cache-status', '')[5:]}"
        if reply.from_cache and reply.status in GOOD and what != "related":
            self.slowest_cached_s = max(self.slowest_cached_s, reply.took_s)

    def line(self) -> str:
        """As a row of the table."""
        seconds = (self.slowest_s, self.slowest_cached_s, self.slowest_write_s)
        times = " ".join(f"{each * 1000:6.0f}" for each in seconds)
        counts = f"{self.requests:5d} {self.faults.total():5d} {self.errors.total():6d}"
        upstream = f"{self.calls:5d} {self.overruns:4d}"
        return f"{self.name:33} {counts} |     {times}    | {upstream}  {self.slowest}; {self.note}"


@dataclass(slots=True)
class Figures:
    """All phases of a run, and the first faults of each kind in words."""

    phases: list[Phase] = field(default_factory=list)
    words: dict[Wrong, list[str]] = field(default_factory=dict)

    @property
    def phase(self) -> Phase:
        """The one under way."""
        return self.phases[-1]

    def begin(self, name: str) -> Phase:
        """Another phase."""
        self.phases.append(Phase(name))
        return self.phase

    def add(self, phase: Phase, what: str, reply: Reply, faults: list[Fault]) -> None:
        """One answer, which was asked for in `phase`."""
        phase.add(what, reply, faults)
        for fault in faults:
            told = self.words.setdefault(fault.wrong, [])
            if len(told) < _KEPT:
                told.append(f"[{phase.name}] {fault.text}")

    def total(self, wrong: Wrong) -> int:
        return sum(phase.faults[wrong] for phase in self.phases)

    @property
    def requests(self) -> int:
        return sum(phase.requests for phase in self.phases)

    def table(self) -> str:
        """One line for each phase, then the errors that were in order."""
        errors: Counter[str] = sum((phase.errors for phase in self.phases), Counter())
        rows = [phase.line() for phase in self.phases]
        return "\n".join([_HEAD, *rows, f"errors where none could be avoided: {dict(errors)}"])

    def faults(self) -> str:
        """The first of each kind in words."""
        return "\n".join(
            f"  {wrong.value}: {t}" for wrong in Wrong for t in self.words.get(wrong, [])
        )
