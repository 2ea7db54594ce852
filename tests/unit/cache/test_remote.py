"""The seam to redis-py: whatever fails there is a store that cannot be used, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import (
    MaxConnectionsError,
    NoScriptError,
    RedisClusterException,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from bff.cache.connect import connect
from bff.cache.keys import Container, Scope
from bff.cache.remote import PROOF_FIELD, RemoteStore, parse, script
from bff.cache.store import Put, Raw
from bff.errors import StoreUnavailable
from tests.support.cache_process import KEYSPACE, SPACE, proof

CONTAINER = Container(SPACE, Scope.TOKEN, "d")


@pytest.fixture
async def store() -> AsyncIterator[RemoteStore]:
    made = RemoteStore(connect("embedded://"), KEYSPACE, process="me", timeout_s=0.5)
    yield made
    await made.aclose()


@pytest.mark.parametrize(
    "failure",
    [
        ResponseError("READONLY"),
        MaxConnectionsError("Too many connections"),
        NoScriptError("again"),
        RedisTimeoutError("slow"),
        TimeoutError("slow"),
        ConnectionResetError("gone"),
        # What the cluster client raises, and what a connection closed at a bad moment does.
        RedisClusterException("no node answers"),
        AttributeError("'NoneType' object has no attribute 'write'"),
        RuntimeError("the transport is closed"),
    ],
)
async def test_pitfall_23_every_failure_of_the_client_is_one_kind_of_failure(
    store: RemoteStore, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> object:
        raise failure

    monkeypatch.setattr(store.client, "execute_command", fail)
    puts = [Put("f", ("u:1",), b"x")]
    for call in (
        store.load(SPACE, [(CONTAINER, "f")]),
        store.save(CONTAINER, puts, stamp=1, ttl_s=1),
        store.invalidate(SPACE, frozenset({"u:1"})),
        store.remember(SPACE, "n", 1),
        store.flag(SPACE, "n"),
        store.set_flag(SPACE, "n", "v"),
        store.set_flag(SPACE, "n", None),
        store.ping(),
    ):
        with pytest.raises(StoreUnavailable, match=type(failure).__name__):
            await call


@pytest.mark.parametrize("answer", [[None], [None, b"v"], [b"1"], [b"1", None, None]])
async def test_an_answer_of_another_form_is_no_answer(
    store: RemoteStore, answer: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def other(*_: object) -> list[object]:
        return answer

    monkeypatch.setattr(store, "_load", other)
    with pytest.raises(StoreUnavailable, match="another answer"):
        await store.load(SPACE, [(CONTAINER, "f")])


async def test_a_failure_after_its_caller_gave_up_is_nobodys(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, about: complaints.append(about))
    late = asyncio.Event()

    async def fail_late(*_: object, **__: object) -> object:
        await late.wait()
        raise ConnectionResetError("gone")

    store._timeout_s = 0.01
    monkeypatch.setattr(store.client, "execute_command", fail_late)
    with pytest.raises(StoreUnavailable, match="no answer within 10 ms"):
        await store.ping()
    late.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*store._running, return_exceptions=True)
    await asyncio.sleep(0)
    assert complaints == []
    assert store._running == set()


@pytest.mark.parametrize(
    ("stored", "raw"),
    [
        (None, None),
        (b"12 u:1 r:x\nsealed\nmore", Raw(b"12 u:1 r:x\n", ("u:1", "r:x"), b"sealed\nmore")),
        (b"12 \nsealed", Raw(b"12 \n", (), b"sealed")),
        (b"12 \xff\n", Raw(b"12 \xff\n", ("\ufffd",), b"")),
        (b"", Raw(b"", (), b"")),
    ],
)
def test_a_stored_value_is_divided_at_its_first_newline(
    stored: bytes | None, raw: Raw | None
) -> None:
    assert parse(stored) == raw


def test_the_field_of_a_proof_is_the_one_that_its_withdrawal_removes() -> None:
    assert proof("token").address.field == PROOF_FIELD


@pytest.mark.parametrize("name", ["load", "save", "unlock", "invalidate", "heartbeat"])
def test_every_script_is_packaged(name: str) -> None:
    assert "redis.call" in script(name)
