"""The webhook door over a store: what is remembered by which name, and how many bodies are read."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from asyncio import Task
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Final, cast

import pytest
from starlette.requests import ClientDisconnect

from bff.cache.connect import connect
from bff.edge import exchange as exchanges
from bff.edge.hooks import MEMORY_S, HookEndpoint, dropping
from bff.errors import Overloaded, RequestStalled
from bff.hooks import WebhookReceiver, bodies
from bff.spaces import SpaceTable
from tests.support.asgi_call import AsgiCall
from tests.support.cache_process import SPACE, Process, Setting, assemble
from tests.support.manual_time import ManualTime, settled

SECRET: Final = b"a webhook secret"
BODY: Final = b'[{"CoworkerId":101}]'
SIGNATURE: Final = hmac.digest(SECRET, BODY, hashlib.sha256).hex()
SIGNED: Final = [(b"host", b"x"), (b"x-nexudus-hook-signature", SIGNATURE.encode())]
NAME: Final = f"webhook-{hashlib.sha256(bytes.fromhex(SIGNATURE)).hexdigest()}"
"""What processes of versions before this one remember it by."""


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    made = assemble(connect("embedded://"), "mine", Setting(clock=ManualTime()))
    yield made
    await made.flights.aclose()
    await made.guarded.aclose()


def receiver_of(process: Process) -> WebhookReceiver:
    secrets = {SPACE: SECRET, "other": SECRET}
    return dropping(secrets, process.guarded, process.invalidator, ManualTime())


async def test_what_is_applied_is_remembered_for_a_day_by_all_versions(process: Process) -> None:
    accepted = await receiver_of(process).accept(SPACE, SIGNED, BODY)
    assert not accepted.duplicate
    assert len(process.reports) == 1
    key = f"{process.store.keyspace.base(SPACE)}once:{NAME}"
    assert 0 <= MEMORY_S * 1000 - await process.store.client.pttl(key) < 60_000
    assert not await process.store.remember(SPACE, NAME, 1.0)
    assert (await receiver_of(process).accept(SPACE, SIGNED, BODY)).duplicate, "elsewhere too"
    assert len(process.reports) == 1
    assert not (await receiver_of(process).accept("other", SIGNED, BODY)).duplicate


async def test_what_another_version_remembered_is_a_replay(process: Process) -> None:
    assert await process.store.remember(SPACE, NAME, 60.0)
    assert (await receiver_of(process).accept(SPACE, SIGNED, BODY)).duplicate
    assert process.reports == []


async def test_of_several_those_are_replays_that_were_there_before(process: Process) -> None:
    receiver = receiver_of(process)
    await receiver.accept(SPACE, SIGNED, BODY)

    async def deliver(number: int) -> bool:
        body = b'[{"CoworkerId":%d}]' % number
        signature = hmac.digest(SECRET, body, hashlib.sha256).hex().encode()
        accepted = await receiver.accept(SPACE, [(SIGNED[1][0], signature)], body)
        return accepted.duplicate

    found = await asyncio.gather(*(deliver(100 + number) for number in range(40)))
    assert [number for number, is_known in enumerate(found) if is_known] == [1]


async def test_without_the_store_it_is_kept_for_its_return_and_acknowledged(
    process: Process,
) -> None:
    process.guarded.keep_away()
    for _ in range(2):
        assert not (await receiver_of(process).accept(SPACE, SIGNED, BODY)).duplicate
    assert process.invalidator.pending == 1
    assert [reach.stored for _, _, reach in process.reports] == [False, False]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "AT_ONCE", 2)
    monkeypatch.setattr(bodies, "WAITING", 2)


@dataclass(slots=True)
class Door:
    """Deliveries at the endpoint."""

    process: Process
    endpoint: HookEndpoint = field(init=False)

    def __post_init__(self) -> None:
        table = SimpleNamespace(by_name=lambda name: SimpleNamespace(name=name))
        self.endpoint = HookEndpoint(receiver_of(self.process), cast(SpaceTable, table))

    def deliver(self, body: bytes = BODY, *, open_end: bool = False) -> tuple[AsgiCall, Task[None]]:
        """A signed one; with `open_end`, its body goes on."""
        call = AsgiCall("POST", b"/", headers=SIGNED, parts=(body,), open_end=open_end)
        call.scope["path_params"] = {"space": SPACE}
        exchanges.begin(call.scope, call.scope["headers"], 0.0)
        return call, asyncio.create_task(self.endpoint(call.scope, call.receive, call.send))


@pytest.mark.usefixtures("few")
class TestPlaces:
    async def test_beyond_those_that_are_read_it_waits_for_one(self, process: Process) -> None:
        door = Door(process)
        first, reading = door.deliver(open_end=True)
        door.deliver(open_end=True)
        await settled()
        call, waiting = door.deliver()
        await settled()
        assert (call.received, waiting.done()) == (0, False)
        first.finish()
        await waiting
        await reading
        assert (call.status, first.status) == (204, 204)

    async def test_for_so_long_and_no_longer(
        self, process: Process, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bodies, "PLACE_WITHIN_S", 0.01)
        door = Door(process)
        opened = [door.deliver(open_end=True) for _ in range(2)]
        await settled()
        for _ in range(3):
            with pytest.raises(Overloaded) as refused:
                await door.deliver()[1]
            assert refused.value.retry_after_s == 1
        for call, reading in opened:
            call.finish()
            await reading
        call, taken = door.deliver()
        await taken
        assert call.status == 204

    async def test_only_so_many_wait_and_a_sender_that_leaves_frees_its_place(
        self, process: Process
    ) -> None:
        door = Door(process)
        opened = [door.deliver(open_end=True) for _ in range(2)]
        await settled()
        waiting = [door.deliver()[1] for _ in range(2)]
        await settled()
        with pytest.raises(Overloaded):
            await door.deliver()[1]
        assert not any(task.done() for task in waiting)
        waiting[0].cancel()
        opened[0][0].disconnect()
        with pytest.raises(ClientDisconnect):
            await opened[0][1]
        await waiting[1]
        call, taken = door.deliver()
        await taken
        assert call.status == 204

    async def test_the_oldest_of_those_that_are_slow_makes_room(
        self, process: Process, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bodies, "HURRIED_S", 0.02)
        door = Door(process)
        (_, oldest), (other, reading) = [door.deliver(open_end=True) for _ in range(2)]
        await asyncio.sleep(0.05)
        assert not oldest.done()
        call, taken = door.deliver()
        await taken
        assert call.status == 204
        with pytest.raises(RequestStalled, match=r"0\.02 s, in which another"):
            await oldest
        await asyncio.sleep(0.05)
        assert not reading.done()
        other.finish()
        await reading
        assert other.status == 204

    async def test_each_who_waits_hurries_one_which_has_so_long_from_then_on(
        self, process: Process, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bodies, "HURRIED_S", 0.3)
        door = Door(process)
        opened = [door.deliver(open_end=True)[1] for _ in range(2)]
        await asyncio.sleep(0.2)
        began = asyncio.get_running_loop().time()
        taken = [door.deliver() for _ in range(2)]
        await asyncio.gather(*(task for _, task in taken))
        assert asyncio.get_running_loop().time() - began >= 0.3
        assert [call.status for call, _ in taken] == [204, 204]
        for each in opened:
            with pytest.raises(RequestStalled):
                await each
