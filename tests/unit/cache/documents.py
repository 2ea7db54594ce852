"""Documents that the tests keep and look for."""

from __future__ import annotations

from bff.cache.entry import Entry, Proof
from bff.cache.tiered import Found, Want
from tests.support.cache_process import SPACE, Process, entry

TOKEN, OTHER = "bearer-of-ana", "bearer-of-ben"
LIST = entry(b'{"Profiles":[{"Id":101}]}', "r:profiles", "u:5")
RELATED = entry(b'{"RelatedProfiles":[]}', "c:7", "r:related")
PROOF = Proof(1e6, 5, (101,))


async def found(process: Process, want: Want) -> Found | None:
    return (await process.cache.find(SPACE, [want])).values[0]


async def keep(process: Process, want: Want, value: Entry = LIST) -> bool:
    return await process.put(want, value, *value.tags)
