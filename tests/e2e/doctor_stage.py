"""What an examination is tried on: simulated spaces, a clock without pauses, and its findings."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bff.doctor import Finding, Subject, examine
from bff.sandbox.app import Sandbox, create_app, sandbox_of
from bff.sandbox.effects import Effect
from bff.sandbox.faults import Match, Rule
from bff.sandbox.options import SandboxOptions
from bff.settings import load
from tests.support.serving import serving

TOKEN = "canary-token-of-jane"
SECRET = "s" * 40
NOBODY = "http://127.0.0.1:9"


@dataclass(slots=True)
class BriskClock:
    """Real time, `ahead_s` of everybody else's, without pauses; those are written down."""

    ahead_s: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def wall(self) -> float:
        return SYSTEM.wall() + self.ahead_s

    def monotonic(self) -> float:
        return SYSTEM.monotonic()

    async def sleep(self, delay_s: float) -> None:
        self.pauses.append(delay_s)


SYSTEM = SandboxOptions().clock


@dataclass(frozen=True, slots=True)
class Nexudus:
    """A simulated space without a throttle; Jane Doe's token is TOKEN."""

    origin: str
    inside: Sandbox

    def meets(self, effect: Effect, path: str, count: int | None = None) -> None:
        regex = re.compile(rf"\A{re.escape(path)}\Z")
        self.inside.faults.add(Rule(effect, Match(path_regex=regex), count=count))


@asynccontextmanager
async def simulated(*, throttle: bool = False) -> AsyncIterator[Nexudus]:
    app = create_app(SandboxOptions(members=20, throttle=throttle, demo_token=TOKEN))
    async with serving(app) as origin:
        yield Nexudus(origin, sandbox_of(app))


async def findings(
    origin: str, token: str = "", clock: BriskClock | None = None, **variables: str
) -> dict[str, Finding]:
    """What `examine` finds, by check."""
    settings = load({"BFF_UPSTREAM": origin, "BFF_SECRET": SECRET, **variables})
    subject = Subject(settings, settings.space_table.spaces[0], token)
    found = await examine(subject, clock or BriskClock())
    assert TOKEN not in repr(found)
    return {each.check: each for each in found}


def results(found: Mapping[str, Finding]) -> dict[str, str]:
    return {check: finding.result.value for check, finding in found.items()}
