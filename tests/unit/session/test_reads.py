"""Reads that meet a slow or failing Nexudus: what they wait for, and what goes on behind them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from bff.cache.bus import LocalBus
from bff.cache.decide import Verdict
from bff.cache.endings import Stored
from bff.cache.entry import Entry
from bff.cache.keys import Container, Scope
from bff.cache.lead import Lead, Lock, Told
from bff.cache.leadership import LocalLeadership
from bff.cache.remote import RemoteStore
from bff.cache.store import Loaded
from bff.cache.tiered import Found, Tier
from bff.errors import Overloaded, UpstreamDown, UpstreamTimeout
from bff.nexudus.answers import Answer
from bff.nexudus.budget.contract import Priority
from bff.resources import PROFILES, RELATED
from bff.session import wants
from bff.session.interpret import Refusal
from bff.session.landing import Call
from bff.session.reading import Ask, Caller, Outcome, Reading
from tests.support.cache_process import SPACE, until
from tests.support.manual_time import settled
from tests.unit.session.conftest import OF_ALICE, TERMS, Session, answered

FRESH_S, STALE_S, ERROR_S = 60, 300, 3600


async def profiles(session: Session, token: str = "alice") -> Reading:
    reading = await session.reads.profiles(session.caller(token))
    assert isinstance(reading, Reading)
    await until(lambda: not session.process.flights.storing)
    return reading


async def held(session: Session, calls: int) -> None:
    """Returns once so many calls reached Nexudus in all."""
    await until(lambda: len(session.nexudus.asked) >= calls)


async def landed(session: Session) -> None:
    await until(lambda: len(session.process.flights) == 0)


async def test_what_is_stored_nowhere_yet_is_asked_for_once(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a 404 taken for one token's own while the list that it follows is being stored."""
    session.process.memory.max_bytes, session.nexudus.serves[OF_ALICE] = 0, answered({}, 404)
    save = RemoteStore.save

    async def slow(*args: Any, **named: Any) -> bool:
        await settled(100)
        return await save(*args, **named)

    monkeypatch.setattr(RemoteStore, "save", slow)
    for _ in range(2):
        await session.reads.profiles(session.caller())
        await session.reads.related(session.caller(), 101)
    assert session.nexudus.asked == [("alice", PROFILES.path), ("alice", OF_ALICE)]
    space = session.process.store.keyspace.base(SPACE)
    assert await session.process.store.client.exists(f"{space}c:101")


async def test_other_processes_are_told_what_the_store_said(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers here did not wait for that."""
    claim, leads = LocalLeadership.claim, list[Lead]()

    async def claimed(*args: Any, **named: Any) -> Lead | Told:
        lead = await claim(*args, **named)
        assert isinstance(lead, Lead)
        leads.append(lead)
        return lead

    monkeypatch.setattr(LocalLeadership, "claim", claimed)
    await profiles(session)
    assert [lead.ending for lead in leads] == [Stored()]


async def test_a_stale_list_is_served_at_once_and_refreshed_with_the_lowest_priority(
    session: Session,
) -> None:
    await profiles(session)
    await session.time.advance(FRESH_S + 1)
    session.nexudus.held[PROFILES.path] = asyncio.Event()

    assert (await profiles(session)).outcome is Outcome.STALE
    assert (await profiles(session)).outcome is Outcome.STALE
    await held(session, 2)

    assert len(session.nexudus.asked) == 2, "one refresh, however many ask"
    assert session.nexudus.urgencies[-1].priority is Priority.BACKGROUND
    session.nexudus.held[PROFILES.path].set()
    await landed(session)
    assert (await profiles(session)).outcome is Outcome.HIT


async def test_who_joins_a_refresh_makes_it_urgent(session: Session) -> None:
    await profiles(session)
    await session.time.advance(FRESH_S + 1)
    session.nexudus.held[PROFILES.path] = asyncio.Event()
    await profiles(session)
    await held(session, 2)

    waiting = asyncio.create_task(
        session.reads.profiles(session.caller(), stale_ok=False), name="must prove itself"
    )
    await until(lambda: session.nexudus.urgencies[-1].priority is Priority.INTERACTIVE)
    session.nexudus.held[PROFILES.path].set()
    assert isinstance(await waiting, Reading)
    assert len(session.nexudus.asked) == 2


async def test_what_a_call_was_parsed_to_is_given_to_whom_it_was_made_for_alone(
    session: Session,
) -> None:
    session.nexudus.held[PROFILES.path] = asyncio.Event()
    asking = [asyncio.create_task(profiles(session)) for _ in range(2)]
    await held(session, 1)
    session.nexudus.held[PROFILES.path].set()
    first, other = [await each for each in asking]
    assert (first.outcome, other.outcome) == (Outcome.MISS, Outcome.COALESCED)
    assert first.document is not None
    assert other.document is None
    assert session.reads.documents.opened(session.caller().principal, other)[0] == first.document


async def test_no_more_refreshes_than_allowed_run_at_a_time(session: Session) -> None:
    tokens = ("alice", "bob", "carol", "dave")
    for token in tokens:
        await profiles(session, token)
    await session.time.advance(FRESH_S + 1)
    session.nexudus.held[PROFILES.path] = asyncio.Event()

    readings = await asyncio.gather(*(profiles(session, token) for token in tokens))
    assert {reading.outcome for reading in readings} == {Outcome.STALE}
    await held(session, len(tokens) + 2)
    await asyncio.sleep(0.01)

    assert len(session.nexudus.asked) == len(tokens) + 2
    assert session.process.flights.behind == 2
    session.nexudus.held[PROFILES.path].set()
    await landed(session)
    assert session.process.flights.behind == 0


async def test_a_failed_refresh_leaves_room_for_the_next(session: Session) -> None:
    await profiles(session)
    await session.time.advance(FRESH_S + 1)
    session.nexudus.serves[PROFILES.path] = UpstreamDown("gone")

    for _ in range(3):
        assert (await profiles(session)).outcome is Outcome.STALE
        await landed(session)

    assert session.process.flights.behind == 0
    assert len(session.nexudus.asked) == 4


async def test_past_the_stale_window_a_slow_nexudus_is_not_waited_for_long(
    session: Session,
) -> None:
    await profiles(session)
    await session.time.advance(FRESH_S + STALE_S + 1)
    session.nexudus.held[PROFILES.path] = asyncio.Event()

    assert (await profiles(session)).outcome is Outcome.STALE_ERROR

    assert len(session.process.flights) == 1, "the flight goes on behind the answer"
    session.nexudus.held[PROFILES.path].set()
    await landed(session)
    assert (await profiles(session)).outcome is Outcome.HIT
    assert len(session.nexudus.asked) == 2


async def test_a_read_that_proves_its_caller_waits_for_a_slow_nexudus(session: Session) -> None:
    """Pitfall 2: a token that may be revoked is not shown a shared list because Nexudus is slow."""
    await profiles(session)
    await session.time.advance(FRESH_S + 1)
    session.nexudus.held[PROFILES.path] = asyncio.Event()
    reading = asyncio.create_task(session.reads.related(session.caller(), 101))
    await held(session, 2)

    done, _ = await asyncio.wait({reading}, timeout=0.15)
    assert not done
    session.nexudus.serves[PROFILES.path] = answered({}, 401)
    session.nexudus.held[PROFILES.path].set()

    answer = await reading
    assert isinstance(answer, Refusal)
    assert answer.status == 401


async def test_without_anything_stale_the_callers_own_deadline_holds(session: Session) -> None:
    session.nexudus.held[PROFILES.path] = asyncio.Event()
    caller = session.caller()
    hurried = Caller(caller.principal, caller.variants, until=session.time.monotonic() + 0.05)

    with pytest.raises(UpstreamTimeout):
        await session.reads.profiles(hurried)

    session.nexudus.held[PROFILES.path].set()
    await landed(session)
    assert (await profiles(session)).outcome is Outcome.HIT


async def test_pitfall_24_past_the_error_window_nothing_old_is_served(session: Session) -> None:
    await profiles(session)
    session.nexudus.serves[PROFILES.path] = UpstreamDown("gone")

    await session.time.advance(FRESH_S + ERROR_S - 1)
    assert (await profiles(session)).outcome is Outcome.STALE_ERROR
    await session.time.advance(1)
    with pytest.raises(UpstreamDown):
        await profiles(session)


async def test_what_may_be_waited_is_waited_once_however_many_ask(session: Session) -> None:
    await profiles(session)
    await session.time.advance(FRESH_S + STALE_S + 1)
    session.nexudus.held[PROFILES.path] = asyncio.Event()
    await profiles(session)  # waits as long as may be
    session.reads._terms = replace(TERMS, stale_patience_s=30.0)
    await session.time.advance(30)  # by the clock of flights nothing has passed, by this one it has

    began = session.time.monotonic() - 30
    caller = session.caller()
    late = Caller(caller.principal, caller.variants, began + 90, began)
    async with asyncio.timeout(10):
        reading = await session.reads.profiles(late)
    assert isinstance(reading, Reading)
    assert reading.outcome is Outcome.STALE_ERROR
    session.nexudus.held[PROFILES.path].set()


async def test_a_refresh_that_went_on_for_long_is_waited_for_by_the_first_who_needs_it(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have waited for its turn behind all who had nothing stale; whoever joins is first."""
    session.reads._terms = replace(TERMS, stale_patience_s=30.0)
    await profiles(session)
    await session.time.advance(FRESH_S + 1)
    session.nexudus.held[PROFILES.path] = asyncio.Event()
    assert (await profiles(session)).outcome is Outcome.STALE
    await held(session, 2)
    monkeypatch.setattr(session.process.flights, "_clock", lambda: time.monotonic() + 60)
    await session.time.advance(STALE_S)
    waiting = asyncio.create_task(profiles(session))
    await until(lambda: session.nexudus.urgencies[-1].priority is Priority.INTERACTIVE)
    session.nexudus.held[PROFILES.path].set()
    assert (await waiting).outcome is Outcome.COALESCED


async def test_pitfall_2_that_no_call_was_to_be_had_proves_nobody(session: Session) -> None:
    """A revoked token must not keep a shared list by spending the space's budget."""
    await profiles(session)
    await session.time.advance(FRESH_S + 1)
    session.nexudus.serves[PROFILES.path] = Overloaded("spent", retry_after_s=3)

    with pytest.raises(Overloaded):
        await session.reads.related(session.caller(), 101)
    assert (await profiles(session)).outcome is Outcome.STALE, "its own list is another matter"
    await landed(session)
    await session.time.advance(STALE_S)
    assert (await profiles(session)).outcome is Outcome.STALE_ERROR, "however old, in its window"


async def test_a_write_by_somebody_else_while_a_call_waits_its_turn_does_not_keep_it_unstored(
    session: Session,
) -> None:
    fetch = session.landings.fetch

    async def in_turn(call: Call) -> Answer:
        await session.time.advance(0.5)
        await session.process.invalidator.invalidate(SPACE, frozenset(("u:9",)), "write")
        return await fetch(call)

    session.landings.fetch = in_turn
    assert (await profiles(session)).outcome is Outcome.MISS
    session.landings.fetch = fetch
    assert (await profiles(session)).outcome is Outcome.HIT


async def test_pitfall_14_what_was_dropped_after_the_call_began_is_not_stored(
    session: Session,
) -> None:
    fetch = session.landings.fetch

    async def overtaken(call: Call) -> Answer:
        answer = await fetch(call)
        await session.process.invalidator.invalidate(SPACE, frozenset(("u:7001",)), "write")
        return answer

    session.landings.fetch = overtaken
    assert (await profiles(session)).outcome is Outcome.MISS
    session.landings.fetch = fetch
    assert (await profiles(session)).outcome is Outcome.MISS


async def test_pitfall_3_that_a_profile_is_hidden_from_one_viewer_is_told_to_no_other(
    session: Session,
) -> None:
    session.nexudus.serves[RELATED.path_for("999")] = answered({}, 404)
    for token in ("bob", "alice"):
        await profiles(session, token)
        reading = await session.reads.related(session.caller(token), 999)
        assert isinstance(reading, Reading)
        assert (reading.entry.status, reading.outcome) == (404, Outcome.MISS)

    session.nexudus.serves[OF_ALICE] = answered({}, 404)  # her own: nobody sees it
    for outcome in (Outcome.MISS, Outcome.HIT):
        reading = await session.reads.related(session.caller("alice"), 101)
        assert isinstance(reading, Reading)
        assert reading.outcome is outcome


async def test_pitfall_22_a_shared_list_is_gone_by_no_longer_than_the_proof_of_its_caller(
    session: Session,
) -> None:
    await profiles(session)
    caller = session.caller()
    proof = session.process.cache.held(wants.proof_of(caller.principal))
    assert proof is not None
    await session.time.advance(1)
    for _ in range(2):  # asked for, and held
        reading = await session.reads.related(caller, 101)
        assert isinstance(reading, Reading)
        assert reading.expires == proof.expires


async def test_pitfall_2_a_shared_list_is_its_callers_for_as_long_as_a_profile_list_is_fresh(
    session: Session,
) -> None:
    """And not for as long as the list itself would be, which tells nothing about the token."""
    accepted_at = session.time.wall()
    await profiles(session)
    for _ in range(2):  # asked for, and held
        await session.time.advance(1)
        reading = await session.reads.related(session.caller(), 101)
        assert isinstance(reading, Reading)
        assert reading.proven_until == accepted_at + FRESH_S


async def shared(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alice's related list, in the shared store alone: while that is asked, sharing ends.

    Bob is proven as well.
    """
    await profiles(session, "bob")
    await profiles(session)
    await session.reads.related(session.caller(), 101)
    await until(lambda: not session.process.flights.storing)
    session.process.memory.forget()
    session.nexudus.asked.clear()
    load = session.process.guarded.load

    async def meanwhile(space: str, places: Sequence[tuple[Container, str]]) -> Loaded:
        loaded = await load(space, places)
        if any(container.scope is Scope.COWORKER for container, _ in places):
            session.landings.scope_of = lambda _, __: Scope.TOKEN
        return loaded

    monkeypatch.setattr(session.process.guarded, "load", meanwhile)


async def test_pitfall_3_what_was_found_while_its_space_stopped_sharing_is_not_shown(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shared(session, monkeypatch)
    reading = await session.reads.related(session.caller("bob"), 101)
    assert isinstance(reading, Reading)
    assert reading.outcome is Outcome.MISS
    assert session.nexudus.asked == [("bob", OF_ALICE)]


async def test_pitfall_3_nor_is_what_was_foreseen(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shared(session, monkeypatch)
    caller = session.caller("bob")
    asks = [Ask(caller, PROFILES, ""), Ask(caller, RELATED, "101")]
    survey = await session.reads.lookup.survey(asks)
    assert [reading.resource for reading in survey.fresh] == [PROFILES]


async def test_nothing_is_refreshed_with_a_token_that_may_be_invented(session: Session) -> None:
    await session.reads.related(session.caller(), 101)
    await landed(session)
    await session.time.advance(300 + 1)
    calls = len(session.nexudus.asked)

    async def gate() -> bool:
        return False

    reading = await session.reads.read(Ask(session.caller("bob"), RELATED, "101", gate=gate))
    assert isinstance(reading, Reading)
    assert reading.outcome is Outcome.STALE
    assert len(session.process.flights) == 0
    assert len(session.nexudus.asked) == calls


async def test_pitfall_3_nor_is_it_what_a_flight_brings(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shared(session, monkeypatch)
    session.reads.refresh(Ask(session.caller("bob"), RELATED, "101"))
    await landed(session)
    assert session.nexudus.asked == [("bob", OF_ALICE)]


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("on_profiles", [False, True])
async def test_pitfall_2_who_comes_after_a_refusal_joins_no_flight_from_before_it(
    session: Session, behind: bool, on_profiles: bool
) -> None:
    if behind:
        await profiles(session)
        await session.time.advance(FRESH_S + 1)
    calls = len(session.nexudus.asked)
    session.nexudus.held[PROFILES.path] = asyncio.Event()
    first = asyncio.create_task(session.reads.profiles(session.caller()))
    await held(session, calls + 1)
    await session.reads.refused(session.caller().principal, on_profiles=on_profiles)
    second = asyncio.create_task(session.reads.profiles(session.caller()))
    await held(session, calls + 2)
    session.nexudus.held[PROFILES.path].set()
    before, after = await first, await second
    assert isinstance(before, Reading)
    assert isinstance(after, Reading)
    assert before.outcome is (Outcome.STALE if behind else Outcome.MISS)
    assert after.outcome is Outcome.MISS


async def test_pitfall_14_while_nothing_is_heard_no_call_is_shared_across_an_invalidation(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been made by another process, and what began before it is too old."""
    monkeypatch.setattr(LocalBus, "trusted", False)
    session.nexudus.held[PROFILES.path] = asyncio.Event()
    reading = [asyncio.create_task(session.reads.profiles(session.caller()))]
    await held(session, 1)
    await session.process.guarded.inner.invalidate(SPACE, frozenset(("u:7001",)))
    reading += [asyncio.create_task(session.reads.profiles(session.caller())) for _ in range(2)]
    await held(session, 2)
    session.nexudus.held[PROFILES.path].set()
    answers = [await each for each in reading]
    assert [isinstance(answer, Reading) and answer.outcome for answer in answers] == [
        Outcome.MISS, Outcome.MISS, Outcome.COALESCED,
    ]  # fmt: skip


@pytest.mark.parametrize(("known", "hits"), [(False, 0), (True, 1)])
async def test_a_shared_hit_of_a_caller_that_may_be_nobody_is_not_compared(
    session: Session, known: bool, hits: int
) -> None:
    """It would cost a call with an invented token."""
    await profiles(session)
    await session.reads.related(session.caller(), 101)
    if known:
        await profiles(session, "bob")
    heard: list[Ask] = []
    session.reads.on_shared_hit = lambda ask, _: heard.append(ask)

    async def gate() -> bool:
        return False

    reading = await session.reads.read(Ask(session.caller("bob"), RELATED, "101", gate=gate))
    assert isinstance(reading, Reading)
    assert reading.outcome is Outcome.HIT
    assert len(heard) == hits


async def test_calls_for_a_token_that_nobody_knows_give_way_to_those_of_members(
    session: Session,
) -> None:
    await profiles(session)
    await session.time.advance(FRESH_S + STALE_S + 1)
    await profiles(session)
    priorities = [urgency.priority for urgency in session.nexudus.urgencies]
    assert priorities == [Priority.STRANGER, Priority.INTERACTIVE]


async def test_what_is_fresh_in_process_costs_no_question_to_the_store(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    await profiles(session)
    await session.reads.related(session.caller(), 101)
    asked: list[Sequence[tuple[Container, str]]] = []
    load = session.process.guarded.load

    async def counted(space: str, places: Sequence[tuple[Container, str]]) -> Loaded:
        asked.append(places)
        return await load(space, places)

    monkeypatch.setattr(session.process.guarded, "load", counted)
    for _ in range(3):
        await profiles(session)
        reading = await session.reads.related(session.caller(), 101)
        assert isinstance(reading, Reading)
        assert reading.outcome is Outcome.HIT
    assert not asked

    await session.time.advance(295)
    await session.reads.related(session.caller(), 101)  # held anew, not for long
    asked.clear()
    await session.time.advance(10)
    reading = await session.reads.related(session.caller(), 101)
    assert isinstance(reading, Reading)
    assert reading.outcome is Outcome.STALE
    own = wants.own_of(Ask(session.caller(), RELATED, "101")).address
    places = [place for together in asked for place in together]
    assert (own.container, own.field) in places, "it may be newer than what is stale"


@pytest.mark.parametrize("own_first", [True, False])
async def test_of_a_shared_list_and_one_of_the_tokens_own_the_better_is_shown(
    session: Session, own_first: bool
) -> None:
    now = session.time.wall()
    stale, fresh = (
        Found(Entry(200, b"{}", now - age_s, ("c:101",)), Tier.L1, math.inf) for age_s in (301, 1)
    )
    ask = Ask(session.caller(), RELATED, "101")
    values = (fresh, stale) if own_first else (stale, fresh)
    verdict, reading = session.reads.lookup.judged(ask, (*values, None))
    assert verdict is Verdict.FRESH
    assert reading is not None
    assert reading.entry is fresh.value


async def test_a_list_that_was_read_anew_is_no_longer_the_one_that_was_shown(
    session: Session,
) -> None:
    first = await profiles(session)
    ask = Ask(session.caller(), PROFILES, "")
    assert await session.reads.is_current(ask, first.entry)
    await session.time.advance(FRESH_S + STALE_S + 1)
    again = await profiles(session)
    assert not await session.reads.is_current(ask, first.entry)
    assert await session.reads.is_current(ask, again.entry)


async def unproven(session: Session, *proven: bool) -> list[asyncio.Task[Reading | Refusal]]:
    """Reads of one token that nobody knows, of which it turns out so; all under way at once."""

    def gate(answer: bool) -> Callable[[], Awaitable[bool]]:
        async def gate() -> bool:
            return answer

        return gate

    session.nexudus.held[OF_ALICE] = asyncio.Event()
    reads = []
    for each in proven:
        ask = Ask(session.caller("bob"), RELATED, "101", gate=gate(each))
        reads.append(asyncio.create_task(session.reads.read(ask)))
        await held(session, 1)
        await settled()
    assert session.nexudus.asked == [("bob", OF_ALICE)], "one waits for the other"
    session.nexudus.held[OF_ALICE].set()
    return reads


async def test_pitfall_2_what_nothing_proves_is_for_nobody_but_who_asked(session: Session) -> None:
    first, second = await unproven(session, False, True)
    for read in (first, second):
        reading = await read
        assert isinstance(reading, Reading)
        assert reading.outcome is Outcome.MISS
        assert reading.stored is (read is second)
    assert session.nexudus.asked == [("bob", OF_ALICE)] * 2


async def test_a_refusal_is_for_all_who_wait_with_that_token(session: Session) -> None:
    session.nexudus.serves[OF_ALICE] = answered(None, 403)
    for read in await unproven(session, True, True, True):
        assert isinstance(await read, Refusal)
    assert session.nexudus.asked == [("bob", OF_ALICE)]


async def test_pitfall_14_what_is_led_without_a_look_is_of_before_it_was_asked_for(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = (await session.process.cache.begin(SPACE)).stamp

    async def seize(_: object, lock: Lock, _stored: object, **_beside: object) -> Lead:
        return Lead(replace(lock, stamp=stamp), "me", urgent=True)

    monkeypatch.setattr(LocalLeadership, "seizes", True)
    monkeypatch.setattr(LocalLeadership, "seize", seize)
    session.nexudus.held[PROFILES.path] = asyncio.Event()
    ask = Ask(session.caller(), PROFILES, "", new=True)
    reading = asyncio.create_task(session.reads.read(ask))
    await held(session, 1)
    session.process.memory.drop(SPACE, ["u:7001"])  # the news came before the answer
    session.nexudus.held[PROFILES.path].set()
    answer = await reading
    assert isinstance(answer, Reading)
    assert not answer.stored
    await landed(session)
    assert session.process.cache.held(session.landings.want(ask)) is None
