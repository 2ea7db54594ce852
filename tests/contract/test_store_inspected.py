"""What operators are told of a stored document is what a read would make of it: all backends."""

from __future__ import annotations

from typing import Any

import pytest

from bff.cache.remote import script
from tests.support import store_backend
from tests.support.cache_process import SPACE
from tests.support.store_backend import BASE, SEALED, TOKEN, Backend

old_redis_server = store_backend.old_redis_server
store_url = store_backend.store_url
backend = store_backend.backend

CLOCK = BASE + "clock"


async def told(backend: Backend) -> list[Any]:
    """The value, for how many ms it lives, and its tags' generations."""
    names = ["clock", TOKEN.label]
    _, *document = await backend.store.run(SPACE, script("inspect"), names, ["", "f"])
    return document


async def generations(backend: Backend) -> bytes:
    known = (await told(backend))[2]
    assert isinstance(known, bytes)
    return known


async def clocked(backend: Backend, **fields: int) -> None:
    for name, value in fields.items():
        await backend.client.hset(CLOCK, name, str(value))


async def test_a_document_that_is_read_has_no_generation_since_it(backend: Backend) -> None:
    await backend.save(TOKEN, "u:1", "c:2")
    value, lives_ms, known = await told(backend)
    assert value.endswith(SEALED)
    assert 0 < lives_ms <= 60_000
    assert known == b"0 0"
    assert await backend.read(TOKEN) is not None


async def test_the_one_that_was_dropped_has_the_drops(backend: Backend) -> None:
    await backend.save(TOKEN, "u:1", "c:2")
    dropped = await backend.drop("u:1")
    assert await generations(backend) == f"{dropped} 0".encode()
    assert await backend.read(TOKEN) is None


@pytest.mark.parametrize("past", [0, 7])
async def test_of_what_is_not_younger_than_the_floor_nothing_is_known(
    backend: Backend, past: int
) -> None:
    born = await backend.begin()
    await backend.save(TOKEN, "u:1", stamp=born)
    await clocked(backend, last=born + 9, bumped=born + 9, told=born + 9, floor=born + past)
    assert await generations(backend) == b"-"
    assert await backend.read(TOKEN) is None
    await clocked(backend, floor=born - 1)
    assert await generations(backend) == b"0"
    assert await backend.read(TOKEN) is not None


async def test_of_what_another_version_bumped_nothing_is_known(backend: Backend) -> None:
    born = await backend.begin()
    await backend.save(TOKEN, "u:1", stamp=born)
    await clocked(backend, last=born + 9, bumped=born + 9)
    assert await generations(backend) == b"-"
    assert await backend.read(TOKEN) is None


async def test_of_what_a_clock_that_was_lost_had_counted_nothing_is_known(
    backend: Backend,
) -> None:
    born = await backend.begin()
    await backend.save(TOKEN, "u:1", stamp=born)
    before = born - 100
    await clocked(backend, last=before, bumped=before, told=before, floor=before)
    assert await generations(backend) == b"-"
    assert await backend.read(TOKEN) is None
