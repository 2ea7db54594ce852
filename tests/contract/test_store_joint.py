"""Calls of a script that are made at the same time are one command, and each has its own answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bff.cache.joint import MOST
from bff.cache.keys import Container, Scope
from bff.cache.store import Put, Refused
from bff.errors import StoreUnavailable
from tests.contract import test_store_together
from tests.support import store_backend
from tests.support.cache_process import SPACE
from tests.support.store_backend import BASE, COWORKER, OTHER_TOKEN, SEALED, TOKEN, Backend

old_redis_server = store_backend.old_redis_server
store_url = store_backend.store_url
backend = store_backend.backend
commands = test_store_together.commands

ECHO = "return { #KEYS, table.concat(KEYS, ','), #ARGV, table.concat(ARGV, '|') }"
LOCK = "return { redis.call('SETNX', KEYS[1], ARGV[1]) }"


async def test_pitfall_7_each_call_has_its_own_keys_arguments_and_answer(
    backend: Backend, commands: list[str]
) -> None:
    given: list[list[str | bytes | int]] = [
        [b"\0\n 7 1", "3 1 4 1"], [], [b"", 12], ["\u00fc", b"\xff\r\n"], [-5],
    ]  # fmt: skip
    packed = [b"\0\n 7 1|3 1 4 1", b"", b"|12", b"\xc3\xbc|\xff\r\n", b"-5"]
    names = [[f"n{at}"] * at for at in range(len(given))]
    await backend.store.run(SPACE, ECHO, [], [])
    commands.clear()
    told = await asyncio.gather(
        *(backend.store.run(SPACE, ECHO, *each) for each in zip(names, given, strict=True))
    )
    for at, answer in enumerate(told):
        keys = ",".join([f"{BASE}n{at}"] * at)
        assert answer == [at, keys.encode(), len(given[at]), packed[at]]
    assert commands == ["EVALSHA"]


async def test_pitfall_4_calls_of_two_spaces_do_not_go_together(
    backend: Backend, commands: list[str]
) -> None:
    await backend.store.run(SPACE, LOCK, ["y"], ["me"])
    commands.clear()
    spaces = (SPACE, "beta", SPACE)
    told = await asyncio.gather(
        *(backend.store.run(space, LOCK, ["x"], ["me"]) for space in spaces)
    )
    assert told == [[1], [1], [0]]
    assert commands == ["EVALSHA", "EVALSHA"]


async def test_of_those_who_want_one_lock_the_first_has_it(backend: Backend) -> None:
    told = await asyncio.gather(
        *(backend.store.run(SPACE, LOCK, ["lock:x"], [f"{at}"]) for at in range(5))
    )
    assert told == [[1], [0], [0], [0], [0]]
    assert await backend.client.get(BASE + "lock:x") == b"0"


async def test_pitfall_14_each_save_has_its_own_verdict(
    backend: Backend, commands: list[str]
) -> None:
    before = await backend.begin()
    assert await backend.save(TOKEN, "u:1", stamp=before, field="other")
    await backend.drop("u:1")
    now = await backend.begin()
    commands.clear()
    asked = ((TOKEN, "u:1", before), (OTHER_TOKEN, "u:2", before), (COWORKER, "u:1", now))
    saved = await asyncio.gather(
        *(backend.save(place, tag, stamp=stamp) for place, tag, stamp in asked)
    )
    assert saved == [False, True, True]
    assert commands == ["EVALSHA"]
    found = [await backend.read(each) for each in (TOKEN, OTHER_TOKEN, COWORKER)]
    assert [raw and raw.sealed for raw in found] == [None, SEALED, SEALED]


async def test_what_one_of_them_fails_with_is_nothing_to_the_others(backend: Backend) -> None:
    stamp = await backend.begin()
    await backend.client.set(BASE + OTHER_TOKEN.label, b"no hash")
    first, odd, last = await asyncio.gather(
        *(backend.save(each, "u:1", stamp=stamp) for each in (TOKEN, OTHER_TOKEN, COWORKER)),
        return_exceptions=True,
    )
    assert (first, last) == (True, True)
    assert isinstance(odd, Refused)
    assert await backend.client.get(BASE + OTHER_TOKEN.label) == b"no hash"


async def test_pitfall_7_a_call_without_an_answer_moves_no_other_answer(backend: Backend) -> None:
    script = "if ARGV[1] ~= '' then return { ARGV[1] } end"
    told = await asyncio.gather(
        *(backend.store.run(SPACE, script, [], [text]) for text in ("", "a", "", "b", "")),
        return_exceptions=True,
    )
    assert [isinstance(each, StoreUnavailable) for each in told] == [True, False, True, False, True]
    assert [told[1], told[3]] == [[b"a"], [b"b"]]


async def test_one_command_has_no_more_than_so_many(backend: Backend, commands: list[str]) -> None:
    stamp = await backend.begin()
    assert await backend.save(TOKEN, "u:1", stamp=stamp)
    commands.clear()
    containers = [Container(SPACE, Scope.COWORKER, f"{1000 + at}") for at in range(2 * MOST + 1)]

    def save(at: int, container: Container) -> Any:
        put = Put("f", ("u:1",), b"v%d" % at)
        return backend.store.save(container, [put], stamp=stamp, ttl_s=60)

    assert all(await asyncio.gather(*(save(at, each) for at, each in enumerate(containers))))
    assert commands == ["EVALSHA"] * 3
    loaded = await backend.store.load(SPACE, [(each, "f") for each in containers])
    assert [raw and raw.sealed for raw in loaded.values] == [
        b"v%d" % at for at in range(len(containers))
    ]


async def test_whoever_leaves_takes_nothing_with_it(backend: Backend) -> None:
    stamp = await backend.begin()
    first, last = (
        asyncio.create_task(backend.save(each, "u:1", stamp=stamp)) for each in (TOKEN, COWORKER)
    )
    await asyncio.sleep(0)
    first.cancel()
    assert await last
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await backend.read(TOKEN) is not None
