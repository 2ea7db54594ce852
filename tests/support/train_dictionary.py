"""Trains the dictionary that stored documents are compressed with: `python -m` this module.

From documents of simulated spaces and of invented members, so it holds Nexudus' public field names
and no real person's data. The same zstandard makes the same bytes. A dictionary that was released
is never trained anew: what was stored under its number could not be read any more. A better one
takes the next number.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

import orjson
import zstandard

from bff.cache import envelope
from bff.cache.entry import Entry, pack
from bff.sandbox.directory import Directory
from bff.sandbox.documents import Documents
from bff.sandbox.seed import business_of, seeded
from bff.sandbox.world import World
from tests.support.member_documents import Json, profile_lists, syllables

SPACES: Final = range(1, 4)
MEMBERS: Final = 250
WORDS: Final = range(1_000, 1_030)
"""Each a language of its own, so that what all documents share is learned, and not its words."""
EACH: Final = 25
SIZE: Final = 64 * 1024


def stored(document: Json) -> bytes:
    """A profile list as it is sealed, with its token cut out."""
    user = document["User"]
    assert isinstance(user, dict)
    body = orjson.dumps({**document, "User": {**user, "AccessToken": ""}})
    place = body.index(b'"AccessToken":""') + len(b'"AccessToken":')
    moment = Random(len(body)).uniform(1.7e9, 1.9e9)
    return pack(Entry(200, body[:place] + body[place + 2 :], moment, (), secret_at=place))


def simulated(seed: int) -> Iterator[bytes]:
    """Every profile list and related list of a simulated space."""
    world = World(seeded(seed, MEMBERS), business_of("nexudushq"), seed)
    documents, directory = Documents(world), Directory(world)
    for member in world.members():
        yield stored(documents.profiles(member.user_id, ""))
    for coworker in world.coworkers():
        if coworker.published:
            yield pack(Entry(200, directory.related_body(coworker.id), 1.8e9 + coworker.id, ()))


def samples() -> Iterator[bytes]:
    for seed in SPACES:
        yield from simulated(seed)
    for seed in WORDS:
        for profiles in (1, 3):
            invented = profile_lists(seed, syllables(seed), profiles)
            yield from map(stored, islice(invented, EACH))


def train() -> bytes:
    """The bytes of the dictionary."""
    return zstandard.train_dictionary(SIZE, list(samples())).as_bytes()


if __name__ == "__main__":
    made = train()
    path = Path(envelope.__file__).parent / "dictionaries" / "1.zstd-dictionary"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(made)
    print(f"{path.name}: {len(made)} bytes, sha256 {sha256(made).hexdigest()}")
