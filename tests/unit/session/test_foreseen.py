"""A bootstrap of what is fresh: one question to the cache, and the document of the usual way."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from bff.cache import tags
from bff.cache.keys import Scope
from bff.resources import PROFILES, RELATED
from bff.session.bootstrap import Bootstrap, Document
from bff.session.expected import Expected
from bff.session.principal import Principal
from bff.session.reading import Ask, Outcome
from bff.shape import parse
from tests.support.cache_process import SPACE
from tests.support.manual_time import settled
from tests.unit.session.conftest import OF_ALICE, Session, answered

EVERYTHING = parse("")
OF_BOB = RELATED.path_for("145")
BOBS = {
    "User": {"Id": 7002, "AccessToken": "x"},
    "Profiles": [{"Id": 145, "Active": True, "IsDefaultProfile": True}],
}


@pytest.fixture
def loads(session: Session, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many documents each question to the shared store was about."""
    asked: list[int] = []
    real = session.process.store.load

    async def load(space: str, wants: list[tuple[object, str]], known: int = 0) -> object:
        asked.append(len(wants))
        return await real(space, wants, known)  # type: ignore[arg-type]

    monkeypatch.setattr(session.process.store, "load", load)
    return asked


@pytest.fixture
def bootstrap(session: Session) -> Bootstrap:
    return Bootstrap(session.reads)


async def of(
    bootstrap: Bootstrap, session: Session, token: str = "alice", hint: int | None = None
) -> Document:
    found = await bootstrap.document(session.caller(token), EVERYTHING, hint)
    assert isinstance(found, Document)
    return found


def cold(session: Session) -> None:
    """What is in process is not used."""
    session.process.cache._max_age_s = 0.0


async def test_a_session_that_is_known_is_one_question(
    session: Session, bootstrap: Bootstrap, loads: list[int]
) -> None:
    cold(session)
    first = await of(bootstrap, session)
    loads.clear()
    again = await of(bootstrap, session)
    assert (again.body, again.complete) == (first.body, True)
    assert loads == [4], "the list, its proof, the related list, and what the token was told of it"
    assert [r.outcome for r in again.readings] == [Outcome.HIT, Outcome.HIT]
    assert len(session.nexudus.asked) == 2


async def test_one_that_is_not_known_is_two_or_one_by_its_hint(
    session: Session, bootstrap: Bootstrap, loads: list[int]
) -> None:
    cold(session)
    first = await of(bootstrap, session)
    for hint, questions in ((None, [2, 2]), (101, [4]), (999, [4, 2])):
        loads.clear()
        assert (await of(Bootstrap(session.reads), session, hint=hint)).body == first.body
        assert loads == questions


async def test_each_reading_is_told_of_once(session: Session, bootstrap: Bootstrap) -> None:
    told: list[tuple[str, str, str, str]] = []
    shared: list[str] = []
    session.reads.observe = lambda *reading: told.append(reading)
    session.reads.on_shared_hit = lambda ask, _entry: shared.append(ask.resource.name)
    for is_cold, tier in ((False, "l1"), (True, "l2")):
        if is_cold:
            cold(session)
            session.process.memory.forget()
        await of(bootstrap, session)
        told.clear()
        shared.clear()
        await of(bootstrap, session)
        names = (PROFILES.name, RELATED.name)
        assert told == [(SPACE, name, tier, "hit") for name in names]
        assert shared == [RELATED.name]


async def test_pitfall_22_another_profile_became_active(
    session: Session, bootstrap: Bootstrap, loads: list[int]
) -> None:
    """The related list of the profile that was active is there, fresh, and not shown."""
    cold(session)
    session.nexudus.serves |= {OF_BOB: {"RelatedProfiles": [{"Id": 303}], "Threads": []}}
    await of(bootstrap, session)
    session.nexudus.serves[PROFILES.path] = {**BOBS, "User": {"Id": 7001, "AccessToken": "x"}}
    await session.process.invalidator.invalidate(SPACE, frozenset({tags.user(7001)}), "switch")
    for _ in range(2):
        document = orjson.loads((await of(bootstrap, session)).body)
        assert document["Bootstrap"]["CoworkerId"] == 145
        assert document["RelatedProfiles"] == [{"Id": 303}]
    loads.clear()
    await of(bootstrap, session)
    assert loads == [4]


@pytest.mark.parametrize("hint", [None, 101])
async def test_pitfall_1_what_is_foreseen_for_one_is_not_shown_to_another(
    session: Session, bootstrap: Bootstrap, hint: int | None
) -> None:
    session.nexudus.serves |= {OF_BOB: {"RelatedProfiles": [], "Threads": []}}
    await of(bootstrap, session)
    session.nexudus.serves[PROFILES.path] = BOBS
    for _ in range(2):
        body = (await of(bootstrap, session, "bob", hint)).body
        assert b"202" not in body
        assert orjson.loads(body)["User"] == {"Id": 7002, "AccessToken": "bob"}


@pytest.mark.parametrize("withdrawn", [tags.proof, tags.token])
async def test_pitfall_2_nothing_is_foreseen_without_a_proof(
    session: Session, bootstrap: Bootstrap, withdrawn: object
) -> None:
    cold(session)
    await of(bootstrap, session)
    digest = session.caller().principal.digest
    dropped = frozenset({withdrawn(digest)})  # type: ignore[operator]
    await session.process.invalidator.invalidate(SPACE, dropped, "refused")
    session.nexudus.asked.clear()
    await of(bootstrap, session)
    assert session.nexudus.asked == [("alice", PROFILES.path)]


def stops_sharing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the shared store is asked next; the invalidation that follows is not heard yet."""
    real = session.process.store.load

    async def load(space: str, wants: list[tuple[object, str]], known: int = 0) -> object:
        answer = await real(space, wants, known)  # type: ignore[arg-type]
        session.landings.scope_of = lambda _principal, _resource: Scope.TOKEN
        return answer

    monkeypatch.setattr(session.process.store, "load", load)


async def test_pitfall_3_what_was_shared_is_not_shown_once_the_space_stopped_sharing(
    session: Session, bootstrap: Bootstrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold(session)
    await of(bootstrap, session)
    shared: list[str] = []
    session.reads.on_shared_hit = lambda ask, _entry: shared.append(ask.resource.name)
    stops_sharing(session, monkeypatch)
    session.nexudus.asked.clear()
    await of(bootstrap, session)
    assert session.nexudus.asked == [("alice", OF_ALICE)]
    assert not shared


async def test_pitfall_3_nor_is_a_list_that_was_asked_for_alone(
    session: Session, bootstrap: Bootstrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    await of(bootstrap, session)
    session.process.memory.forget()
    await session.reads.profiles(session.caller())  # the proof is in process, the list is not
    stops_sharing(session, monkeypatch)
    session.nexudus.asked.clear()
    await session.reads.related(session.caller(), 101)
    assert session.nexudus.asked == [("alice", OF_ALICE)]


async def test_a_list_that_is_fresh_says_more_than_a_wrong_hint(
    session: Session, bootstrap: Bootstrap
) -> None:
    cold(session)
    await of(bootstrap, session)
    session.nexudus.serves[RELATED.path_for("999")] = answered({}, 404)
    session.nexudus.asked.clear()
    await of(bootstrap, session, hint=999)
    await settled(50)
    assert session.nexudus.asked == []


async def test_what_is_stale_goes_the_usual_way(session: Session, bootstrap: Bootstrap) -> None:
    cold(session)
    await of(bootstrap, session)
    await session.time.advance(61)
    document = await of(bootstrap, session)
    assert [r.outcome for r in document.readings] == [Outcome.STALE, Outcome.HIT]
    async with asyncio.timeout(5):
        while len(session.process.flights):  # noqa: ASYNC110 - it ends by itself
            await asyncio.sleep(0)
    assert session.nexudus.asked.count(("alice", PROFILES.path)) == 2
    assert session.nexudus.asked.count(("alice", OF_ALICE)) == 1


def test_the_latest_sessions_are_remembered_and_no_more() -> None:
    expected = Expected(most=2)
    one, two, three = (Principal("s", "t", (name,), None) for name in ("1", "2", "3"))
    for number, each in enumerate((one, two, one, three)):
        expected.tell(each, number)
    assert [expected.of(each) for each in (one, two, three)] == [2, None, 3]
    expected.tell(three, None)
    assert expected.of(three) is None
    assert len(expected) == 1
    assert expected.of(Principal("other", "t", ("1",), None)) is None


async def test_pitfall_2_nothing_is_foreseen_past_what_is_not_fresh(
    session: Session, bootstrap: Bootstrap
) -> None:
    """The first of what is told stands for the profile list, which vouches for the rest."""
    await of(bootstrap, session)
    invalidator, caller = session.process.invalidator, session.caller()
    await invalidator.invalidate(SPACE, frozenset({tags.resource(PROFILES.name)}), "elsewhere")
    asks = [Ask(caller, PROFILES, ""), Ask(caller, RELATED, "101")]
    survey = session.reads.lookup.survey
    assert [reading.resource for reading in (await survey(asks[1:])).fresh] == [RELATED]
    assert (await survey(asks)).fresh == ()
