"""Reads, writes and a broken link at random: no process reads what was before a settled write."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace

from bff.cache.bus import Pace
from bff.cache.entry import Entry
from tests.support.bus_pair import LEASE_S, LIST, SETTING, TAGS, pair_on, version, write
from tests.support.cache_process import SPACE, Process
from tests.support.slow_proxy import SlowProxy


@dataclass(slots=True)
class Course:
    """What Nexudus would answer, and how much has happened.

    `version` grows with every write; `settled` is the last whose invalidation has returned.
    """

    version: int = 0
    settled: int = 0
    reads: int = 0
    writes: int = 0
    breaks: int = 0

    @property
    def over(self) -> bool:
        return self.reads >= 100 and self.writes >= 12 and self.breaks >= 3


async def reader(one: Process, course: Course, draw: random.Random) -> None:
    """Reads as the gateway does; what is older than the last settled write is an error."""
    while not course.over:
        least = course.settled
        findings = await one.cache.find(SPACE, [LIST])
        found = findings.values[0]
        if found is not None:
            assert isinstance(found.value, Entry)
            assert int(found.value.body) >= least, f"{found.tier} is older than a settled write"
            course.reads += 1
        else:
            ticket = findings.ticket
            if ticket.stamp is None:
                ticket = await one.cache.begin(SPACE)
            fetched = course.version
            await asyncio.sleep(draw.random() * 0.01)
            await one.fill(ticket, LIST, version(fetched), *TAGS)
        await asyncio.sleep(draw.random() * 0.002)


async def writer(one: Process, course: Course, draw: random.Random) -> None:
    while not course.over:
        await asyncio.sleep(draw.random() * 0.05)
        course.version += 1
        written = course.version
        reach = await write(one)
        if reach.stored:
            course.settled = max(course.settled, written)
            course.writes += 1


async def breaker(link: SlowProxy, course: Course, draw: random.Random) -> None:
    """Delays, cuts and hangs the link, for less and for more than a lease."""
    while not course.over:
        link.delay_s = lambda: draw.choice([0.0, 0.0, 0.02])
        await asyncio.sleep(draw.random() * 0.2)
        await link.cut()
        await asyncio.sleep(draw.random() * 0.2)
        link.hang()
        await asyncio.sleep(draw.choice([0.05, 0.3, 1.2 * LEASE_S]))
        link.resume()
        course.breaks += 1


async def test_pitfall_22_whatever_happens_to_its_channel_no_process_reads_the_past(
    redis_url: str,
) -> None:
    draw, course = random.Random(1), Course()
    setting = replace(SETTING, pace=Pace(0.03, LEASE_S))
    async with (
        pair_on(redis_url, setting) as pair,
        asyncio.timeout(40),
        asyncio.TaskGroup() as group,
    ):
        for one in (pair.mine, pair.peer, pair.peer):
            group.create_task(reader(one, course, draw))
        for one in (pair.mine, pair.peer):
            group.create_task(writer(one, course, draw))
        group.create_task(breaker(pair.link, course, draw))
