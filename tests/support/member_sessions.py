"""Sessions of members with real-sized lists, kept as after a fetch, and what they take of Redis."""

from __future__ import annotations

from itertools import islice

import orjson
from redis.asyncio import Redis

from bff.cache import tags as tagging
from bff.cache.entry import Entry, Proof
from bff.cache.tiered import Fill, Kept
from bff.resources import PROFILES, coworkers_of, user_of
from tests.support.cache_process import Process, alone, profiles, proof
from tests.support.member_documents import NAMES, Json, profile_lists, syllables

BEFORE = 20
"""Sessions that are there already: what is made once is not counted."""


async def session_bytes(
    redis_url: str, sessions: int = 500, names: tuple[str, ...] = NAMES
) -> float:
    """What each of so many sessions takes, with three profiles of a hundred fields.

    Of members whose values share no word with those that the dictionary was trained on: their
    profile list and the proof of their token.
    """
    documents = profile_lists(4_711, syllables(42), 3, names)
    async with alone(redis_url, "size") as process:
        for number, document in enumerate(islice(documents, BEFORE)):
            await _keep(process, document, number)
        before = await _used(process.store.client)
        for number, document in enumerate(islice(documents, sessions)):
            items = document["Profiles"]
            assert isinstance(items, list)
            assert [len(each) for each in items] == [100, 100, 100]
            await _keep(process, document, BEFORE + number)
        return (await _used(process.store.client) - before) / sessions


async def _keep(process: Process, document: Json, number: int) -> None:
    """As after a fetch of the list: the list and the proof that it is."""
    token = f"{'opaque' * 70}{number}"
    user, coworkers = user_of(document), coworkers_of(document)
    assert user is not None
    tags = PROFILES.tags_for(document, "")
    entry = Entry(200, orjson.dumps(document), 1.8e9 + number / 7, tags, secret_at=9)
    of_proof = (tagging.resource(tagging.PROOF_RESOURCE), tagging.user(user))
    fills = [
        Fill(profiles(token), entry, tags),
        Fill(proof(token), Proof(entry.fetched_at, user, coworkers), of_proof),
    ]
    ticket = await process.cache.begin("acme")
    assert await process.cache.keep(ticket, fills, 3_600) is Kept.EVERYWHERE


async def _used(client: Redis) -> int:
    return int((await client.info("memory"))["used_memory"])
