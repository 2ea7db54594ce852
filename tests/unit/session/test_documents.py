"""What stays parsed and merged in process: whose it is, how long it lasts, what it costs."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bff.cache import tags
from bff.cache.bus import LocalBus
from bff.cache.decide import Freshness
from bff.cache.entry import Entry
from bff.cache.tiered import Tier
from bff.errors import UpstreamDown
from bff.nexudus.headers import Variants
from bff.resources import PARTS, PROFILES, RELATED
from bff.session.bootstrap import Bootstrap, Document, in_shape
from bff.session.documents import Documents, Whole, weight, with_token
from bff.session.reading import Caller, Outcome, Reading
from bff.shape import parse, project
from tests.property.test_shape import ROOMY, cases, text_of
from tests.support.cache_process import SPACE
from tests.unit.session.conftest import OF_ALICE, Session

SHAPES = ("User", "User.AccessToken,Profiles.Id", "RelatedProfiles.Id", "Bootstrap,Threads", "")


def read(document: object, secret_at: int | None = None, resource: object = RELATED) -> Reading:
    entry = Entry(200, orjson.dumps(document), 1e6, ("u:7001",), secret_at=secret_at)
    chosen = PROFILES if resource is PROFILES else RELATED
    return Reading(chosen, entry, Outcome.HIT, Tier.L1, Freshness(60, 0, 0))


def of_alice() -> Reading:
    """A profile list without the token that it was fetched under."""
    body = b'{"User":{"Id":1,"AccessToken":,"Z":2},"Profiles":[{"Id":1}]}'
    found = read(None, resource=PROFILES)
    entry = replace(found.entry, body=body, secret_at=body.index(b',"Z"'))
    return replace(found, entry=entry)


def documents_of(session: Session) -> Documents:
    return Documents(session.process.cache, session.time)


@pytest.mark.unmeasured
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_a_shape_of_a_document_is_what_projection_says_however_often_it_is_asked(
    session: Session, case: tuple[object, list[tuple[str, ...]]]
) -> None:
    document, paths = case
    shape, documents, reading = parse(text_of(paths), ROOMY), documents_of(session), read(document)
    expected = orjson.dumps(project(document, shape))
    for _ in range(3):
        body, left_out = documents.shaped(session.caller().principal, reading, shape)
        assert body == expected
        assert left_out == len(reading.entry.body) - len(body)
        assert documents.shaped(session.caller().principal, reading, parse("")) == (
            reading.entry.body,
            0,
        )
    assert documents.opened(session.caller().principal, reading) == (document, reading.entry.body)


async def test_pitfall_01_a_parsed_document_has_the_token_of_who_asks_and_keeps_none(
    session: Session,
) -> None:
    documents, reading = documents_of(session), of_alice()
    for token in ("alice", "bob", "alice", "carol"):
        caller = session.caller(token)
        seen, text = documents.opened(caller.principal, reading)
        assert orjson.dumps(seen) == text == reading.entry.body_for(token)
        body, _ = documents.shaped(caller.principal, reading, parse("User.AccessToken"))
        assert orjson.loads(body) == {"User": {"AccessToken": token}}


async def test_a_document_is_kept_from_the_second_time_on_and_found_by_its_very_entry(
    session: Session,
) -> None:
    documents, memory, reading = documents_of(session), session.process.memory, read({"a": {}})

    def opened(of: Reading = reading) -> object:
        return documents.opened(session.caller().principal, of)[0]

    opened()
    assert len(memory) == 0
    second = opened()
    assert (len(memory), memory.used_bytes >= weight(reading.entry.body)) == (1, True)
    assert opened() is second
    assert opened(replace(reading, entry=replace(reading.entry))) is not second
    memory.drop(SPACE, ["u:7001"])
    assert len(memory) == 0
    assert (opened() is second, opened() == second) == (False, True)


@given(st.dictionaries(st.text(max_size=3), st.none()), st.text(max_size=5))
def test_a_token_takes_the_place_of_its_member_and_nothing_else_changes(
    others: dict[str, object], token: str
) -> None:
    user = {**others, "AccessToken": "", "Z": 1}
    document = {"A": [1], "User": user, "B": 2}
    seen = with_token(PROFILES, document, token)
    expected = {**document, "User": {**user, "AccessToken": token}}
    assert orjson.dumps(seen) == orjson.dumps(expected)
    assert document["User"] == {**others, "AccessToken": "", "Z": 1}


def related(number: int) -> object:
    return {"RelatedProfiles": [_profile(number + at) for at in range(12)], "Threads": []}


def _profile(number: int) -> dict[str, object]:
    fields = {f"Field{at}": [None, True, number, f"text {number} {at}"][at % 4] for at in range(60)}
    return {"Id": number, "FullName": f"Member {number}", "Tags": ["UX", "Go"], **fields}


@pytest.mark.parametrize(
    "make",
    [
        related,
        lambda number: {"Profiles": [_profile(number)], "User": {"Id": number}},
        lambda number: {"Items": [{"Id": number}, {}, [], {"Name": "x"}] * 40},
    ],
)
def test_the_bytes_that_are_counted_are_the_bytes_that_parsing_takes(
    make: Callable[[int], object],
) -> None:
    bodies = [orjson.dumps(make(number)) for number in range(60)]
    for body in bodies:
        orjson.loads(body)  # names of members are kept once, by orjson
    gc.collect()
    tracemalloc.start()
    try:
        kept = [orjson.loads(body) for body in bodies]
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(kept) == len(bodies)
    assert 0.8 < sum(map(weight, bodies)) / taken < 2


async def test_a_bootstrap_is_made_of_nothing_but_memory_from_the_third_time_on(
    session: Session,
) -> None:
    heard: list[tuple[str, str, str, str]] = []
    expected = {text: await made(session, text) for text in SHAPES}
    await warm(session)
    session.reads.observe = lambda *told: heard.append(told)
    for text in SHAPES:
        whole = Bootstrap(session.reads).at_hand(session.caller(), parse(text))
        assert whole is not None
        found = in_shape(whole, parse(text))
        assert (found.body, found.left_out) == (expected[text].body, expected[text].left_out)
        assert [each.resource for each in found.readings] == [
            each.resource for each in expected[text].readings
        ]
        assert {each.outcome for each in found.readings} == {Outcome.HIT}
    assert kept_wholes(session) == 2, "with and without the related list"
    assert set(heard) == {(SPACE, name, "l1", "hit") for name in ("profiles", "related")}
    assert len(session.nexudus.asked) == 2


def kept_wholes(session: Session) -> int:
    recall = session.reads.documents.recall
    kept = [recall(session.caller(), parts) for parts in ((), PARTS)]
    assert all(isinstance(each, Whole) for each in kept if each)
    return sum(each is not None for each in kept)


async def made(session: Session, text: str, caller: Caller | None = None) -> Document:
    """By a bootstrap that keeps nothing."""
    keep, session.reads.documents = session.reads.documents, documents_of(session)
    try:
        found = await Bootstrap(session.reads).document(
            caller or session.caller(), parse(text), None
        )
    finally:
        session.reads.documents = keep
    assert isinstance(found, Document)
    return found


async def warm(session: Session, caller: Caller | None = None) -> None:
    for _ in range(3):
        await Bootstrap(session.reads).document(caller or session.caller(), parse("User"), None)
        await Bootstrap(session.reads).document(caller or session.caller(), parse("Threads"), None)


async def test_pitfall_01_a_whole_is_found_by_its_own_token_and_variant_alone(
    session: Session,
) -> None:
    await warm(session)
    recall, alice = session.reads.documents.recall, session.caller()
    assert recall(alice, PARTS) is not None
    assert recall(session.caller("bob"), PARTS) is None
    assert recall(replace(alice, variants=Variants("es")), PARTS) is None
    elsewhere = replace(alice, principal=replace(alice.principal, space="other"))
    assert recall(elsewhere, PARTS) is None
    await warm(session, session.caller("bob"))
    for token in ("alice", "bob"):
        shape = parse("User.AccessToken")
        whole = Bootstrap(session.reads).at_hand(session.caller(token), shape)
        assert whole is not None
        assert orjson.loads(in_shape(whole, shape).body) == {"User": {"AccessToken": token}}


@pytest.mark.parametrize("what", ["token", "proof", "user", "coworker", "resource"])
async def test_pitfall_14_whatever_drops_a_part_or_its_proof_drops_the_whole(
    session: Session, what: str
) -> None:
    await warm(session)
    assert kept_wholes(session) == 2
    digest = session.caller().principal.digest
    tag = {
        "token": tags.token(digest),
        "proof": tags.proof(digest),
        "user": tags.user(7001),
        "coworker": tags.coworker(101),
        "resource": tags.resource("profiles"),
    }[what]
    session.process.memory.drop(SPACE, [tag])
    assert kept_wholes(session) == 0


async def test_pitfall_14_a_whole_that_was_begun_before_an_invalidation_is_not_kept(
    session: Session,
) -> None:
    await warm(session)
    documents, caller = session.reads.documents, session.caller()
    kept = documents.recall(caller, PARTS)
    assert kept is not None
    begun = documents.begin()
    session.process.memory.drop(SPACE, [tags.user(7001)])
    documents.keep(caller, PARTS, {}, lambda: b"{}", kept.readings, begun)
    assert documents.recall(caller, PARTS) is None
    documents.keep(caller, PARTS, {}, lambda: b"{}", kept.readings, documents.begin())
    assert documents.recall(caller, PARTS) is not None


@pytest.mark.parametrize("seconds", [59.9, 60])
async def test_a_whole_lasts_as_long_as_what_it_was_made_of(
    session: Session, seconds: float
) -> None:
    await warm(session)
    await session.time.advance(seconds)
    assert kept_wholes(session) == (2 if seconds < 60 else 0)


async def test_a_whole_lasts_no_longer_than_its_callers_token(session: Session) -> None:
    caller = session.caller()
    ends = session.time.wall() + 10
    caller = replace(caller, principal=replace(caller.principal, expires_at=ends))
    await warm(session, caller)
    assert session.reads.documents.recall(caller, PARTS) is not None
    await session.time.advance(10)
    assert session.reads.documents.recall(caller, PARTS) is None


async def test_a_whole_is_read_again_as_from_this_process_and_no_longer_than_its_parts(
    session: Session,
) -> None:
    documents, caller, now = documents_of(session), session.caller(), session.time.now
    fetched = replace(
        read({"a": 1}), outcome=Outcome.MISS, tier=Tier.UPSTREAM, upstream_s=0.1, expires=now + 9,
        document={"a": 1},
    )  # fmt: skip
    for _ in range(2):
        documents.keep(caller, (), {"a": 1}, lambda: b'{"a":1}', (fetched,), documents.begin())
    kept = documents.recall(caller, ())
    assert kept is not None
    again = replace(fetched, outcome=Outcome.HIT, tier=Tier.L1, upstream_s=None)
    assert (kept.readings, kept.size) == ((again,), 7)
    assert kept.readings[0].document is None, "what it was parsed to is in the columns"
    held = session.process.memory.peek(kept.key)
    assert held is not None
    assert held.cost == weight(b'{"a":1}') + kept.columns.weight(7) + len(fetched.entry.body)
    await session.time.advance(9)
    assert documents.recall(caller, ()) is None
    lasting = replace(fetched, expires=now + 900)
    documents.keep(caller, (), {"a": 1}, lambda: b'{"a":1}', (lasting,), documents.begin())
    kept = documents.recall(caller, ())
    assert kept is not None
    assert kept.readings[0].expires == session.time.now + 60, "the cap on the age of copies"


@pytest.mark.parametrize("change", [{"outcome": Outcome.STALE}, {"stored": False}])
async def test_what_is_not_fresh_or_not_stored_is_not_kept(
    session: Session, change: dict[str, object]
) -> None:
    documents, caller = documents_of(session), session.caller()
    reading = replace(read({"a": 1}), **change)  # type: ignore[arg-type]
    for _ in range(3):
        documents.keep(caller, (), {"a": 1}, lambda: b'{"a":1}', (reading,), documents.begin())
        assert documents.recall(caller, ()) is None


async def test_pitfall_22_the_age_of_a_whole_counts_from_before_it_was_made(
    session: Session,
) -> None:
    """One part may have come long before the last of them."""
    documents, caller, reading = documents_of(session), session.caller(), read({"a": 1})
    cap_s = 60.0
    reading = replace(reading, fresh=Freshness(600, 0, 0))
    reading = replace(reading, entry=replace(reading.entry, fetched_at=session.time.wall()))
    for _ in range(2):
        begun = documents.begin()
        await session.time.advance(cap_s - 1)
        documents.keep(caller, (), {"a": 1}, lambda: b'{"a":1}', (reading,), begun)
    assert documents.recall(caller, ()) is not None
    await session.time.advance(2)
    assert documents.recall(caller, ()) is None


async def test_an_incomplete_bootstrap_is_not_kept(session: Session) -> None:
    session.nexudus.serves[OF_ALICE] = UpstreamDown("x")
    await warm(session)
    assert kept_wholes(session) == 1
    assert session.reads.documents.recall(session.caller(), PARTS) is None


async def test_a_whole_is_not_used_while_copies_in_process_may_not_be(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    await warm(session)
    monkeypatch.setattr(LocalBus, "trusted", False)
    assert kept_wholes(session) == 0
    monkeypatch.undo()
    assert kept_wholes(session) == 2
    session.process.memory.forget()
    assert kept_wholes(session) == 0
