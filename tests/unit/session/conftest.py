"""The reads of one process around an embedded store, with Nexudus and time in the test's hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import orjson
import pytest

from bff.cache.connect import connect
from bff.cache.decide import Freshness
from bff.cache.leadership import LocalLeadership
from bff.cache.secrets import Keyring
from bff.errors import UpstreamError
from bff.nexudus.answers import Answer
from bff.nexudus.budget.contract import Urgency
from bff.nexudus.headers import Variants
from bff.resources import PROFILES, RELATED
from bff.session.crossing import Crossing
from bff.session.landing import Call, Landings
from bff.session.principal import identify
from bff.session.reading import Caller, Policy
from bff.session.reads import Reads, Terms
from tests.support.cache_process import SECRET, SPACE, Process, Setting, assemble
from tests.support.manual_time import ManualTime

OF_ALICE = RELATED.path_for("101")
TERMS = Terms(stale_patience_s=0.05, refreshes=2)
NOTHING = Freshness(0, 0, 0)
POLICIES = {
    PROFILES.name: Policy(Freshness(60, 300, 3600), NOTHING),
    RELATED.name: Policy(Freshness(300, 1800, 86400), Freshness(60, 0, 0)),
}


def answered(document: object, status: int = 200) -> Answer:
    return Answer.of(status, (), orjson.dumps(document), 0.0)


@dataclass(slots=True)
class Nexudus:
    """What each path answers: a document, an answer, an error; and who asked for what."""

    serves: dict[str, object] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    urgencies: list[Urgency] = field(default_factory=list)
    held: dict[str, asyncio.Event] = field(default_factory=dict)

    async def fetch(self, call: Call) -> Answer:
        await call.begins()
        path = call.path
        self.asked.append((call.principal.token, path))
        self.urgencies.append(call.urgency)
        if path in self.held:
            await self.held[path].wait()
        served = self.serves[path]
        if isinstance(served, UpstreamError):
            raise served
        return served if isinstance(served, Answer) else answered(served)


@dataclass(frozen=True, slots=True)
class Session:
    """A process that reads."""

    process: Process
    nexudus: Nexudus
    landings: Landings
    reads: Reads
    time: ManualTime
    policies: dict[str, Policy]

    def caller(self, token: str = "alice") -> Caller:
        return Caller(identify(SPACE, token, Keyring((SECRET,))), Variants())


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    time, nexudus, policies = ManualTime(), Nexudus(), dict(POLICIES)
    process = assemble(connect("embedded://"), "mine", Setting(clock=time))
    landings = Landings(process.cache, process.invalidator, nexudus.fetch, policies, time)
    crossing = Crossing(process.cache, landings, LocalLeadership(), within_s=10)
    reads = Reads(process.cache, process.flights, landings, crossing, TERMS)
    nexudus.serves = {
        PROFILES.path: {
            "User": {"Id": 7001, "AccessToken": "x"},
            "Profiles": [{"Id": 101, "Active": True, "IsDefaultProfile": True}],
        },
        OF_ALICE: {"RelatedProfiles": [{"Id": 202}], "Threads": [{"Id": 1}]},
    }
    yield Session(process, nexudus, landings, reads, time, policies)
    await process.flights.aclose()
    await process.guarded.aclose()
