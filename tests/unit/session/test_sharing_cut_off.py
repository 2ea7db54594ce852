"""What a process does about sharing while it cannot reach the store, and once it can again."""

from __future__ import annotations

import asyncio

import pytest

from bff.cache.guarded import GuardedStore
from bff.cache.store import Refused
from bff.session.sharing import FLAG, PER_TOKEN, POLL_S, SHARED, SOON_S, Sampling, Sharing
from tests.support.cache_process import SPACE, until
from tests.support.manual_time import settled
from tests.unit.session.conftest import Watched

A_WHILE_S = 2 * POLL_S
"""After that, what is heard is believed no more if the store says otherwise."""


@pytest.fixture
def away(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The spaces whose flags this process cannot read or set."""
    store, spaces = watched.session.process.guarded, set[str]()
    flag, set_flag = store.flag, store.set_flag

    async def read(space: str, name: str) -> str | None:
        if space in spaces:
            raise Refused("its node is away")
        return await flag(space, name)

    async def write(space: str, name: str, value: str | None) -> None:
        if space in spaces:
            raise Refused("its node is away")
        await set_flag(space, name, value)

    monkeypatch.setattr(store, "flag", read)
    monkeypatch.setattr(store, "set_flag", write)
    return spaces


@pytest.fixture
def elsewhere(watched: Watched) -> Sharing:
    """Of another process over the same store, which it reaches."""
    process, session = watched.session.process, watched.session
    store = GuardedStore(process.store, session.time)
    sampling = Sampling(0, lambda: 0.0)
    return Sharing(store, process.invalidator, session.reads, sampling, session.time)


async def told(watched: Watched, space: str) -> None:
    """Returns once the store says that the space's lists are per token."""
    store = watched.session.process.store
    async with asyncio.timeout(30):
        while await store.flag(space, FLAG) != PER_TOKEN:
            await settled()


async def test_a_space_that_cannot_be_asked_about_keeps_nothing_from_the_others(
    watched: Watched, away: set[str]
) -> None:
    """Of a cluster, one node may be away."""
    store = watched.session.process.store
    away.add("first")
    await store.set_flag("third", FLAG, PER_TOKEN)
    await watched.sharing.start(["first", SPACE, "third"])
    assert watched.sharing.is_demoted("third")
    for token in ("alice", "bob"):
        await watched.read(token)
    assert watched.fetches == ["alice"]
    await store.set_flag("third", FLAG, SHARED)
    await watched.sharing.demote("first")
    await watched.session.time.advance(SOON_S)
    await until(lambda: not watched.sharing.is_demoted("third"))  # nor does what cannot be told
    away.clear()
    await watched.session.time.advance(SOON_S)
    await told(watched, "first")


async def test_it_is_known_of_each_space_whether_it_was_asked_about(
    watched: Watched, away: set[str]
) -> None:
    away.add("first")
    await watched.sharing.start(["first", SPACE])
    learned = watched.sharing.is_learned
    assert [learned(space) for space in ("first", SPACE)] == [False, True]
    away.clear()
    await watched.session.time.advance(SOON_S)
    await until(lambda: learned("first"))


async def test_what_could_not_be_told_is_told_though_an_operator_shared_again_and_said_once_more(
    watched: Watched, away: set[str], elsewhere: Sharing
) -> None:
    turned: list[tuple[str, bool]] = []
    watched.sharing.on_turned = lambda *told: turned.append(told)
    await watched.sharing.start([SPACE])
    away.add(SPACE)
    await watched.sharing.demote(SPACE)
    await watched.session.time.advance(A_WHILE_S)
    await elsewhere.restore(SPACE)
    assert watched.demoted, "it has not heard of it"
    away.clear()
    await watched.session.time.advance(SOON_S)
    await told(watched, SPACE)
    await until(lambda: len(turned) > 1)
    assert turned == [(SPACE, True), (SPACE, True)], "operators see both"
    await watched.session.time.advance(A_WHILE_S)
    assert watched.demoted
    await told(watched, SPACE)


async def test_what_is_told_late_and_new_to_nobody_is_said_once(
    watched: Watched, away: set[str]
) -> None:
    turned: list[tuple[str, bool]] = []
    watched.sharing.on_turned = lambda *told: turned.append(told)
    await watched.sharing.start([SPACE])
    away.add(SPACE)
    await watched.sharing.demote(SPACE)
    away.clear()
    await watched.session.time.advance(SOON_S)
    await told(watched, SPACE)
    await watched.session.time.advance(A_WHILE_S)
    assert turned == [(SPACE, True)]


async def test_pitfall_03_what_was_lost_and_cannot_be_told_again_is_not_ended_by_an_older_word(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that knows of nothing and takes no writes, then a store of before the finding."""
    store = watched.session.process.guarded
    set_flag = store.set_flag
    await watched.sharing.start([SPACE])
    await watched.sharing.demote(SPACE)
    await watched.session.time.advance(A_WHILE_S)

    async def refused(_space: str, _name: str, _value: str | None) -> None:
        raise Refused("it takes no writes")

    await set_flag(SPACE, FLAG, None)
    monkeypatch.setattr(store, "set_flag", refused)
    await watched.session.time.advance(POLL_S)
    assert watched.demoted
    await set_flag(SPACE, FLAG, SHARED)
    monkeypatch.undo()
    await watched.session.time.advance(POLL_S)
    assert watched.demoted
    await told(watched, SPACE)


async def test_an_operators_word_ends_what_could_not_be_told(
    watched: Watched, away: set[str]
) -> None:
    await watched.sharing.start([SPACE])
    away.add(SPACE)
    await watched.sharing.demote(SPACE)
    away.clear()
    await watched.sharing.restore(SPACE)
    for _ in range(3):
        await watched.session.time.advance(POLL_S)
        assert not watched.demoted
    assert await watched.session.process.store.flag(SPACE, FLAG) == SHARED
