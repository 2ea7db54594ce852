"""Related lists where nothing can be kept for anybody: one call, for its own token alone."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bff.cache.bus import LocalBus
from bff.cache.envelope import Sealer
from bff.cache.inspection import Inspector
from bff.cache.secrets import Keyring
from bff.cache.tiered import Tier
from bff.errors import Overloaded, StoreUnavailable, UpstreamDown, UpstreamTimeout
from bff.nexudus.budget.contract import Priority
from bff.resources import PROFILES, RELATED
from bff.session.bootstrap import Bootstrap
from bff.session.examine import Examiner, Plan, Rule
from bff.session.interpret import Refusal
from bff.session.reading import Outcome, Reading
from bff.shape import parse
from tests.support.cache_process import SECRET, until
from tests.unit.session.conftest import OF_ALICE, Session, answered


class DeafBus(LocalBus):
    """Nothing is heard of the other processes."""

    trusted = False
    trusted_until = -math.inf


def gone(*_: object, **__: object) -> None:
    raise StoreUnavailable("gone")


@pytest.fixture
async def lonely(session: Session, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Session]:
    """Without the store, and deaf."""
    session.process.cache.bus = session.process.invalidator.bus = DeafBus()
    with monkeypatch.context() as patched:
        for operation in ("load", "save", "invalidate", "ping"):
            patched.setattr(session.process.guarded.inner, operation, gone)
        while session.process.guarded.available:
            await session.reads.proof_of(session.caller("nobody").principal)
        yield session


async def card(session: Session, token: str = "alice") -> Reading | Refusal:
    return await session.reads.related(session.caller(token), 101)


async def test_a_card_takes_one_call_and_nothing_of_it_is_kept(lonely: Session) -> None:
    for _ in range(2):
        reading = await card(lonely)
        assert isinstance(reading, Reading)
        assert (reading.outcome, reading.tier, reading.stored) == (
            Outcome.MISS,
            Tier.UPSTREAM,
            False,
        )
        assert reading.entry.body == b'{"RelatedProfiles":[{"Id":202}],"Threads":[{"Id":1}]}'
    assert lonely.nexudus.asked == [("alice", OF_ALICE)] * 2
    assert await lonely.reads.proof_of(lonely.caller().principal) is None


async def test_a_card_goes_where_calls_passed_through_go_by_the_beginning_of_its_request(
    lonely: Session,
) -> None:
    began = lonely.time.monotonic() - 1.0
    await lonely.reads.related(replace(lonely.caller(), until=began + 9.0, began=began), 101)
    [urgency] = lonely.nexudus.urgencies
    assert (urgency.priority, urgency.since) == (Priority.FORWARDED, began)


async def test_no_card_is_kept_parsed_in_whatever_shape_it_is_asked_for(lonely: Session) -> None:
    documents = lonely.reads.documents
    lonely.nexudus.held[OF_ALICE] = asyncio.Event()
    asked = [asyncio.create_task(card(lonely)) for _ in range(3)]
    await until(lambda: lonely.process.flights.waiters == 3)
    lonely.nexudus.held[OF_ALICE].set()
    for reading in [await each for each in asked]:
        assert isinstance(reading, Reading)
        body, _ = documents.shaped(lonely.caller().principal, reading, parse("Threads.Id"))
        assert body == b'{"Threads":[{"Id":1}]}'
    assert len(lonely.process.memory) == 0


async def test_a_card_beside_its_own_session_joins_the_calls_that_are_made_for_that(
    lonely: Session,
) -> None:
    lonely.nexudus.held[PROFILES.path] = asyncio.Event()
    session = Bootstrap(lonely.reads, (RELATED,)).document(lonely.caller(), parse(""), None)
    opening = asyncio.create_task(session)
    await until(lambda: len(lonely.nexudus.asked) == 1)
    beside = asyncio.create_task(card(lonely))
    await until(lambda: lonely.process.flights.waiters == 2)
    lonely.nexudus.held[PROFILES.path].set()
    await asyncio.gather(opening, beside)
    assert lonely.nexudus.asked == [("alice", PROFILES.path), ("alice", OF_ALICE)]


async def test_pitfalls_1_7_21_a_stampede_of_one_token_is_one_call_and_no_other_token_joins(
    lonely: Session,
) -> None:
    lonely.nexudus.held[OF_ALICE] = asyncio.Event()
    asked = [asyncio.create_task(card(lonely, token)) for token in ("alice", "bob") * 100]
    await until(lambda: lonely.process.flights.waiters == 200)
    lonely.nexudus.held[OF_ALICE].set()
    outcomes = [(await each) for each in asked]
    assert sorted(lonely.nexudus.asked) == [("alice", OF_ALICE), ("bob", OF_ALICE)]
    told = [each.outcome for each in outcomes if isinstance(each, Reading)]
    assert (told.count(Outcome.MISS), told.count(Outcome.COALESCED)) == (2, 198)


async def test_pitfall_2_a_refused_token_gets_the_refusal_and_its_proof_is_withdrawn(
    lonely: Session,
) -> None:
    assert isinstance(await lonely.reads.profiles(lonely.caller()), Reading)
    assert await lonely.reads.proof_of(lonely.caller().principal) is not None
    await lonely.time.advance(6.0)  # by then what others did may have been missed
    lonely.nexudus.serves[OF_ALICE] = answered({}, 401)
    refused = await card(lonely)
    assert isinstance(refused, Refusal)
    assert refused.status == 401
    assert [cause for _, cause, _ in lonely.process.reports] == ["proof_withdrawn"]


async def test_what_was_proven_just_before_is_read_as_ever(lonely: Session) -> None:
    assert isinstance(await lonely.reads.profiles(lonely.caller()), Reading)
    for outcome in (Outcome.MISS, Outcome.HIT):
        reading = await card(lonely)
        assert isinstance(reading, Reading)
        assert (reading.outcome, reading.stored) == (outcome, True)
    assert lonely.nexudus.asked == [("alice", PROFILES.path), ("alice", OF_ALICE)]


@pytest.mark.parametrize(
    "failure", [UpstreamDown("gone"), Overloaded("spent", retry_after_s=3), answered({}, 500)]
)
async def test_where_nothing_was_held_before_a_failure_is_told(
    lonely: Session, failure: object
) -> None:
    lonely.nexudus.serves[OF_ALICE] = failure
    if isinstance(failure, Exception):
        with pytest.raises(type(failure)):
            await card(lonely)
    else:
        refused = await card(lonely)
        assert isinstance(refused, Refusal)
        assert refused.status == 500


async def test_its_caller_waits_no_longer_than_it_may_and_the_call_goes_on(lonely: Session) -> None:
    lonely.nexudus.held[OF_ALICE] = asyncio.Event()
    caller = lonely.caller()
    hurried = replace(caller, until=lonely.time.monotonic() + 0.02)
    with pytest.raises(UpstreamTimeout):
        await lonely.reads.related(hurried, 101)
    joining = asyncio.create_task(card(lonely))
    await until(lambda: lonely.process.flights.waiters == 1)
    lonely.nexudus.held[OF_ALICE].set()
    reading = await joining
    assert isinstance(reading, Reading)
    assert reading.outcome is Outcome.COALESCED


async def test_pitfall_23_while_nexudus_fails_what_was_held_before_stands_in_for_its_members(
    lonely: Session,
) -> None:
    lonely.process.cache._stand_in_s = 300.0
    await lonely.reads.profiles(lonely.caller())
    await card(lonely)
    await lonely.time.advance(60.0)
    lonely.nexudus.serves[OF_ALICE] = UpstreamDown("gone")
    reading = await card(lonely)
    assert isinstance(reading, Reading)
    assert (reading.outcome, reading.counts_as) == (Outcome.STALE_ERROR, "stand_in")
    with pytest.raises(UpstreamDown):
        await card(lonely, "bob")
    lonely.nexudus.serves[OF_ALICE] = Overloaded("spent", retry_after_s=3)
    with pytest.raises(Overloaded):
        await card(lonely)


async def test_with_the_store_or_the_bus_a_token_is_proven_and_the_list_is_shared(
    session: Session,
) -> None:
    session.process.cache.bus = DeafBus()
    await card(session)
    reading = await card(session, "bob")
    assert isinstance(reading, Reading)
    assert reading.outcome is Outcome.HIT
    asked = [("alice", PROFILES.path), ("alice", OF_ALICE), ("bob", PROFILES.path)]
    assert session.nexudus.asked == asked


async def test_an_explanation_says_that_it_takes_one_call_and_is_kept_nowhere(
    lonely: Session,
) -> None:
    process = lonely.process
    inspector = Inspector(process.cache, Sealer(Keyring((SECRET,)), os.urandom), lonely.time)
    examiner = Examiner(inspector, lonely.landings, process.flights)
    [card_only] = await examiner.related(lonely.caller(), 101)
    assert (card_only.plan, card_only.rule) == (Plan.FETCH, Rule.REDIS)
    assert "kept" in card_only.why
    process.cache.bus = LocalBus()
    listed, shared = await examiner.related(lonely.caller(), 101)
    assert (listed.resource, shared.resource) == (PROFILES, RELATED)
