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
from bff.session.interpret import Refusal
from bff.session.landing import Call, Landings
from bff.session.principal import identify
from bff.session.reading import Caller, Policy, Reading, Terms
from bff.session.reads import Reads
from bff.session.sharing import Sampling, Sharing
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


@dataclass(slots=True)
class Watched:
    """Sharing over a session; `chance` is what the next draw gives."""

    session: Session
    sharing: Sharing = field(init=False)
    chance: float = 0.0
    outcomes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        process = self.session.process
        sampling = Sampling(0.5, lambda: self.chance)
        self.sharing = Sharing(
            process.guarded, process.invalidator, self.session.reads, sampling, self.session.time
        )
        self.sharing.observe = lambda _, outcome: self.outcomes.append(outcome)
        self.session.landings.scope_of = self.sharing.scope_of
        self.session.reads.on_shared_hit = self.sharing.sample
        process.invalidator.on_applied = self.sharing.heard

    async def read(self, token: str) -> Reading | Refusal:
        return await self.session.reads.related(self.session.caller(token), 101)

    @property
    def fetches(self) -> list[str]:
        """Who fetched the related list."""
        return [token for token, path in self.session.nexudus.asked if path == OF_ALICE]

    @property
    def demoted(self) -> bool:
        return self.sharing.is_demoted(SPACE)


@pytest.fixture
async def watched(session: Session) -> AsyncIterator[Watched]:
    made = Watched(session)
    yield made
    await made.sharing.aclose()
