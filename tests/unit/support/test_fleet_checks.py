"""The checks of the fault run notice what they are there for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.cache import tags
from bff.resources import PROFILES, RELATED
from tests.reference import shape_model
from tests.support.fleet import MOBILE_SHAPE, Terms
from tests.support.fleet_checks import Ask, Ground, Kind, Session, Wrong, check
from tests.support.fleet_client import CUT, Reply
from tests.support.fleet_members import (
    LISTED,
    Dropping,
    Member,
    Switching,
    canary_of,
    related_of,
)
from tests.support.fleet_weather import Trouble, Weather

TERMS = Terms()
WELL = Ground(frozenset(), 0.0, TERMS)
NEXUDUS_FAILS = replace(WELL, troubles=frozenset((Trouble.NEXUDUS,)))
REDIS_FAILS = replace(WELL, troubles=frozenset((Trouble.REDIS,)))
BOTH_FAIL = replace(WELL, troubles=frozenset((Trouble.REDIS, Trouble.NEXUDUS)))
ENDS = replace(WELL, troubles=frozenset((Trouble.PROCESS,)))
HIT = "bff; hit; ttl=3; detail=l2"
ANN, BEN = 1, 2
FIRST, SECOND = 11, 12


def listed(user_id: int, active: int) -> dict[str, Any]:
    profiles = [
        {"Id": each, "IsDefaultProfile": each == active, "Canary": canary_of(user_id)}
        for each in (FIRST, SECOND)
    ]
    return {"User": {"Id": user_id, "FullName": f"User {user_id}"}, "Profiles": profiles}


def related(coworker: int) -> dict[str, Any]:
    return {"RelatedProfiles": [{"Id": coworker + 100}], "Threads": []}


def session(user_id: int = ANN) -> Session:
    profiles = {each: listed(user_id, each) for each in (FIRST, SECOND)}
    lists = {each: related(each) for each in (FIRST, SECOND)}
    return Session(Member(user_id, FIRST, profiles, lists), f"token-{user_id}", 0)


def told(user_id: int, active: int) -> dict[str, Any]:
    """A whole bootstrap."""
    own = listed(user_id, active)
    own["User"]["AccessToken"] = f"token-{user_id}"
    bootstrap = {"CoworkerId": active, "Complete": True, "Problems": []}
    return {**own, **related(active), "Bootstrap": bootstrap}


@dataclass(frozen=True)
class At:
    """When an answer was asked for and given."""

    began: float = 100.0
    ended: float = 100.1


def reply(status: int = 200, body: object = None, at: At = At(), **headers: str | int) -> Reply:
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    content = b"" if body is None else orjson.dumps(body)
    return Reply(status, {"etag": '"e"', **named}, content, at.began, at.ended, 0)


def wrongs(ask: Ask, answer: Reply, ground: Ground = WELL) -> list[Wrong]:
    return [fault.wrong for fault in check(ask, answer, ground)]


def bootstrap(own: Session | None = None, **more: Any) -> Ask:
    return Ask(own or session(), Kind.BOOTSTRAP, "/session/bootstrap", about=FIRST, **more)


def test_the_own_document_is_right_in_whole_and_in_shape() -> None:
    assert wrongs(bootstrap(), reply(body=told(ANN, FIRST))) == []
    mobile = shape_model.select(told(ANN, FIRST), MOBILE_SHAPE)
    assert wrongs(replace(bootstrap(), kind=Kind.MOBILE), reply(body=mobile)) == []
    assert wrongs(bootstrap(), reply(body=mobile)) == [Wrong.BODY]


def test_anything_of_somebody_else_is_wrong() -> None:
    assert wrongs(bootstrap(), reply(body=told(BEN, FIRST))) == [Wrong.BODY, Wrong.BODY]
    error = reply(409, {"Message": canary_of(BEN)})
    assert wrongs(bootstrap(), error, NEXUDUS_FAILS) == [Wrong.BODY]


@pytest.mark.parametrize("ground", [WELL, REDIS_FAILS, ENDS])
def test_an_error_while_nexudus_is_well_is_avoidable(ground: Ground) -> None:
    error = reply(503, retry_after=1)
    assert wrongs(bootstrap(), error, ground) == [Wrong.AVOIDABLE]
    garbage = Ask(session(), Kind.GARBAGE, "/session/bootstrap")
    assert wrongs(garbage, error, ground) == [Wrong.AVOIDABLE]


def test_what_passes_through_may_find_nothing_left_while_all_is_asked_anew() -> None:
    ask, error = Ask(session(), Kind.FORWARDED, "/api/public/x"), reply(503, retry_after=1)
    assert wrongs(ask, error) == [Wrong.AVOIDABLE]
    assert wrongs(ask, error, NEXUDUS_FAILS) == []
    assert wrongs(ask, error, replace(WELL, redis_calm_since=99.0)) == []
    assert wrongs(ask, reply(504), replace(WELL, redis_calm_since=99.0)) == [Wrong.AVOIDABLE]
    assert wrongs(ask, reply(409)) == []
    assert wrongs(ask, reply(CUT)) == [Wrong.LOST]


def test_an_error_is_avoidable_while_redis_holds_the_answer() -> None:
    ask, error = bootstrap(), reply(502)
    assert wrongs(ask, error, NEXUDUS_FAILS) == []
    assert wrongs(ask, reply(body=told(ANN, FIRST), cache_status=HIT)) == []
    assert wrongs(ask, error, NEXUDUS_FAILS) == [Wrong.AVOIDABLE]
    assert wrongs(ask, error, BOTH_FAIL) == []
    assert wrongs(replace(ask, about=SECOND), error, NEXUDUS_FAILS) == []
    lost = replace(NEXUDUS_FAILS, redis_calm_since=99.0)
    assert wrongs(ask, error, lost) == []
    much_later = At(100 + TERMS.while_failing_s, 100.1 + TERMS.while_failing_s)
    assert wrongs(ask, reply(502, at=much_later), NEXUDUS_FAILS) == []


def test_what_a_write_may_have_dropped_need_not_be_had_until_it_is_found_again() -> None:
    ask, error = bootstrap(), reply(502, at=At(101.0, 101.1))
    found = reply(body=told(ANN, FIRST), cache_status=HIT)
    assert wrongs(ask, found) == []
    written = Dropping(frozenset({related_of(SECOND)}))
    ask.session.member.droppings.append(written)
    assert wrongs(ask, error, NEXUDUS_FAILS) == [Wrong.AVOIDABLE]
    written = Dropping(frozenset({related_of(FIRST)}))
    ask.session.member.droppings.append(written)
    assert wrongs(ask, error, NEXUDUS_FAILS) == []
    assert wrongs(replace(ask, kind=Kind.PROFILES), error, NEXUDUS_FAILS) == [Wrong.AVOIDABLE]
    written.until = 100.05
    assert wrongs(ask, error, NEXUDUS_FAILS) == []
    assert wrongs(ask, found) == []
    assert wrongs(ask, error, NEXUDUS_FAILS) == [], "found while it may have been dropped"
    assert wrongs(ask, replace(found, began=100.05)) == []
    assert wrongs(ask, error, NEXUDUS_FAILS) == [Wrong.AVOIDABLE]


IDS = st.integers(1, 12)


@st.composite
def members(draw: st.DrawFn) -> Member:
    """Somebody with a profile or more, some of them published."""
    user_id = draw(IDS)
    mine = draw(st.lists(IDS, min_size=1, max_size=4, unique=True))
    document = {"User": {"Id": user_id}, "Profiles": [{"Id": each} for each in mine]}
    lists = {
        each: {"RelatedProfiles": [{"Id": other} for other in draw(st.lists(IDS, max_size=4))]}
        for each in mine[: draw(st.integers(0, len(mine)))]
    }
    return Member(user_id, mine[0], dict.fromkeys(mine, document), lists)


@given(member=members(), writer=members())
def test_a_write_drops_what_the_tags_of_the_gateway_say(member: Member, writer: Member) -> None:
    dropped = {tags.user(writer.user_id), *map(tags.coworker, writer.coworkers)}
    expected = {
        related_of(ident)
        for ident, document in member.related.items()
        if not dropped.isdisjoint(RELATED.tags_for(document, str(ident)))
    }
    assert member.dropped_with(writer) - {LISTED} == expected
    mine = member.profiles[member.active]
    if member.coworkers.isdisjoint(writer.coworkers) or member.user_id == writer.user_id:
        is_dropped = not dropped.isdisjoint(PROFILES.tags_for(mine, ""))
        assert (LISTED in member.dropped_with(writer)) == is_dropped


def test_part_of_an_answer_is_wrong_while_all_could_be_had() -> None:
    part = told(ANN, FIRST) | {"RelatedProfiles": []}
    answer = reply(body=part, bff_complete="false")
    assert wrongs(bootstrap(), answer, NEXUDUS_FAILS) == []
    assert wrongs(bootstrap(), answer) == [Wrong.PARTIAL]
    other = reply(body=told(ANN, SECOND) | {"RelatedProfiles": []}, bff_complete="false")
    assert wrongs(bootstrap(), other, NEXUDUS_FAILS) == [Wrong.BODY]


def test_a_status_must_mean_trouble_and_say_when_to_come_back() -> None:
    assert wrongs(bootstrap(), reply(401), NEXUDUS_FAILS) == [Wrong.STATUS]
    assert wrongs(bootstrap(), reply(503), NEXUDUS_FAILS) == [Wrong.STATUS]
    assert wrongs(bootstrap(), reply(503, retry_after=1), NEXUDUS_FAILS) == []


def test_an_answer_may_be_lost_with_a_process_only() -> None:
    assert wrongs(bootstrap(), reply(CUT)) == [Wrong.LOST]
    assert wrongs(bootstrap(), reply(CUT), NEXUDUS_FAILS) == [Wrong.LOST]
    assert wrongs(bootstrap(), reply(CUT), ENDS) == []


def test_an_answer_comes_in_time_and_is_not_too_old() -> None:
    whole = told(ANN, FIRST)
    assert wrongs(bootstrap(), reply(body=whole, at=At(100, 112))) == [Wrong.LATE]
    old = reply(body=whole, age=int(TERMS.fresh_or_stale_s) + 1)
    assert wrongs(bootstrap(), old) == [Wrong.AGE]
    assert wrongs(bootstrap(), old, NEXUDUS_FAILS) == []
    assert wrongs(bootstrap(), old, replace(WELL, redis_calm_since=99.0)) == []
    assert wrongs(bootstrap(), old, replace(WELL, redis_calm_since=50.0)) == [Wrong.AGE]
    ancient = reply(body=whole, age=int(TERMS.while_failing_s) + 1)
    assert wrongs(bootstrap(), ancient, NEXUDUS_FAILS) == [Wrong.AGE]


def test_what_is_not_modified_is_what_the_caller_has() -> None:
    ask = bootstrap(validator='"e"')
    assert wrongs(ask, reply(304)) == [Wrong.BODY]
    assert wrongs(ask, reply(body=told(ANN, FIRST))) == []
    assert wrongs(ask, reply(304)) == []
    assert wrongs(replace(ask, validator='"f"'), reply(304)) == [Wrong.BODY]


def test_after_a_switch_nobody_is_shown_the_one_before() -> None:
    own = session()
    own.member.history.append(Switching(SECOND, began=90.0, settled=95.0))
    assert wrongs(bootstrap(own), reply(body=told(ANN, SECOND))) == []
    assert wrongs(bootstrap(own), reply(body=told(ANN, FIRST))) == [Wrong.BODY]
    during = At(94.0, 96.0)
    assert wrongs(bootstrap(own), reply(body=told(ANN, FIRST), at=during)) == []
    own.etags.clear()
    before = At(80.0, 81.0)
    assert wrongs(bootstrap(own), reply(body=told(ANN, SECOND), at=before)) == [Wrong.BODY]


def test_a_revoked_token_is_shown_nothing_past_its_bound() -> None:
    own = session()
    own.revoked_at = 100.0 - TERMS.fresh_or_stale_s - 0.1
    ask = Ask(own, Kind.REVOKED, "/session/bootstrap")
    assert wrongs(ask, reply(body=told(ANN, FIRST))) == [Wrong.REVOKED]
    assert wrongs(ask, reply(body=told(ANN, FIRST)), NEXUDUS_FAILS) == []
    assert wrongs(ask, reply(401)) == []
    assert own.refused_at == 100.1
    own.revoked_at = 100.0
    assert wrongs(ask, reply(body=told(ANN, FIRST))) == []


def test_a_spell_of_trouble_is_remembered() -> None:
    weather = Weather()
    assert weather.calm_since(Trouble.REDIS, 5.0) == 0.0
    with weather.troubled(Trouble.REDIS) as spell:
        now = spell.since
        assert weather.during(now + 1, now + 2) == {Trouble.REDIS}
        assert weather.calm_since(Trouble.REDIS, now + 9) == now + 9
        spell.until = now + 3
    assert weather.during(now + 2, now + 4) == {Trouble.REDIS}
    assert weather.during(now + 3, now + 4) == frozenset()
    assert weather.during(now - 2, now - 1) == frozenset()
    assert weather.calm_since(Trouble.REDIS, now + 9) == now + 3
