"""The bootstrap use case: which parts a shape wants, and the document made of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.cache import tags
from bff.cache.keys import Scope
from bff.errors import Overloaded, UnusableAnswer, UpstreamDown, UpstreamError, UpstreamTimeout
from bff.resources import PARTS, PROFILES, RELATED, Resource
from bff.session.bootstrap import Bootstrap, Document, wanted
from bff.session.deadline import in_time
from bff.session.interpret import Refusal
from bff.session.merging import OWN_MEMBER, Side, merge
from bff.shape import parse
from tests.unit.session.conftest import OF_ALICE, Session, answered

EVERYTHING = parse("")
BENEFITS = Resource(
    name="benefits",
    path="/api/public/coworkers/profiles/current/benefits",
    scope=Scope.TOKEN,
    members=frozenset({"Personal", "Team"}),
    accepts=lambda document: isinstance(document, dict) and "Personal" in document,
    document_tags=lambda _: frozenset({tags.user(7001)}),
    absent=b'{"Personal":null,"Team":null}',
)

names = st.sampled_from(
    ["User", "DefaultBusiness", "Profiles", "Bootstrap", "RelatedProfiles", "Threads", "New"]
)


@given(st.sets(names))
def test_a_part_is_wanted_for_its_own_members_and_for_unknown_ones(roots: set[str]) -> None:
    expected = not roots or bool(roots & {*RELATED.members, "New"})
    assert wanted(PARTS, roots) == (PARTS if expected else ())
    both = (RELATED, BENEFITS)
    assert (BENEFITS in wanted(both, roots)) is (not roots or "New" in roots)


members = st.dictionaries(names, st.integers(0, 9) | st.just({"b": [1, "x"]}), max_size=4)


@given(members, members, members)
def test_the_text_of_the_whole_is_the_whole(
    listed: dict[str, object], one: dict[str, object], other: dict[str, object]
) -> None:
    brought = [(RELATED, side(one)), (BENEFITS, side(other))]
    whole = merge(side(listed), brought, side({OWN_MEMBER: 1}))
    merged = whole.members
    assert whole.text() == orjson.dumps(merged)
    assert whole.size == len(whole.text())
    expected = {name: value for name, value in listed.items() if name != OWN_MEMBER}
    for resource, each in ((RELATED, one), (BENEFITS, other)):
        expected |= {n: v for n, v in each.items() if n in resource.members or n not in listed}
    assert list(merged.items()) == list({**expected, OWN_MEMBER: 1}.items())


def side(of: dict[str, object]) -> Side:
    return Side(of, orjson.dumps(of))


def made(found: Document | Refusal) -> Document:
    assert isinstance(found, Document)
    return found


async def test_a_new_part_is_a_new_row_and_nothing_else(session: Session) -> None:
    session.policies[BENEFITS.name] = session.policies[PROFILES.name]
    session.nexudus.serves[BENEFITS.path] = {"Personal": {"Credits": [1]}, "Extra": 2}
    bootstrap = Bootstrap(session.reads, (RELATED, BENEFITS))
    first = made(await bootstrap.document(session.caller(), EVERYTHING, None))
    document = orjson.loads(first.body)
    assert list(document) == [
        *("User", "Profiles", "RelatedProfiles", "Threads"),
        *("Personal", "Team", "Extra", "Bootstrap"),
    ]
    assert (document["Personal"], document["Team"]) == ({"Credits": [1]}, None)
    again = made(await bootstrap.document(session.caller(), EVERYTHING, 101))
    assert again.body == first.body
    assert len(session.nexudus.asked) == 3


async def test_a_part_of_the_token_needs_no_active_profile(session: Session) -> None:
    session.policies[BENEFITS.name] = session.policies[PROFILES.name]
    session.nexudus.serves[PROFILES.path] = {"User": {"Id": 1}, "Profiles": []}
    session.nexudus.serves[BENEFITS.path] = {"Personal": 1}
    bootstrap = Bootstrap(session.reads, (RELATED, BENEFITS))
    found = made(await bootstrap.document(session.caller(), EVERYTHING, None))
    assert orjson.loads(found.body)["Personal"] == 1
    assert (session.caller().principal.token, OF_ALICE) not in session.nexudus.asked


class Shed(Overloaded):
    """A kind of failure that did not exist when the catalogue was written."""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnusableAnswer("x"), 502),
        (UpstreamDown("x"), 503),
        (Overloaded("x", retry_after_s=9), 503),
        (Shed("x"), 503),
        (UpstreamTimeout("x"), 504),
    ],
)
async def test_every_failure_of_a_part_is_a_problem(
    session: Session, error: UpstreamError, status: int
) -> None:
    session.nexudus.serves[OF_ALICE] = error
    found = made(await Bootstrap(session.reads).document(session.caller(), EVERYTHING, None))
    own = orjson.loads(found.body)["Bootstrap"]
    assert (found.complete, own["Complete"]) == (False, False)
    assert [(p["Part"], p["Status"]) for p in own["Problems"]] == [("related", status)]
    assert [reading.resource for reading in found.readings] == [PROFILES]


async def test_a_failure_of_the_profiles_is_a_failure_of_the_whole(session: Session) -> None:
    session.nexudus.serves[PROFILES.path] = UpstreamDown("x")
    for hint in (None, 101, 145):
        session.nexudus.serves[RELATED.path_for("145")] = UpstreamTimeout("y")
        with pytest.raises(UpstreamDown):
            await Bootstrap(session.reads).document(session.caller(), EVERYTHING, hint)


async def test_a_refusal_of_the_profiles_is_passed_on(session: Session) -> None:
    session.nexudus.serves[PROFILES.path] = answered(None, 403)
    found = await Bootstrap(session.reads).document(session.caller(), EVERYTHING, 101)
    assert isinstance(found, Refusal)
    assert found.status == 403


async def test_what_a_hint_fetched_is_not_kept_for_who_is_refused(session: Session) -> None:
    session.nexudus.serves[PROFILES.path] = answered(None, 403)
    await Bootstrap(session.reads).document(session.caller(), EVERYTHING, 101)
    async with asyncio.timeout(5):
        while len(session.process.flights):  # noqa: ASYNC110 - it ends by itself
            await asyncio.sleep(0)
    session.nexudus.asked.clear()
    session.nexudus.serves[PROFILES.path] = {"User": {"Id": 2}, "Profiles": []}
    await session.reads.related(session.caller("bob"), 101)
    assert session.nexudus.asked == [("bob", PROFILES.path), ("bob", OF_ALICE)]


async def test_a_proven_caller_shares_what_its_hint_fetches(session: Session) -> None:
    bob = session.caller("bob")
    await session.reads.profiles(session.caller())
    await session.reads.profiles(bob)
    session.nexudus.held[OF_ALICE] = asyncio.Event()
    bootstrap = Bootstrap(session.reads)
    asking = [
        asyncio.create_task(bootstrap.document(caller, EVERYTHING, 101))
        for caller in (session.caller(), bob)
    ]
    async with asyncio.timeout(5):
        while session.process.flights.waiters < 2:  # noqa: ASYNC110 - it comes by itself
            await asyncio.sleep(0)
    session.nexudus.held[OF_ALICE].set()
    assert [made(await each).complete for each in asking] == [True, True]
    assert [path for _, path in session.nexudus.asked].count(OF_ALICE) == 1


async def test_the_document_of_one_caller_has_that_callers_token(session: Session) -> None:
    for token in ("alice", "bob"):
        found = await Bootstrap(session.reads).document(session.caller(token), EVERYTHING, None)
        assert orjson.loads(made(found).body)["User"]["AccessToken"] == token


async def test_who_waits_no_longer_is_told_and_disturbs_nobody(session: Session) -> None:
    session.nexudus.held[PROFILES.path] = asyncio.Event()
    hasty = replace(session.caller(), until=session.time.monotonic() - 1)
    patient = asyncio.create_task(session.reads.profiles(session.caller()))
    with pytest.raises(UpstreamTimeout):
        await Bootstrap(session.reads).document(hasty, EVERYTHING, None)
    session.nexudus.held[PROFILES.path].set()
    assert not isinstance(await patient, Refusal)
    assert len(session.nexudus.asked) == 1
    found = made(await Bootstrap(session.reads).document(hasty, parse("User"), None))
    assert found.complete, "what is in the cache takes no time"


@pytest.mark.parametrize("in_a_row", [0, 99])
async def test_nexudus_is_asked_within_the_deadline(session: Session, in_a_row: int) -> None:
    """Whether the cache was asked first, or the session is most likely new."""
    session.nexudus.held[PROFILES.path] = asyncio.Event()
    bootstrap = Bootstrap(session.reads)
    bootstrap._newcomers._in_a_row = in_a_row
    with pytest.raises(UpstreamTimeout):
        async with asyncio.timeout(5):
            await in_time(0.01, bootstrap.document(session.caller(), EVERYTHING, None))
    session.nexudus.held[PROFILES.path].set()
    assert made(await bootstrap.document(session.caller(), EVERYTHING, None)).complete


async def test_pitfall_23_so_is_the_shared_store(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patience with it counts idle time only: a busy process would have it for ever."""

    async def hangs(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(session.process.store, "load", hangs)
    with pytest.raises(UpstreamTimeout):
        async with asyncio.timeout(1):
            await in_time(
                0.01, Bootstrap(session.reads).document(session.caller(), EVERYTHING, None)
            )


async def test_members_that_may_be_absent_stand_first_in_their_order(session: Session) -> None:
    """So that a document has one order, whether a part brought all of them, some or none."""
    session.nexudus.serves[OF_ALICE] = {"New": 1, "Threads": [], "RelatedProfiles": []}
    found = made(await Bootstrap(session.reads).document(session.caller(), EVERYTHING, None))
    theirs = ["RelatedProfiles", "Threads", "New"]
    assert list(orjson.loads(found.body)) == ["User", "Profiles", *theirs, OWN_MEMBER]
