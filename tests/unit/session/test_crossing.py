"""What a flight does with what it is told of others, and what the others are told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from bff.cache.endings import Ending, Failed, Nothing, Stored
from bff.cache.flight import Course
from bff.cache.lead import Lead, Lock, Told
from bff.cache.leadership import LocalLeadership
from bff.cache.tiered import Tier
from bff.errors import UpstreamDown, UpstreamTimeout
from bff.nexudus.answers import Answer
from bff.nexudus.budget.contract import Priority, Urgency
from bff.resources import PROFILES
from bff.session.crossing import Crossing
from bff.session.landing import Landing
from bff.session.reading import Ask
from tests.support.cache_process import SPACE, until
from tests.unit.session.conftest import Session

WITHIN_S = 10.0


@dataclass(slots=True)
class Elsewhere(LocalLeadership):
    """Other processes: `tells` is asked with each claim; without it, this one leads."""

    tells: Callable[[float], Awaitable[Told]] | None = None
    leads: list[Lead] = field(default_factory=list)
    ended: list[Ending] = field(default_factory=list)

    async def claim(
        self, lock: Lock, *, within_s: float, urgent: bool = True, after: Told | None = None
    ) -> Lead | Told:
        if self.tells is not None:
            return await self.tells(within_s)
        lead = Lead(lock, "me", urgent=urgent)
        lead.on_end = lambda ended: self.ended.append(ended.ending)
        self.leads.append(lead)
        return lead


def flown(
    session: Session, elsewhere: Elsewhere, urgency: Urgency | None = None
) -> Awaitable[Landing]:
    """Alice's profile list, by a flight that knows nothing yet."""
    crossing = Crossing(session.process.cache, session.landings, elsewhere, within_s=WITHIN_S)
    ask = Ask(session.caller(), PROFILES, "")
    urgency = urgency or Urgency(Priority.INTERACTIVE)
    ticket = session.process.cache.unstamped()
    return crossing.fly(ask, "key", ticket, urgency, Course())


async def stored(session: Session) -> None:
    """Returns once the list has been read, and is in the store."""
    await session.reads.profiles(session.caller())
    await until(lambda: not session.process.flights)


async def asked(session: Session, calls: int = 1) -> None:
    """Returns once Nexudus has been asked so often."""
    await until(lambda: len(session.nexudus.asked) == calls)


def is_urgent(lead: Lead) -> bool:
    return lead.urgent


def priority_in(session: Session) -> Priority:
    """That of the first call."""
    return session.nexudus.urgencies[0].priority


async def test_who_waits_for_others_in_vain_ends_with_its_own_time(session: Session) -> None:
    claims: list[float] = []

    async def takes_four_seconds(within_s: float) -> Told:
        claims.append(within_s)
        session.time.now += 4
        return Told(Nothing())

    with pytest.raises(UpstreamTimeout):
        await flown(session, Elsewhere(takes_four_seconds))
    assert claims == pytest.approx([10, 6, 2])
    assert session.nexudus.asked == []


async def test_what_others_stored_is_found_and_counts_as_kept_for_all(session: Session) -> None:
    await stored(session)
    landing = await flown(session, Elsewhere())
    assert (landing.tier, landing.stored, landing.shared) == (Tier.L2, True, True)
    assert len(session.nexudus.asked) == 1


async def test_what_others_stored_meanwhile_counts_as_fetched(session: Session) -> None:
    async def store(_within_s: float) -> Told:
        await stored(session)
        return Told(Stored(), "they")

    landing = await flown(session, Elsewhere(store))
    assert (landing.tier, landing.took_s) == (Tier.UPSTREAM, None)
    assert len(session.nexudus.asked) == 1


async def test_a_call_that_fails_is_everybodys_failure(session: Session) -> None:
    elsewhere = Elsewhere()
    session.nexudus.serves[PROFILES.path] = UpstreamDown("gone", retry_after_s=3)
    with pytest.raises(UpstreamDown):
        await flown(session, elsewhere)
    assert elsewhere.ended == [Failed("UpstreamDown", retry_after_s=3)]


async def test_others_are_told_for_how_long_nexudus_is_to_be_left_alone(session: Session) -> None:
    elsewhere = Elsewhere()
    throttled = Answer.of(409, ((b"retry-after", b"7"),), b"", 0.0)
    session.nexudus.serves[PROFILES.path] = throttled
    await flown(session, elsewhere)
    assert elsewhere.ended == [Failed(status=409, retry_after_s=7)]


async def test_of_what_was_overtaken_others_look_and_claim_anew(session: Session) -> None:
    elsewhere = Elsewhere()
    session.nexudus.held[PROFILES.path] = asyncio.Event()
    flight = asyncio.ensure_future(flown(session, elsewhere))
    await asked(session)
    await session.process.invalidator.invalidate(SPACE, frozenset({"u:7001"}), "write")
    session.nexudus.held[PROFILES.path].set()
    assert not (await flight).stored
    assert elsewhere.ended == [Nothing()]


async def test_a_refresh_that_others_wait_for_is_as_urgent_as_they_are(session: Session) -> None:
    elsewhere, urgency = Elsewhere(), Urgency(Priority.BACKGROUND)
    session.nexudus.held[PROFILES.path] = asyncio.Event()
    flight = asyncio.ensure_future(flown(session, elsewhere, urgency))
    await asked(session)
    assert priority_in(session) is Priority.BACKGROUND
    elsewhere.leads[0].hurry()
    assert priority_in(session) is Priority.INTERACTIVE
    session.nexudus.held[PROFILES.path].set()
    await flight


async def test_a_refresh_that_is_waited_for_here_is_others_to_wait_for_until_it_ends(
    session: Session,
) -> None:
    elsewhere, urgency = Elsewhere(), Urgency(Priority.BACKGROUND)
    session.nexudus.held[PROFILES.path] = asyncio.Event()
    flight = asyncio.ensure_future(flown(session, elsewhere, urgency))
    await asked(session)
    [lead] = elsewhere.leads
    assert not is_urgent(lead)
    urgency.raise_to(Priority.INTERACTIVE)
    assert is_urgent(lead)
    session.nexudus.held[PROFILES.path].set()
    await flight
    again = Urgency(Priority.BACKGROUND)
    session.time.now += 1_000
    await flown(session, elsewhere, again)
    again.raise_to(Priority.INTERACTIVE)
    assert not is_urgent(elsewhere.leads[1])
