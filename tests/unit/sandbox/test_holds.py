from __future__ import annotations

import asyncio

import httpx
import pytest

from bff.sandbox.calls import CLIENT_LEFT
from bff.sandbox.effects import Hang
from bff.sandbox.faults import Match, Rule
from tests.unit.sandbox.space import CURRENT, ECHO, PROFILES, Space


def hold(space: Space, effect: Hang, count: int | None = None) -> None:
    space.sandbox.faults.replace([Rule(effect, Match(path_prefix="/api"), count=count)])


async def held(space: Space, number: int = 1) -> None:
    await asyncio.wait_for(space.sandbox.holds.wait_held(number), 5)


async def test_pitfall_14_a_held_answer_is_as_old_as_its_request(space: Space) -> None:
    hold(space, Hang(), count=1)
    slow = asyncio.create_task(space.get(PROFILES))
    await held(space)
    assert (await space.call("PUT", CURRENT, params={"coworkerId": 145})).status_code == 200
    assert not slow.done()
    assert space.sandbox.holds.release() == 1
    profiles = (await slow).json()["Profiles"]
    assert [each["Id"] for each in profiles if each["IsDefaultProfile"]] == [101]
    assert space.sandbox.holds.held == 0


async def test_a_request_can_be_held_before_it_is_carried_out(space: Space) -> None:
    hold(space, Hang(at="request"), count=1)
    slow = asyncio.create_task(space.get(PROFILES))
    await held(space)
    await space.call("PUT", CURRENT, params={"coworkerId": 145})
    space.sandbox.holds.release()
    profiles = (await slow).json()["Profiles"]
    assert [each["Id"] for each in profiles if each["IsDefaultProfile"]] == [145]


@pytest.mark.parametrize("moment", ["request", "answer"])
async def test_a_write_is_done_while_its_answer_is_held(space: Space, moment: str) -> None:
    hold(space, Hang("request") if moment == "request" else Hang())
    write = asyncio.create_task(space.call("PUT", CURRENT, params={"coworkerId": 145}))
    await held(space)
    current = space.sandbox.world.member(7001).current_id
    assert current == (101 if moment == "request" else 145)
    space.sandbox.holds.release()
    await write


@pytest.mark.parametrize("effect", [Hang("request"), Hang("answer")])
async def test_a_body_that_arrives_during_a_hold_is_not_lost(space: Space, effect: Hang) -> None:
    hold(space, effect)
    go_on = asyncio.Event()

    async def body() -> object:
        yield b"first"
        await go_on.wait()
        yield b"second"

    async def send() -> httpx.Response:
        return await space.client.post(ECHO, content=body())  # type: ignore[arg-type]

    call = asyncio.create_task(send())
    if effect.at == "request":
        await held(space)
        go_on.set()
        await asyncio.sleep(0)
    else:
        go_on.set()
        await held(space)
    space.sandbox.holds.release()
    assert (await call).json()["Body"]["Bytes"] == 11


async def test_shutting_down_releases_whoever_is_held(space: Space) -> None:
    hold(space, Hang())
    async with space.app.router.lifespan_context(space.app):
        call = asyncio.create_task(space.get(PROFILES))
        await held(space)
    assert (await call).status_code == 200


async def test_the_oldest_are_released_first(space: Space) -> None:
    hold(space, Hang())
    calls = []
    for number in range(3):
        calls.append(asyncio.create_task(space.get(PROFILES)))
        await held(space, number + 1)
    assert space.sandbox.holds.release(1) == 1
    await calls[0]
    assert not calls[1].done()
    assert space.sandbox.holds.held == 2
    assert space.sandbox.holds.release() == 2
    await asyncio.gather(*calls)


@pytest.mark.parametrize("effect", [Hang("request"), Hang("answer")])
async def test_a_cancelled_client_frees_its_hold(space: Space, effect: Hang) -> None:
    hold(space, effect)
    call = asyncio.create_task(space.get(PROFILES))
    await held(space)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert space.sandbox.holds.held == 0
    assert space.sandbox.calls.count(status=CLIENT_LEFT) == 1
    assert space.sandbox.calls.in_flight == 0


@pytest.mark.parametrize("effect", [Hang("request"), Hang("answer")])
async def test_a_client_that_disconnects_frees_its_hold(space: Space, effect: Hang) -> None:
    hold(space, effect)
    messages: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    sent: list[object] = []

    async def send(message: object) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": PROFILES,
        "raw_path": PROFILES.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"authorization", b"Bearer demo-token")],
    }
    call = asyncio.create_task(space.app(scope, messages.get, send))
    await held(space)
    messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    messages.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(call, 5)
    assert sent == []
    assert space.sandbox.holds.held == 0
    assert space.sandbox.calls.count(PROFILES, status=CLIENT_LEFT) == 1
