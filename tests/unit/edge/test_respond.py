"""How long a finished answer is kept: no longer than what it was made of."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields, replace

import orjson
import pytest
from starlette.types import Message, Scope

from bff.cache import tags
from bff.cache.bus import LocalBus
from bff.cache.connect import connect
from bff.cache.decide import Freshness
from bff.cache.secrets import Keyring
from bff.cache.tiered import Tier
from bff.edge import exchange as exchanges
from bff.edge.caching import Forward, Forwarded
from bff.edge.compression import Encoding
from bff.edge.respond import (
    JSON_TYPE,
    Finished,
    RepresentationKey,
    Responder,
    Unencoded,
    cache_outcome,
    encode,
)
from bff.nexudus.headers import Header, Variants
from bff.observe.metrics import Metrics
from bff.resources import PROFILES
from bff.session import wants
from bff.session.judging import judged
from bff.session.principal import Principal, identify
from bff.session.reading import Ask, Caller, Outcome, Policy, Reading
from tests.support.cache_process import SECRET, SPACE, Process, Setting, assemble
from tests.support.manual_time import ManualTime
from tests.unit.cache.documents import LIST, PROOF

CAP_S = 15.0
FRESH = Freshness(600, 0, 0)
POLICY = Policy(FRESH, FRESH)


@dataclass(frozen=True, slots=True)
class Desk:
    """One process that answers one member."""

    process: Process
    responder: Responder
    time: ManualTime
    ask: Ask

    @property
    def principal(self) -> Principal:
        return self.ask.principal

    @property
    def key(self) -> RepresentationKey:
        own = self.principal
        return RepresentationKey(own.space, own.digest, "profiles", "", "", "", Encoding.IDENTITY)

    async def read(self) -> Reading:
        """From what is held of the list and of the proof beside it."""
        wanted = (wants.want_of(self.ask, PROFILES.scope), wants.proof_of(self.principal))
        found = await self.process.cache.find(SPACE, wanted)
        listing, proof = found.values
        _, reading = judged(self.ask, listing, proof, POLICY, self.time.wall())
        assert reading is not None
        return reading

    async def fetched(self) -> None:
        """List and proof are in both tiers from now on."""
        now = self.time.wall()
        listing = wants.want_of(self.ask, PROFILES.scope)
        await self.process.put(listing, replace(LIST, fetched_at=now), *LIST.tags)
        proof = wants.proof_of(self.principal)
        await self.process.put(proof, replace(PROOF, accepted_at=now), "u:5")

    def lasts(self) -> bool:
        return self.responder.recall(self.key) is not None


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    time = ManualTime()
    process = assemble(connect("embedded://"), "mine", Setting(clock=time, max_age_s=CAP_S))
    ask = Ask(Caller(identify(SPACE, "ana", Keyring((SECRET,))), Variants()), PROFILES, "")
    yield Desk(process, Responder(process.cache, time, Metrics()), time, ask)
    await process.guarded.aclose()


def finish(desk: Desk, reading: Reading, *, complete: bool = True) -> None:
    made = Unencoded(200, JSON_TYPE, reading.entry.body, complete, (reading,))
    desk.responder.finish(desk.key, desk.principal, made, desk.responder.ticket())


KEY = RepresentationKey("acme", "d", "profiles", "101", "Id", "tz=-", Encoding.IDENTITY)


@pytest.mark.parametrize("part", [part.name for part in fields(RepresentationKey)])
def test_pitfall_1_answers_that_differ_in_one_part_of_their_key_are_kept_apart(part: str) -> None:
    value = Encoding.BR if part == "encoding" else getattr(KEY, part) + "2"
    other = replace(KEY, **{part: value})
    assert len({KEY, other}) == 2


@pytest.mark.parametrize("part", ["space", "digest", "route", "ident", "variant"])
def test_pitfall_11_the_same_bytes_for_another_have_another_validator(part: str) -> None:
    other = replace(KEY, **{part: getattr(KEY, part) + "2"})
    one, two = (encode(b"{}", Encoding.IDENTITY, key.whose(), "Id") for key in (KEY, other))
    assert one.body == two.body
    assert one.validator != two.validator


def test_pitfall_11_the_same_bytes_in_another_shape_have_another_validator() -> None:
    shapes = ("", "Id", "Name")
    made = {encode(b"{}", Encoding.IDENTITY, KEY.whose(), shape).validator for shape in shapes}
    assert len(made) == len(shapes)


@pytest.mark.parametrize("late", ["list", "proof"])
async def test_pitfall_22_an_answer_made_of_a_copy_in_process_expires_with_it(
    desk: Desk, late: str
) -> None:
    await desk.fetched()
    await desk.time.advance(CAP_S - 1)
    # One of the two is held anew: the other decides.
    want = wants.proof_of(desk.principal)
    if late == "list":
        want = wants.want_of(desk.ask, PROFILES.scope)
    await desk.process.cache.look(SPACE, [want])
    reading = await desk.read()
    assert reading.tier is Tier.L1
    finish(desk, reading)
    await desk.time.advance(0.9)
    assert desk.lasts()
    await desk.time.advance(0.2)
    assert not desk.lasts()


async def test_what_is_read_from_the_shared_store_may_be_kept_for_as_long_as_a_copy_of_it(
    desk: Desk,
) -> None:
    await desk.fetched()
    desk.process.memory.forget()
    reading = await desk.read()
    assert reading.tier is Tier.L2
    finish(desk, reading)
    await desk.time.advance(CAP_S - 0.1)
    assert desk.lasts()
    await desk.time.advance(0.2)
    assert not desk.lasts()


async def test_a_finished_answer_is_not_used_while_copies_in_process_may_not_be(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.fetched()
    finish(desk, await desk.read())
    monkeypatch.setattr(LocalBus, "trusted", False)
    assert not desk.lasts()
    monkeypatch.undo()
    assert desk.lasts()


async def test_pitfall_22_the_age_of_an_answer_counts_from_before_it_was_made(desk: Desk) -> None:
    """One part may have come long before the last of them."""
    begun = desk.responder.ticket()
    entry = replace(LIST, fetched_at=desk.time.wall())
    reading = Reading(PROFILES, entry, Outcome.MISS, Tier.UPSTREAM, FRESH)
    await desk.time.advance(CAP_S - 1)
    made = Unencoded(200, JSON_TYPE, entry.body, True, (reading,))
    desk.responder.finish(desk.key, desk.principal, made, begun)
    await desk.time.advance(0.9)
    assert desk.lasts()
    await desk.time.advance(0.2)
    assert not desk.lasts()


async def test_a_finished_answer_is_used_until_it_ceases_to_be_fresh(desk: Desk) -> None:
    """By the clock that its parts were dated by: its copy would be trusted for longer."""
    await desk.fetched()
    reading = await desk.read()
    finish(desk, replace(reading, fresh=Freshness(5, 300, 3600)))
    await desk.time.advance(4.9)
    assert desk.lasts()
    await desk.time.advance(0.1)
    assert not desk.lasts()


async def test_what_is_stale_incomplete_or_stored_nowhere_is_not_kept(desk: Desk) -> None:
    await desk.fetched()
    reading = await desk.read()
    finish(desk, reading, complete=False)
    assert not desk.lasts()
    for outcome in (Outcome.STALE, Outcome.STALE_ERROR):
        finish(desk, replace(reading, outcome=outcome))
        assert not desk.lasts()
    finish(desk, replace(reading, stored=False))
    assert not desk.lasts()
    finish(desk, reading)
    assert desk.lasts()


@pytest.mark.parametrize("first", [True, False])
async def test_an_answer_of_several_parts_is_as_good_as_the_worst_of_them(
    desk: Desk, first: bool
) -> None:
    await desk.fetched()
    good = await desk.read()
    soon = desk.time.monotonic() + 3
    for bad, kept in (
        (replace(good, outcome=Outcome.STALE), False),
        (replace(good, expires=soon), True),
    ):
        parts = (bad, good) if first else (good, bad)
        made = Unencoded(200, JSON_TYPE, b"{}", True, parts)
        desk.responder.finish(desk.key, desk.principal, made, desk.responder.ticket())
        assert desk.lasts() is kept
    await desk.time.advance(3)
    assert not desk.lasts()


@pytest.mark.parametrize("tag", ["u:5", "r:profiles", "k:", "p:"])
async def test_pitfall_22_what_drops_a_part_or_its_caller_drops_the_answer(
    desk: Desk, tag: str
) -> None:
    await desk.fetched()
    finish(desk, await desk.read())
    assert desk.lasts()
    tag += desk.principal.digest if tag.endswith(":") else ""
    desk.process.memory.drop(SPACE, [tag])
    assert not desk.lasts()


async def test_pitfall_14_what_was_dropped_while_an_answer_was_made_is_not_kept_in_it(
    desk: Desk,
) -> None:
    await desk.fetched()
    reading, begun = await desk.read(), desk.responder.ticket()
    desk.process.memory.drop(SPACE, ["u:5"])
    made = Unencoded(200, JSON_TYPE, reading.entry.body, True, (reading,))
    desk.responder.finish(desk.key, desk.principal, made, begun)
    assert not desk.lasts()


async def sent(desk: Desk, kept: Finished, method: str, *given: Header) -> list[Message]:
    """What answers a request with these headers."""
    scope: Scope = {"type": "http", "method": method, "headers": list(given)}
    exchanges.begin(scope, given, desk.time.monotonic())
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await desk.responder.send(scope, send, kept)
    return messages


@pytest.mark.parametrize("status", [200, 404])
async def test_only_of_a_200_a_validator_is_answered_with_304(desk: Desk, status: int) -> None:
    """RFC 9110 13.2.1: of what would not be a success no precondition is evaluated."""
    await desk.fetched()
    reading = await desk.read()
    made = Unencoded(status, JSON_TYPE, reading.entry.body, True, (reading,))
    kept = desk.responder.finish(desk.key, desk.principal, made, desk.responder.ticket())
    held = b"if-none-match", kept.validator.encode()
    start, body = await sent(desk, kept, "GET", held)
    assert start["status"] == (304 if status == 200 else status)
    assert body["body"] == (b"" if status == 200 else kept.body)


async def test_a_head_has_the_headers_of_a_get_and_no_body(desk: Desk) -> None:
    """RFC 9110 9.3.2: a body would be taken for the next answer on the connection."""
    await desk.fetched()
    reading = await desk.read()
    made = Unencoded(200, JSON_TYPE, reading.entry.body, True, (reading,))
    kept = desk.responder.finish(desk.key, desk.principal, made, desk.responder.ticket())
    answers = [await sent(desk, kept, method) for method in ("GET", "HEAD")]
    assert [body["body"] for _, body in answers] == [kept.body, b""]
    lengths = [dict(start["headers"])[b"content-length"] for start, _ in answers]
    assert lengths == [str(len(kept.body)).encode()] * 2


@pytest.mark.parametrize("outcome", [Outcome.HIT, Outcome.MISS, Outcome.STALE_ERROR])
async def test_what_lacks_a_part_is_not_told_to_be_a_hit_nor_stored(
    desk: Desk, outcome: Outcome
) -> None:
    await desk.fetched()
    reading, now = replace(await desk.read(), outcome=outcome), desk.time.wall()
    made = Unencoded(200, JSON_TYPE, reading.entry.body, False, (reading,))
    lacking = desk.responder.finish(desk.key, desk.principal, made, desk.responder.ticket())
    assert cache_outcome(lacking, (reading,), now) == Forward(Forwarded.PARTIAL)


@pytest.mark.parametrize("encoding", Encoding)
async def test_a_finished_answer_takes_the_bytes_it_is_counted_as(
    desk: Desk, encoding: Encoding
) -> None:
    """Many shapes of one list of 9 KB, which come with more room than they need."""
    on = tuple(tags.coworker(10**8 + number) for number in range(20))
    entry = replace(LIST, fetched_at=desk.time.wall(), tags=on)
    reading = Reading(PROFILES, entry, Outcome.HIT, Tier.L1, FRESH)
    document = [os.urandom(64).hex() for _ in range(70)]
    memory, count, total = desk.process.memory, 200, 0
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(count):
            made = Unencoded(200, JSON_TYPE, orjson.dumps(document), True, (reading,))
            key = replace(desk.key, shape=f"Shape,{number}", encoding=encoding)
            total += len(
                desk.responder.finish(key, desk.principal, made, desk.responder.ticket()).body
            )
        del made, key
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(memory) == count
    assert 0.75 < memory.used_bytes / taken < 1.25
    assert taken < 1.3 * total
