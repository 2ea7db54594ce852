"""The guard and the store behind it within a request, whose patience is short."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bff.cache import patience
from bff.cache.connect import connect
from bff.cache.guarded import CONCURRENT, FAILURES_TO_OPEN, PROBE_S, GuardedStore
from bff.cache.keys import Container, Scope
from bff.cache.patience import OutOfPatience, Unanswered, limited
from bff.cache.remote import RemoteStore
from bff.cache.store import Put
from bff.clock import SystemClock
from bff.errors import StoreUnavailable
from tests.support.cache_process import KEYSPACE, SPACE, until
from tests.support.calls import at_once

TIMEOUT_S = 0.03
CONTAINER = Container(SPACE, Scope.TOKEN, "d")
PUTS = [Put("f", ("u:1",), b"x")]


class Away:
    """A server that answers nothing until `back`; keeps the commands that were sent to it."""

    def __init__(self, store: RemoteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        self.back = asyncio.Event()
        real = store.client.execute_command

        async def late(name: str, *args: Any, **options: Any) -> Any:
            self.sent.append(name)
            await self.back.wait()
            return await real(name, *args, **options)  # type: ignore[no-untyped-call]

        monkeypatch.setattr(store.client, "execute_command", late)


@pytest.fixture
async def remote() -> RemoteStore:
    store = RemoteStore(connect("embedded://"), KEYSPACE, process="me", timeout_s=TIMEOUT_S)
    await store.load(SPACE, ())
    return store


@pytest.fixture
async def guarded(remote: RemoteStore) -> AsyncIterator[GuardedStore]:
    store = GuardedStore(remote, SystemClock())
    yield store
    await store.aclose()


@pytest.fixture
def away(remote: RemoteStore, monkeypatch: pytest.MonkeyPatch) -> Away:
    return Away(remote, monkeypatch)


async def wait_in_vain(store: GuardedStore) -> None:
    with pytest.raises(StoreUnavailable):
        await store.load(SPACE, ())


async def test_pitfall_23_a_request_waits_once_and_then_only_tells(
    guarded: GuardedStore, away: Away
) -> None:
    waited = patience.pace()
    began, before_s = time.monotonic(), waited.now()
    with limited(TIMEOUT_S):
        await wait_in_vain(guarded)
        assert time.monotonic() - began >= TIMEOUT_S
        assert waited.now() - before_s < 2 * TIMEOUT_S
        away.sent.clear()
        for read in (
            guarded.load(SPACE, ()),
            guarded.flag(SPACE, "n"),
            guarded.remember(SPACE, "n", 1),
            guarded.ping(),
        ):
            with pytest.raises(OutOfPatience):
                await read
        await asyncio.sleep(0)
        assert away.sent == []
        for write in (
            guarded.save(CONTAINER, PUTS, stamp=2**52, ttl_s=1),
            guarded.set_flag(SPACE, "n", "v"),
            guarded.run(SPACE, "return {}", [], []),
            guarded.invalidate(SPACE, frozenset({"u:1"})),
        ):
            with pytest.raises(OutOfPatience):
                at_once(write)
    await until(lambda: len(away.sent) == 4)
    away.back.set()

    async def is_set() -> bool:
        with limited(1.0):
            return await guarded.flag(SPACE, "n") == "v"

    await until(lambda: not guarded.inner._running)  # type: ignore[attr-defined]
    assert await is_set()


async def test_an_invalidation_has_its_whole_time_unless_none_is_left_at_all(
    guarded: GuardedStore, away: Away
) -> None:
    async def answer_once_the_request_has_no_patience() -> None:
        await until(patience.is_spent)
        waited = patience.pace()
        spent_at = waited.now()
        # For longer than an answer may come late to who has no patience left.
        await until(lambda: waited.now() - spent_at > TIMEOUT_S / 3)
        away.back.set()

    with limited(TIMEOUT_S / 30):
        answered = asyncio.create_task(answer_once_the_request_has_no_patience())
        assert (await guarded.invalidate(SPACE, frozenset({"u:1"}))).stamp > 0
        assert answered.done(), "what it took is taken from the request"


async def test_what_nobody_waited_for_still_tells_that_the_store_is_away(
    guarded: GuardedStore, away: Away
) -> None:
    for _ in range(FAILURES_TO_OPEN):
        assert guarded.available
        with limited(0.0), pytest.raises(OutOfPatience):
            at_once(guarded.set_flag(SPACE, "n", "v"))
        await until(lambda: not guarded._behind)
    assert not guarded.available
    away.back.set()
    await until(lambda: guarded.available)


async def test_a_store_that_answers_in_time_is_not_away_because_callers_are_impatient(
    guarded: GuardedStore, remote: RemoteStore
) -> None:
    for _ in range(3 * FAILURES_TO_OPEN):
        with limited(0.0):
            with pytest.raises(OutOfPatience):
                await guarded.load(SPACE, ())
            with pytest.raises(OutOfPatience):
                await guarded.set_flag(SPACE, "n", "v")
    await until(lambda: not guarded._behind)
    assert guarded.available
    assert await remote.flag(SPACE, "n") == "v"


async def test_a_write_that_nobody_waited_for_and_that_is_refused_counts(
    guarded: GuardedStore, remote: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> object:
        raise ValueError("OOM")

    monkeypatch.setattr(remote.client, "execute_command", full)
    for _ in range(FAILURES_TO_OPEN):
        with limited(0.0), pytest.raises(OutOfPatience):
            await guarded.set_flag(SPACE, "n", "v")
        await until(lambda: not guarded._behind)
    assert not guarded.available


async def test_after_one_wait_in_vain_nobody_waits_long_until_there_is_an_answer(
    guarded: GuardedStore, away: Away
) -> None:
    with pytest.raises(Unanswered):
        await guarded.load(SPACE, ())
    with pytest.raises(OutOfPatience) as left:
        await guarded.load(SPACE, ())
    assert left.value.due_s > TIMEOUT_S / 2, "most of the time that it has was not waited for"
    assert guarded.available
    away.back.set()
    await until(lambda: not guarded._behind)
    away.back.clear()
    with pytest.raises(Unanswered):
        await guarded.load(SPACE, ())
    away.back.set()


async def test_a_failure_counts_whoever_is_to_judge_it(guarded: GuardedStore, away: Away) -> None:
    command = asyncio.ensure_future(guarded.inner.load(SPACE, ()))
    with limited(0.0):  # which leaves it no patience of its own either
        await guarded._judge("load", command, TIMEOUT_S, 0, 0.0)
    assert guarded._failures == 1
    away.back.set()
    await command


async def test_commands_under_way_together_fail_together(guarded: GuardedStore, away: Away) -> None:
    """A pause of this process, or of the network, is one event."""
    burst = [guarded.load(SPACE, ()) for _ in range(CONCURRENT)]
    assert len(await asyncio.gather(*burst, return_exceptions=True)) == CONCURRENT
    for _ in range(FAILURES_TO_OPEN - 1):
        assert guarded.available
        await wait_in_vain(guarded)
        await until(lambda: not guarded._behind)
    assert not guarded.available
    away.back.set()


async def test_pitfall_21_who_waits_for_a_turn_waits_no_longer_than_a_request_may(
    guarded: GuardedStore, away: Away
) -> None:
    async def request() -> None:
        with limited(TIMEOUT_S):
            await wait_in_vain(guarded)

    await asyncio.gather(*(request() for _ in range(5 * CONCURRENT)))
    assert guarded.available
    assert len(away.sent) <= 4 * CONCURRENT, "some gave up before it was their turn"
    away.back.set()
    await until(lambda: not guarded.inner._running)  # type: ignore[attr-defined]
    assert (await guarded.load(SPACE, ())).stamp > 0, "no turn was lost"


async def test_a_probe_does_not_share_the_patience_of_the_request_that_began_it(
    guarded: GuardedStore,
) -> None:
    with limited(0.0):
        guarded.keep_away()
        await asyncio.sleep(PROBE_S)
        await until(lambda: guarded.available)


async def test_what_runs_behind_ends_with_the_store(remote: RemoteStore) -> None:
    store = GuardedStore(remote, SystemClock())
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    store.behind(work())
    await asyncio.sleep(0)
    await store.aclose()
    assert ended == ["work"]
    store.behind(work())
    assert len(asyncio.all_tasks()) == 1


async def test_when_it_begins_to_fail_every_connection_is_given_up_once(
    remote: RemoteStore, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up: list[str] = []

    async def disconnect() -> None:
        given_up.append("all")

    monkeypatch.setattr(remote.client.connection_pool, "disconnect", disconnect)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await remote.ping()
    assert given_up == ["all"]
    away.back.set()
    await remote.ping()
    away.back.clear()
    with pytest.raises(StoreUnavailable):
        await remote.ping()
    await until(lambda: given_up == ["all", "all"])
    await remote.aclose()
