"""A Redis that lost acknowledged invalidations: whoever speaks first, nobody reads the past."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace

import redis
from structlog.testing import capture_logs

from bff.cache.bus import Pace
from bff.cache.connect import connect
from tests.support.bus_pair import EVERYWHERE, LIST, SETTING, keep, version, write
from tests.support.cache_process import SPACE, Process, process, trusting, until
from tests.support.redis_server import HOST, RedisServer
from tests.support.slow_proxy import SlowProxy, slow_proxy

PATIENT = replace(SETTING, pace=Pace(heartbeat_s=0.1, lease_s=2.5), timeout_s=5.0)


def command(server: RedisServer, *words: object) -> object:
    with closing(redis.Redis.from_url(server.url)) as client:
        answer: object = client.execute_command(*words)  # type: ignore[no-untyped-call]
        return answer


@asynccontextmanager
async def put_back(url: str) -> AsyncIterator[None]:
    """What happens within the block is lost, behind connections that all stay open."""
    client = connect(url)
    try:
        kept = {name: await client.dump(name) for name in await client.keys("*")}
        yield
        await client.flushall()
        for name, value in kept.items():
            assert value is not None
            await client.restore(name, 0, value, replace=True)
    finally:
        await client.aclose()


@asynccontextmanager
async def deaf_at_will(url: str) -> AsyncIterator[tuple[Process, SlowProxy]]:
    """A process that knows better, and the link over which it hears."""
    async with (
        slow_proxy(url) as link,
        process(url, "knower", SETTING, listen_url=link.url) as knower,
    ):
        yield knower, link


@asynccontextmanager
async def snapshot_of(server: RedisServer) -> AsyncIterator[None]:
    """What happens within the block is lost: the server comes back as it was before."""
    command(server, "SAVE")
    yield
    server.restart()


async def drops_something_else(one: Process) -> None:
    """Covers up what was lost: the stamp is greater than any that was given."""
    assert (await one.invalidator.invalidate(SPACE, frozenset({"u:6"}), "write")).stored


async def stored(one: Process) -> bool:
    """Whether the shared tier brings the list back, whatever the process holds itself."""
    await until(lambda: one.guarded.available)
    return (await one.cache.look(SPACE, [LIST])).values != (None,)


async def test_pitfall_22_a_newcomer_that_drops_first_is_answered_once_the_past_is_gone(
    redis_url: str,
) -> None:
    async with process(redis_url, "knower", PATIENT) as knower:
        await trusting(knower)
        await keep(knower)
        async with put_back(redis_url):
            assert await write(knower) == EVERYWHERE
        async with process(redis_url, "newcomer", PATIENT) as newcomer:
            await trusting(newcomer)
            assert await newcomer.get(LIST) == version(1), "nobody could know better"
            await drops_something_else(newcomer)
            # Neither here, from where it was read, nor there is anything awaited before this look.
            assert await newcomer.get(LIST) is None
            assert not await stored(newcomer)
            assert not await stored(knower)


async def test_pitfall_22_who_finds_out_by_its_own_is_answered_once_the_past_is_gone(
    redis_url: str,
) -> None:
    async with process(redis_url, "knower", PATIENT) as knower:
        await trusting(knower)
        await keep(knower)
        async with put_back(redis_url):
            assert await write(knower) == EVERYWHERE
        async with process(redis_url, "newcomer", PATIENT) as newcomer:
            await trusting(newcomer)
            assert await newcomer.get(LIST) == version(1), "nobody could know better"
            await drops_something_else(knower)
            assert await newcomer.get(LIST) is None
            assert not await stored(newcomer)


async def test_pitfall_22_who_only_heard_of_what_was_lost_knows_of_it(redis_url: str) -> None:
    async with process(redis_url, "hearer", PATIENT) as hearer:
        async with process(redis_url, "writer", PATIENT) as writer:
            await trusting(writer, hearer)
            await keep(writer)
            async with put_back(redis_url):
                assert await write(writer) == EVERYWHERE
        async with process(redis_url, "newcomer", PATIENT) as newcomer:
            await trusting(newcomer)
            await drops_something_else(newcomer)
            assert not await stored(newcomer)


async def test_pitfall_22_who_did_not_hear_the_newcomer_is_told_by_the_next_load(
    own_redis: RedisServer,
) -> None:
    async with deaf_at_will(own_redis.url) as (knower, link):
        await trusting(knower)
        await keep(knower)
        async with snapshot_of(own_redis):
            await write(knower)
            link.hang()
        async with process(own_redis.url, "newcomer", SETTING) as newcomer:
            for _ in range(3):
                await drops_something_else(newcomer)
            assert await stored(newcomer), "nobody could know better"
            assert await knower.get(LIST) is None
            await until(lambda: knower.guarded.available)
            assert not await stored(newcomer)
            assert not knower.bus.trusted
        link.resume()


async def test_pitfall_22_who_hears_again_asks_though_nobody_reads_there(
    own_redis: RedisServer,
) -> None:
    async with deaf_at_will(own_redis.url) as (knower, link):
        await trusting(knower)
        await keep(knower)
        async with snapshot_of(own_redis):
            await write(knower)
            link.hang()
        async with process(own_redis.url, "newcomer", SETTING) as newcomer:
            await drops_something_else(newcomer)
            assert await stored(newcomer), "nobody could know better"
            with capture_logs() as lines:
                link.resume()
                await until(lambda: "store_forgot" in [line["event"] for line in lines])
            await until(lambda: knower.guarded.available)
            assert not await stored(newcomer)


async def test_pitfall_22_who_finds_it_back_asks_before_it_is_used(own_redis: RedisServer) -> None:
    async with process(own_redis.url, "knower", SETTING) as knower:
        await trusting(knower)
        await keep(knower)
        command(own_redis, "SAVE")
        await write(knower)
        own_redis.kill()
        knower.guarded.keep_away()
        with capture_logs() as lines:
            own_redis.start()
            await until(lambda: knower.guarded.available)
        events = [line["event"] for line in lines]
        assert events.index("store_forgot") < events.index("store_back")
        assert not await stored(knower)


async def in_step(primary: RedisServer, replica: RedisServer) -> None:
    """Returns once the replica has all that the primary had."""

    def behind() -> bool:
        info = command(replica, "INFO", "replication")
        assert isinstance(info, dict)
        return info["master_link_status"] != "up" or command(primary, "WAIT", 1, 1000) != 1

    async with asyncio.timeout(20):
        while await asyncio.to_thread(behind):  # noqa: ASYNC110 - it is told over a connection
            await asyncio.sleep(0.01)


async def promote(replica: RedisServer) -> None:
    await asyncio.to_thread(command, replica, "REPLICAOF", "NO", "ONE")


async def lists_that_come_back(*processes: Process) -> int:
    for one in processes:
        await until(lambda one=one: one.guarded.available)  # type: ignore[misc]
    return sum([await stored(one) for one in processes])


async def test_pitfall_22_a_replica_promoted_before_it_heard_brings_nothing_back(
    own_redis: RedisServer,
) -> None:
    async with AsyncExitStack() as stack:
        replica = stack.enter_context(RedisServer())
        own_redis.config("repl-diskless-sync-delay", "0")
        between = await stack.enter_async_context(slow_proxy(own_redis.url))
        front = await stack.enter_async_context(slow_proxy(own_redis.url))
        await asyncio.to_thread(command, replica, "REPLICAOF", *between.url[8:-2].split(":"))
        knowers = [
            await stack.enter_async_context(process(front.url, f"k{n}", SETTING)) for n in range(3)
        ]
        await trusting(*knowers)
        await keep(knowers[0])
        await in_step(own_redis, replica)
        between.hang()
        assert await write(knowers[0]) == EVERYWHERE
        await promote(replica)
        front.lead_to(replica.url)
        newcomer = await stack.enter_async_context(process(replica.url, "newcomer", SETTING))
        await drops_something_else(newcomer)
        assert await stored(newcomer), "nobody could know better"
        with capture_logs() as lines:
            await front.cut()
            await until(lambda: "store_forgot" in [line["event"] for line in lines])
        await until(lambda: not any(one.invalidator.pending for one in knowers))
        assert await lists_that_come_back(newcomer, *knowers) == 0
        between.resume()


async def test_a_replica_that_has_heard_of_all_is_no_store_that_forgot(
    own_redis: RedisServer,
) -> None:
    async with AsyncExitStack() as stack:
        replica = stack.enter_context(RedisServer())
        own_redis.config("repl-diskless-sync-delay", "0")
        front = await stack.enter_async_context(slow_proxy(own_redis.url))
        await asyncio.to_thread(command, replica, "REPLICAOF", HOST, own_redis.port)
        processes = [
            await stack.enter_async_context(process(front.url, f"p{n}", SETTING)) for n in range(3)
        ]
        await trusting(*processes)
        for one in processes * 3:
            await drops_something_else(one)
        await keep(processes[0])
        await in_step(own_redis, replica)
        with capture_logs() as lines:
            await promote(replica)
            front.lead_to(replica.url)
            await front.cut()
            newcomer = await stack.enter_async_context(process(replica.url, "newcomer", SETTING))
            await drops_something_else(newcomer)
            await trusting(newcomer, *processes)
            for one in processes:
                await drops_something_else(one)
            assert await lists_that_come_back(newcomer, *processes) == 4
        assert "store_forgot" not in [line["event"] for line in lines]


async def busy(one: Process, draw: random.Random, writes: int) -> None:
    """Drops and reads at once, as fast as it can, and now and then anything passes anything."""
    for number in range(writes):
        tags = frozenset({draw.choice(["u:1", "c:8", f"k:{number}"])})
        work = [one.invalidator.invalidate(SPACE, tags, "write"), stored(one)]
        await asyncio.gather(*work, *[stored(one) for _ in range(draw.randrange(3))])


async def test_whatever_passes_what_no_process_says_that_a_store_forgot_that_did_not(
    redis_url: str,
) -> None:
    draw = random.Random(7)
    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(slow_proxy(redis_url))
        urls: Sequence[tuple[str, str]] = [
            (redis_url, redis_url), (link.url, redis_url), (redis_url, link.url), (link.url,) * 2,
        ] * 2  # fmt: skip
        processes = [
            await stack.enter_async_context(process(url, f"p{n}", PATIENT, listen_url=listen))
            for n, (url, listen) in enumerate(urls)
        ]
        await trusting(*processes)
        await keep(processes[0])
        link.delay_s = lambda: draw.choice([0.0, 0.0, 0.001, 0.004])
        with capture_logs() as lines:
            work = [busy(one, random.Random(n), 20) for n, one in enumerate(processes * 2)]
            evicting = asyncio.create_task(evict(redis_url))
            await asyncio.gather(*work)
            await link.cut()
            await asyncio.gather(*(busy(one, draw, 10) for one in processes))
            evicting.cancel()
        assert "store_forgot" not in [line["event"] for line in lines]
        assert not any(one.invalidator.pending for one in processes)


async def evict(url: str) -> None:
    """The clock goes, again and again: what it counted is not used, and nobody is alarmed."""
    client = connect(url)
    try:
        while True:
            await asyncio.sleep(0.1)
            await client.delete(f"bff:1:{{{SPACE}}}:clock")
    finally:
        await client.aclose()
