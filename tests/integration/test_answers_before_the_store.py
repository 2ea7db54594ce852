"""Nobody waits until what was fetched is stored; what may happen meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bff.cache.remote import RemoteStore
from bff.sandbox.effects import Status
from tests.support.cache_process import until
from tests.support.gateway import BOOTSTRAP, PROFILES, SWITCH, Stage, related, stage

OF_ALICE = related(101)


class Saves:
    """Saves of documents arrive in Redis only when the test says so; `waiting` counts them."""

    def __init__(self) -> None:
        self.waiting = 0
        self.go = asyncio.Event()

    def hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        save = RemoteStore.save

        async def held(store: RemoteStore, *args: Any, **named: Any) -> bool:
            self.waiting += 1
            await self.go.wait()
            self.waiting -= 1
            return await save(store, *args, **named)

        monkeypatch.setattr(RemoteStore, "save", held)


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> Saves:
    held = Saves()
    held.hold(monkeypatch)
    return held


@pytest.fixture
async def hasty(redis_url: str, saves: Saves) -> AsyncIterator[Stage]:
    """Two processes, of which a test asks again before anything is stored."""
    async with stage(redis_url, gateways=2, settles=False) as opened:
        yield opened
        saves.go.set()
        await opened.stored()


async def test_a_session_is_answered_before_any_of_it_is_stored(hasty: Stage, saves: Saves) -> None:
    first = await hasty.get(BOOTSTRAP, hasty.alice)
    assert first.headers["cache-status"] == "bff; fwd=uri-miss; fwd-status=200; stored"
    await until(lambda: saves.waiting == 2)
    again = await hasty.get(BOOTSTRAP, hasty.alice)
    assert again.headers["cache-status"].endswith("detail=l1")
    assert again.content == first.content


async def test_pitfall_21_another_process_waits_for_it_and_does_not_ask_nexudus(
    hasty: Stage, saves: Saves
) -> None:
    first = await hasty.get(BOOTSTRAP, hasty.alice)
    elsewhere = hasty.later(BOOTSTRAP, hasty.alice, via=1)
    await hasty.waiting(1, via=1)
    saves.go.set()
    assert (await elsewhere).content == first.content
    assert [visit.path for visit in hasty.tenant.visits()] == [PROFILES, OF_ALICE]


@pytest.mark.parametrize("via", [0, 1])
async def test_pitfall_14_a_write_before_it_is_stored_wins(
    via: int, hasty: Stage, saves: Saves
) -> None:
    before = await hasty.get(BOOTSTRAP, hasty.alice)
    await hasty.send("PUT", f"{SWITCH}?coworkerId=145", hasty.alice, via=via)
    saves.go.set()
    await hasty.stored()
    for process in (0, 1):
        after = await hasty.get(BOOTSTRAP, hasty.alice, via=process)
        assert after.json()["Bootstrap"]["CoworkerId"] == 145, before.json()["Bootstrap"]


async def test_pitfall_14_nor_is_it_shown_between_a_write_and_its_end(
    hasty: Stage, saves: Saves
) -> None:
    await hasty.get(BOOTSTRAP, hasty.alice)
    await hasty.send("PUT", f"{SWITCH}?coworkerId=145", hasty.alice, via=1)
    after = await hasty.get(BOOTSTRAP, hasty.alice)
    assert after.json()["Bootstrap"]["CoworkerId"] == 145
    await until(lambda: saves.waiting >= 3)


async def test_pitfall_2_a_proof_that_is_withdrawn_before_it_is_stored_stays_withdrawn(
    hasty: Stage, saves: Saves
) -> None:
    hasty.tenant.fault(Status(401), OF_ALICE, token=hasty.alice.token, count=1)
    first = await hasty.get(BOOTSTRAP, hasty.alice)
    assert first.headers["bff-complete"] == "false"
    saves.go.set()
    await hasty.stored()
    hasty.tenant.sandbox.tokens.revoke(hasty.alice.token)
    for process in (0, 1):
        assert (await hasty.get(OF_ALICE, hasty.alice, via=process)).status_code == 401


async def test_pitfall_23_a_redis_that_is_slow_to_store_delays_no_answer(
    hasty: Stage, saves: Saves
) -> None:
    """The related list is asked for while the profile list waits to be stored."""
    async with asyncio.timeout(5):
        answers = await asyncio.gather(
            *(hasty.get(BOOTSTRAP, member) for member in (hasty.alice, hasty.bob))
        )
    assert [answer.status_code for answer in answers] == [200, 200]
    assert hasty.alice.canary not in answers[1].text
    assert hasty.bob.canary not in answers[0].text
