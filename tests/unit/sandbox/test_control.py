from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bff.sandbox.auth import token_digest
from bff.sandbox.calls import UNMATCHED
from tests.unit.sandbox.space import CARLOS, JANE, PROFILES, PUBLISHED, Space

MakeSpace = Callable[..., Space]
C = "/_sandbox"
RELATED = "/api/public/coworkers/published/{coworker_id}/related"


async def test_health_names_the_space(space: Space) -> None:
    answer = await space.get(f"{C}/healthz", None)
    assert answer.json() == {"status": "ok", "space": "nexudushq"}


async def test_members_are_listed(make_space: MakeSpace) -> None:
    space = make_space(members=500)
    members = (await space.get(f"{C}/members", None)).json()
    assert len(members) == 510
    jane = next(each for each in members if each["user_id"] == JANE)
    assert jane["email"] == "jane.doe@example.com"
    assert (jane["coworker_ids"], jane["current_id"]) == ([101, 145, 177], 101)
    assert jane["published_ids"] == [101]
    assert {each["sign_in"] for each in members} == {"password", "two_factor", "must_reset"}


async def test_calls_are_counted_by_route_method_status_and_token(space: Space) -> None:
    carlos = space.token(CARLOS)
    await space.get(PROFILES)
    await space.get(PROFILES, carlos)
    await space.get(PROFILES, carlos)
    await space.get(f"{PUBLISHED}/101/related")
    await space.get(f"{PUBLISHED}/999/related")
    await space.get(PROFILES, None)
    await space.call("DELETE", PROFILES)
    await space.get("/api/public/nothing")
    calls = space.sandbox.calls
    assert calls.count(PROFILES, method="GET", status=200) == 3
    assert calls.count(PROFILES, token=carlos) == 2
    assert (calls.count(RELATED), calls.count(RELATED, status=404)) == (2, 1)
    assert calls.count(PROFILES, status=405) == 1
    assert calls.count(UNMATCHED) == 1
    report = (await space.get(f"{C}/calls", None)).json()
    assert (report["total"], report["in_flight"]) == (8, 0)
    expected = {
        "route": PROFILES,
        "method": "GET",
        "status": 200,
        "token": token_digest(carlos),
        "count": 2,
    }
    assert expected in report["calls"]
    assert (await space.call("DELETE", f"{C}/calls", None)).status_code == 204
    assert (await space.get(f"{C}/calls", None)).json()["total"] == 0


async def test_replaced_answers_are_counted_under_their_route(space: Space) -> None:
    rule = {"effect": {"kind": "status", "status": 503}}
    await space.call("PUT", f"{C}/faults", None, json=[rule])
    await space.get(f"{PUBLISHED}/101/related")
    assert space.sandbox.calls.count(RELATED, status=503) == 1


async def test_the_log_shows_what_arrived_but_no_token(space: Space) -> None:
    for number in range(3):
        headers = {"Accept-Language": "es", "X-Number": str(number)}
        await space.get(f"{PROFILES}?_shape=User.Id", headers=headers)
    answer = await space.get(f"{C}/log?last=2", None)
    latest = answer.json()
    assert [dict(each["headers"])["x-number"] for each in latest] == ["1", "2"]
    assert (latest[0]["method"], latest[0]["path"]) == ("GET", PROFILES)
    assert latest[0]["query"] == "_shape=User.Id"
    assert latest[0]["token"] == token_digest(space.demo)
    assert latest[0]["at"] == space.clock.now
    assert dict(latest[0]["headers"])["accept-language"] == "es"
    assert space.demo not in answer.text
    assert space.sandbox.calls.log()[0].header("Accept-Language") == "es"
    assert space.sandbox.calls.log()[0].header("X-None") == ""


async def test_rules_are_put_listed_and_deleted(space: Space) -> None:
    rules = [{"match": {"method": "GET", "path_prefix": "/api"}, "effect": {"kind": "html200"}}]
    put = await space.call("PUT", f"{C}/faults", None, json=rules)
    assert put.json() == {"rules": 1}
    assert (await space.get(PROFILES)).text.startswith("<!DOCTYPE")
    listed = (await space.get(f"{C}/faults", None)).json()
    assert (listed[0]["effect"], listed[0]["applied"]) == ({"kind": "html200"}, 1)
    await space.call("DELETE", f"{C}/faults", None)
    assert (await space.get(PROFILES)).status_code == 200
    assert (await space.get(f"{C}/faults", None)).json() == []


async def test_a_bad_rule_is_explained_and_changes_nothing(space: Space) -> None:
    await space.call("PUT", f"{C}/faults", None, json=[{"effect": {"kind": "html200"}}])
    answer = await space.call("PUT", f"{C}/faults", None, json=[{"effect": {"kind": "nope"}}])
    assert answer.status_code == 400
    assert "nope" in answer.json()["error"]
    assert len((await space.get(f"{C}/faults", None)).json()) == 1
    assert (await space.call("PUT", f"{C}/faults", None, content=b"{")).status_code == 400


async def test_held_requests_are_awaited_and_released(space: Space) -> None:
    rules = [{"effect": {"kind": "hang"}, "match": {"path_prefix": "/api"}}]
    await space.call("PUT", f"{C}/faults", None, json=rules)
    assert (await space.get(f"{C}/held", None)).json() == {"held": 0}
    none = await space.get(f"{C}/held?at_least=1&timeout_s=0.01", None)
    assert (none.status_code, none.json()) == (408, {"held": 0})
    calls = [asyncio.create_task(space.get(PROFILES)) for _ in range(3)]
    assert (await space.get(f"{C}/held?at_least=3", None)).json() == {"held": 3}
    assert (await space.get(f"{C}/calls", None)).json()["peak_in_flight"] == 3
    one = await space.call("POST", f"{C}/release", None, json={"count": 1})
    assert one.json() == {"released": 1}
    rest = await space.call("DELETE", f"{C}/faults", None)
    assert rest.json() == {"released": 2}
    assert [call.status_code for call in await asyncio.gather(*calls)] == [200] * 3


async def test_tokens_are_minted_for_one_some_or_all(space: Space) -> None:
    async def mint(**form: object) -> dict[str, object]:
        answer = await space.call("POST", f"{C}/tokens", None, json=form)
        assert answer.status_code == 200
        minted: dict[str, object] = answer.json()
        return minted

    fixed = await mint(user_id=JANE, text="my-token", ttl_s=60)
    assert (fixed["token"], fixed["user_id"]) == ("my-token", JANE)
    assert (await space.get(PROFILES, "my-token")).status_code == 200
    space.clock.now += 60
    assert (await space.get(PROFILES, "my-token")).status_code == 401
    assert str((await mint(user_id=JANE, jwt=True))["token"]).count(".") == 2
    expired = (await mint(user_id=JANE, ttl_s=-1))["token"]
    assert (await space.get(PROFILES, str(expired))).status_code == 401
    some = (await mint(user_ids=[JANE, CARLOS]))["tokens"]
    assert isinstance(some, list)
    assert [each["user_id"] for each in some] == [JANE, CARLOS]
    everyone = (await mint(everyone=True))["tokens"]
    assert isinstance(everyone, list)
    assert len({each["token"] for each in everyone}) == 10


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({}, 400),
        ({"user_id": 1}, 404),
        ({"user_ids": [JANE, CARLOS], "text": "x"}, 400),
        ({"user": JANE}, 400),
        ([], 400),
    ],
)
async def test_unusable_mint_orders(space: Space, form: object, status: int) -> None:
    answer = await space.call("POST", f"{C}/tokens", None, json=form)
    assert answer.status_code == status


async def test_tokens_are_revoked_one_by_one_or_by_user(space: Space) -> None:
    other = space.token(JANE)
    revoked = await space.call("DELETE", f"{C}/tokens", None, params={"token": other})
    assert revoked.json() == {"revoked": 1}
    assert (await space.get(PROFILES, other)).status_code == 401
    assert (await space.get(PROFILES)).status_code == 200
    space.token(JANE)
    rest = await space.call("DELETE", f"{C}/tokens", None, params={"user_id": JANE})
    assert rest.json() == {"revoked": 2}
    assert (await space.get(PROFILES)).status_code == 401
    assert (await space.call("DELETE", f"{C}/tokens", None)).status_code == 400


async def test_fields_are_edited_upstream(space: Space) -> None:
    form = {"coworker_id": 202, "fields": {"FullName": "Carla Ruiz", "Canary": [1]}}
    answer = await space.call("POST", f"{C}/edit", None, json=form)
    assert (answer.json()["FullName"], answer.json()["Canary"]) == ("Carla Ruiz", [1])
    related = (await space.get(f"{PUBLISHED}/101/related")).json()["RelatedProfiles"]
    assert related[0]["FullName"] == "Carla Ruiz"
    unknown = await space.call("POST", f"{C}/edit", None, json={"coworker_id": 1, "fields": {}})
    assert unknown.status_code == 404


async def test_profiles_are_switched_upstream(space: Space) -> None:
    async def switch(coworker_id: int) -> object:
        form = {"user_id": JANE, "coworker_id": coworker_id}
        return (await space.call("POST", f"{C}/switch", None, json=form)).json()["switched"]

    assert [await switch(each) for each in (145, 177, 202)] == ["done", "inactive", "not_yours"]
    assert space.sandbox.world.member(JANE).current_id == 145


async def test_behaviour_and_throttle_are_switched(space: Space) -> None:
    on = await space.call("PUT", f"{C}/behaviour", None, json={"viewer_threads": True})
    assert on.json() == {"viewer_threads": True, "variants": False, "lenient_paths": False}
    threads = (await space.get(f"{PUBLISHED}/101/related")).json()["Threads"]
    assert [each["Subject"] for each in threads] == [f"Only for user {JANE}"]
    await space.call("PUT", f"{C}/behaviour", None, json={})
    assert (await space.get(f"{PUBLISHED}/101/related")).json()["Threads"] == []
    await space.call("PUT", f"{C}/throttle", None, json={"enabled": True})
    assert [(await space.get(PROFILES)).status_code for _ in range(2)] == [200, 409]
    assert (await space.get(f"{C}/calls", None)).json()["throttled"] == 1
    await space.call("PUT", f"{C}/throttle", None, json={"enabled": False})
    assert [(await space.get(PROFILES)).status_code for _ in range(2)] == [200, 200]
    wrong = await space.call("PUT", f"{C}/behaviour", None, json={"nope": True})
    assert wrong.status_code == 400
