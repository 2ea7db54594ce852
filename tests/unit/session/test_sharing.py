"""When related lists are compared, and what follows from it."""

from __future__ import annotations

import asyncio
import math

import pytest

from bff.cache.guarded import PROBE_S
from bff.cache.keys import Scope
from bff.cache.memory import Held
from bff.errors import UpstreamDown
from bff.resources import PROFILES, RELATED
from bff.session.sharing import (
    BEGINNING_S,
    DEMOTED_TAG,
    FLAG,
    MAX_COMPARED_AGE_S,
    MAX_COMPARISONS,
    PER_TOKEN,
    POLL_S,
    SHARED,
    SOON_S,
)
from tests.support.cache_process import SPACE, until
from tests.support.manual_time import settled
from tests.unit.session.conftest import OF_ALICE, Watched, answered


async def test_a_sample_of_shared_hits_is_compared(watched: Watched) -> None:
    await watched.read("alice")
    watched.chance = 0.5
    await watched.read("bob")
    await settled()
    assert watched.outcomes == []
    watched.chance = 0.49
    await watched.read("bob")
    await settled()
    assert watched.outcomes == ["same"]
    assert watched.fetches == ["alice", "bob"]


async def test_an_old_list_says_nothing_about_viewers(watched: Watched) -> None:
    await watched.read("alice")
    watched.session.time.now += MAX_COMPARED_AGE_S + 1
    await watched.read("bob")
    await settled()
    assert watched.outcomes == []


async def test_few_are_compared_at_once(watched: Watched) -> None:
    await watched.read("alice")
    watched.session.nexudus.held[OF_ALICE] = asyncio.Event()
    for number in range(MAX_COMPARISONS * 2):
        await watched.read(f"token-{number}")
    await settled()
    assert len(watched.fetches) == 1 + MAX_COMPARISONS


async def test_the_order_of_members_is_no_difference_that_of_lists_is(watched: Watched) -> None:
    await watched.read("alice")
    serves = watched.session.nexudus.serves
    serves[OF_ALICE] = {"Threads": [{"Id": 1}], "RelatedProfiles": [{"Id": 202}]}
    await watched.read("bob")
    await settled()
    assert (watched.outcomes, watched.demoted) == (["same"], False)
    serves[OF_ALICE] = {"RelatedProfiles": [{"Id": 202}], "Threads": [{"Id": 2}, {"Id": 1}]}
    await watched.read("bob")
    await settled()
    assert (watched.outcomes, watched.demoted) == (["same", "different"], True)


@pytest.mark.parametrize("status", [403, 404, 400])
async def test_a_list_that_this_viewer_may_not_see_is_a_difference(
    watched: Watched, status: int
) -> None:
    await watched.read("alice")
    watched.session.nexudus.serves[OF_ALICE] = answered(None, status)
    await watched.read("bob")
    await settled()
    assert (watched.outcomes, watched.demoted) == (["different"], True)


@pytest.mark.parametrize("failing", [answered(None, 500), answered(None, 409), UpstreamDown("x")])
async def test_a_failing_nexudus_proves_nothing(watched: Watched, failing: object) -> None:
    await watched.read("alice")
    watched.session.nexudus.serves[OF_ALICE] = failing
    await watched.read("bob")
    await settled()
    assert (watched.outcomes, watched.demoted) == (["unanswered"], False)


async def test_401_withdraws_the_proof_and_proves_nothing(watched: Watched) -> None:
    await watched.read("alice")
    watched.session.nexudus.serves[OF_ALICE] = answered(None, 401)
    await watched.read("bob")
    await until(lambda: bool(watched.outcomes))
    assert (watched.outcomes, watched.demoted) == (["unanswered"], False)
    reads, caller = watched.session.reads, watched.session.caller
    assert await reads.proof_of(caller("bob").principal) is None
    assert await reads.proof_of(caller("alice").principal) is not None


async def test_pitfall_2_a_401_to_a_comparison_is_no_word_against_the_token(
    watched: Watched,
) -> None:
    """Nexudus refuses single resources so: what was read with the token elsewhere stays."""
    await watched.read("alice")
    watched.session.nexudus.serves[OF_ALICE] = answered(None, 401)
    memory, digest = watched.session.process.memory, watched.session.caller("bob").principal.digest
    for name in ("k:", "p:"):
        held = Held(b"", 0, math.inf, frozenset({(SPACE, name + digest)}))
        assert memory.put(name, held, memory.ticket())
    await watched.read("bob")
    await until(lambda: bool(watched.outcomes))
    assert memory.peek("p:") is None
    assert memory.peek("k:") is not None


async def test_two_errors_are_the_same_whatever_they_say(watched: Watched) -> None:
    watched.session.nexudus.serves[OF_ALICE] = answered({"RequestId": 1}, 404)
    await watched.read("alice")
    watched.session.nexudus.serves[OF_ALICE] = answered({"RequestId": 2}, 404)
    await watched.read("bob")
    await settled()
    assert (watched.outcomes, watched.demoted) == (["same"], False)


async def test_only_related_lists_of_that_space_are_kept_apart(watched: Watched) -> None:
    await watched.sharing.demote(SPACE)
    principal = watched.session.caller().principal
    assert watched.sharing.scope_of(principal, RELATED) is Scope.TOKEN
    assert watched.sharing.scope_of(principal, PROFILES) is Scope.TOKEN
    assert not watched.sharing.is_demoted("another")
    for token in ("alice", "bob", "alice"):
        await watched.read(token)
    assert watched.fetches == ["alice", "bob"]


class TestOtherProcesses:
    async def test_what_one_found_out_is_heard_and_kept(self, watched: Watched) -> None:
        watched.sharing.heard("another", {"r:related"})
        assert not watched.sharing.is_demoted("another")
        watched.sharing.heard("another", {"r:related", DEMOTED_TAG})
        assert watched.sharing.is_demoted("another")

    async def test_what_was_found_out_before_is_learned(self, watched: Watched) -> None:
        await watched.session.process.guarded.set_flag(SPACE, FLAG, "token")
        await watched.sharing.start([SPACE])
        assert watched.demoted

    async def test_a_restored_space_is_shared_again_everywhere(self, watched: Watched) -> None:
        await watched.sharing.start([SPACE])
        store = watched.session.process.guarded
        await store.set_flag(SPACE, FLAG, "token")
        await watched.session.time.advance(POLL_S)
        assert watched.demoted
        await store.set_flag(SPACE, FLAG, SHARED)
        await watched.session.time.advance(POLL_S)
        assert not watched.demoted

    async def test_a_store_that_forgot_is_no_word_for_sharing(self, watched: Watched) -> None:
        await watched.sharing.start([SPACE])
        store = watched.session.process.guarded
        await watched.sharing.demote(SPACE)
        await store.set_flag(SPACE, FLAG, None)
        await watched.session.time.advance(POLL_S)
        assert watched.demoted
        assert await store.flag(SPACE, FLAG) == PER_TOKEN, "it is told again"

    async def test_pitfall_03_what_the_store_lost_it_is_told_by_whoever_ends(
        self, watched: Watched
    ) -> None:
        await watched.sharing.start([SPACE])
        store = watched.session.process.guarded
        await watched.sharing.demote(SPACE)
        await store.set_flag(SPACE, FLAG, None)
        await watched.sharing.aclose()
        assert await store.flag(SPACE, FLAG) == PER_TOKEN

    async def test_news_that_the_store_does_not_have_yet_is_believed_for_a_while(
        self, watched: Watched
    ) -> None:
        await watched.sharing.start([SPACE])
        watched.sharing.heard(SPACE, {DEMOTED_TAG})
        store = watched.session.process.guarded
        await store.set_flag(SPACE, FLAG, SHARED)
        await watched.session.time.advance(POLL_S)
        assert watched.demoted
        await watched.session.time.advance(POLL_S)
        assert not watched.demoted

    async def test_pitfall_03_an_older_word_for_sharing_does_not_end_what_could_not_be_told(
        self, watched: Watched
    ) -> None:
        """An operator restored the space once, and the store was away when it was demoted."""
        await watched.sharing.start([SPACE])
        await watched.sharing.restore(SPACE)
        store = watched.session.process.guarded
        store.keep_away()
        await watched.sharing.demote(SPACE)
        watched.sharing._heard_until.clear()  # it was away for longer than news are believed
        for _ in range(4):
            await watched.session.time.advance(max(PROBE_S, POLL_S))
            assert watched.demoted
        assert store.available
        assert await store.flag(SPACE, FLAG) == PER_TOKEN

    async def test_what_could_not_be_told_is_told_later(self, watched: Watched) -> None:
        await watched.sharing.start([SPACE])
        store = watched.session.process.guarded
        store.keep_away()
        await watched.sharing.demote(SPACE)
        await watched.session.time.advance(POLL_S)
        assert watched.demoted, "still away, and not forgotten"
        for _ in range(3):
            await watched.session.time.advance(POLL_S)
        assert await store.flag(SPACE, FLAG) == "token"
        assert watched.demoted

    async def test_pitfall_03_what_could_not_be_asked_yet_is_not_shared(
        self, watched: Watched
    ) -> None:
        store = watched.session.process.guarded
        await store.set_flag(SPACE, FLAG, PER_TOKEN)
        store.keep_away()
        await watched.sharing.start([SPACE])
        for token in ("alice", "bob"):
            await watched.read(token)
        assert watched.fetches == ["alice", "bob"]
        await watched.session.time.advance(PROBE_S)
        await watched.session.time.advance(SOON_S)
        assert watched.demoted, "the store is back, and was asked at once"

    async def test_a_space_that_nobody_found_out_about_is_shared_once_that_is_known(
        self, watched: Watched
    ) -> None:
        store = watched.session.process.guarded
        store.keep_away()
        await watched.sharing.start([SPACE])
        await watched.session.time.advance(PROBE_S)
        await watched.session.time.advance(SOON_S)
        for token in ("alice", "bob"):
            await watched.read(token)
        assert watched.fetches == ["alice"]
        assert await store.flag(SPACE, FLAG) is None, "nobody is told what was only feared"

    async def test_pitfall_03_what_was_shared_goes_when_it_is_learned(
        self, watched: Watched
    ) -> None:
        await watched.sharing.start([SPACE])
        await watched.read("alice")
        memory = watched.session.process.memory
        tags = frozenset({(SPACE, "r:related"), (SPACE, "c:101")})
        assert memory.put("made of it", Held(b"", 0, math.inf, tags), memory.ticket())
        await watched.session.process.guarded.set_flag(SPACE, FLAG, PER_TOKEN)
        await watched.session.time.advance(POLL_S)
        assert watched.demoted
        assert memory.peek("made of it") is None

    async def test_once_all_is_known_only_what_is_kept_apart_is_asked_for_often(
        self, watched: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, asked = watched.session.process.guarded, list[str]()
        flag = store.flag

        async def noted(space: str, name: str) -> str | None:
            asked.append(space)
            return await flag(space, name)

        monkeypatch.setattr(store, "flag", noted)
        await watched.sharing.start([SPACE, "other"])
        for _ in range(round((BEGINNING_S + POLL_S) / SOON_S)):
            asked.clear()
            await watched.session.time.advance(SOON_S)
        assert asked == [], "the latest time was half a second ago"
        for _ in range(round(POLL_S / SOON_S)):
            await watched.session.time.advance(SOON_S)
        assert asked == [SPACE, "other"]
        await watched.sharing.demote(SPACE)
        await watched.session.time.advance(SOON_S)
        assert asked == [SPACE, "other", SPACE]

    async def test_the_configuration_stands_above_all(self, watched: Watched) -> None:
        watched.sharing.set_by_hand([SPACE])
        await watched.sharing.start([SPACE])
        await watched.sharing.restore(SPACE)
        await watched.session.time.advance(POLL_S)
        assert watched.demoted
        assert watched.sharing.is_set_by_hand(SPACE)

    async def test_what_the_configuration_says_is_told_to_nobody(self, watched: Watched) -> None:
        """Who is configured otherwise, or later, would go by it until an operator restores."""
        store = watched.session.process.guarded
        watched.sharing.set_by_hand([SPACE])
        await watched.sharing.start([SPACE])
        await watched.session.time.advance(POLL_S)
        assert await store.flag(SPACE, FLAG) is None
        await watched.sharing.aclose()
        assert await store.flag(SPACE, FLAG) is None
