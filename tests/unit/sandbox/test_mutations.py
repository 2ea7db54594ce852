from __future__ import annotations

from typing import Any

import pytest

from tests.unit.sandbox.space import (
    CURRENT,
    JANE,
    NO_PROFILE,
    PROFILES,
    PUBLISHED,
    Space,
    fixture,
    is_empty,
)

UPDATE = "/api/public/coworker/profile"
LEGACY_SWITCH = "/en/coworker/setCurrentProfile"


async def chosen(space: Space, token: str) -> list[int]:
    profiles = (await space.get(PROFILES, token)).json()["Profiles"]
    return [profile["Id"] for profile in profiles if profile["IsDefaultProfile"]]


@pytest.mark.parametrize(("method", "path"), [("PUT", CURRENT), ("GET", LEGACY_SWITCH)])
async def test_pitfall_22_a_switch_holds_for_every_token_of_the_user(
    space: Space, method: str, path: str
) -> None:
    phone = space.token(JANE)
    answer = await space.call(method, path, params={"coworkerId": 145})
    assert (answer.status_code, answer.json()) == (200, fixture("switch_ok.json"))
    assert await chosen(space, space.demo) == await chosen(space, phone) == [145]
    expected = fixture("profiles_after_switch_145.json")["Profiles"]
    shape = ",".join(f"Profiles.{name}" for name in expected[0])
    document = (await space.get(PROFILES, phone, params={"_shape": shape})).json()
    assert document["Profiles"] == expected


@pytest.mark.parametrize("coworker_id", ["999", "202", "9" * 30])
async def test_what_is_not_yours_cannot_be_switched_to(space: Space, coworker_id: str) -> None:
    answer = await space.call("PUT", CURRENT, params={"coworkerId": coworker_id})
    assert answer.status_code in (400, 404)
    assert await chosen(space, space.demo) == [101]


async def test_an_unknown_profile_is_an_empty_404(space: Space) -> None:
    answer = await space.call("PUT", CURRENT, params={"coworkerId": 999})
    assert answer.status_code == 404
    assert is_empty(answer)


async def test_an_inactive_profile_is_a_failure_inside_a_200(space: Space) -> None:
    answer = await space.call("PUT", CURRENT, params={"coworkerId": 177})
    assert answer.status_code == 200
    assert answer.json().keys() == fixture("switch_error.json").keys()
    assert answer.json()["WasSuccessful"] is False
    assert await chosen(space, space.demo) == [101]


@pytest.mark.parametrize("params", [{}, {"coworkerId": ""}, {"coworkerId": "abc"}])
async def test_a_switch_without_an_id_is_invalid(space: Space, params: dict[str, str]) -> None:
    answer = await space.call("PUT", CURRENT, params=params)
    assert answer.status_code == 400
    assert answer.json().keys() == fixture("error_400_validation.json").keys()


async def test_the_legacy_switch_happens_whatever_form_is_asked_for(space: Space) -> None:
    headers = {"Accept": "text/html"}
    answer = await space.get(LEGACY_SWITCH, params={"coworkerId": 145}, headers=headers)
    assert answer.status_code == 200
    assert answer.text.startswith("<!DOCTYPE html>")
    assert await chosen(space, space.demo) == [145]


async def test_writes_want_a_token(space: Space) -> None:
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", CURRENT, {"params": {"coworkerId": 145}}),
        ("GET", LEGACY_SWITCH, {"params": {"coworkerId": 145}}),
        ("PATCH", UPDATE, {"json": {"Position": "x"}}),
        ("POST", "/en/profile", {"json": {"Coworker": {}}}),
        ("POST", PROFILES, {"json": {}}),
    ]
    for method, path, body in calls:
        answer = await space.call(method, path, None, **body)
        assert answer.status_code == 401
        assert is_empty(answer)
    assert await chosen(space, space.demo) == [101]


async def test_an_edit_shows_in_profiles_directory_and_related(space: Space) -> None:
    request = {**fixture("update_profile_request.json"), "Active": False, "Id": 5, "IsAdmin": True}
    answer = await space.call("PATCH", UPDATE, json=request)
    assert answer.json() == fixture("update_profile_ok.json")
    profile = (await space.get(PROFILES)).json()["Profiles"][0]
    assert (profile["Id"], profile["Position"], profile["Active"]) == (101, "Lead Designer", True)
    one = (await space.get(f"{PUBLISHED}/101")).json()["Coworker"]
    assert (one["Position"], one["ProfileSummary"]) == ("Lead Designer", "Now leading.")
    related = (await space.get(f"{PUBLISHED}/202/related")).json()["RelatedProfiles"]
    assert [each["Position"] for each in related] == ["Lead Designer"]


async def test_an_edit_may_leave_the_directory_and_change_whom_one_is_related_to(
    space: Space,
) -> None:
    await space.get(f"{PUBLISHED}/101/related")
    await space.call("PATCH", UPDATE, json={"ProfileTags": "Law"})
    assert (await space.get(f"{PUBLISHED}/101/related")).json() == fixture("related_empty.json")
    await space.call("PATCH", UPDATE, json={"ProfileIsPublic": False})
    assert (await space.get(f"{PUBLISHED}/101/related")).status_code == 404


async def test_an_edit_is_of_the_active_profile(space: Space) -> None:
    await space.call("PUT", CURRENT, params={"coworkerId": 145})
    await space.call("PATCH", UPDATE, json={"NickName": "The Ltd"})
    names = [each.get("NickName") for each in (await space.get(PROFILES)).json()["Profiles"]]
    assert names[1] == "The Ltd"
    assert names[0] != "The Ltd"


async def test_unusable_edits_are_refused(space: Space) -> None:
    before = (await space.get(PROFILES)).content
    for body in (b"", b"[]", b"{", b'"x"'):
        answer = await space.call("PATCH", UPDATE, content=body)
        assert (answer.status_code, answer.json()) == (400, "not valid")
    for fields in ({"FullName": ""}, {"ProfileTags": ["UX"]}):
        answer = await space.call("PATCH", UPDATE, json=fields)
        assert answer.status_code == 400
        assert answer.json().keys() == fixture("error_400_validation.json").keys()
    assert (await space.get(PROFILES)).content == before
    nobody = await space.call("PATCH", UPDATE, space.token(NO_PROFILE), json={"Position": "x"})
    assert (nobody.status_code, nobody.json()["WasSuccessful"]) == (200, False)


async def test_the_legacy_form_edits_too(space: Space) -> None:
    answer = await space.call("POST", "/en/profile", json=fixture("legacy_profile_request.json"))
    assert answer.json()["WasSuccessful"] is True
    assert (await space.get(f"{PUBLISHED}/101")).json()["Coworker"]["Position"] == "Lead Designer"
    assert (await space.call("POST", "/en/profile", json={})).status_code == 400


async def test_a_new_profile_is_added_and_the_first_becomes_active(space: Space) -> None:
    token = space.token(NO_PROFILE)
    answer = await space.call("POST", PROFILES, token, json={"CompanyName": "One", "Active": False})
    created = answer.json()["Value"]["Id"]
    assert answer.json()["WasSuccessful"] is True
    profiles = (await space.get(PROFILES, token)).json()["Profiles"]
    assert [each["Id"] for each in profiles] == [created]
    assert (profiles[0]["CompanyName"], profiles[0]["Active"]) == ("One", True)
    assert await chosen(space, token) == [created]
    second = (await space.call("POST", PROFILES, token, json={})).json()["Value"]["Id"]
    assert second != created
    assert await chosen(space, token) == [created]


async def test_a_change_behind_the_apis_back_shows_at_once(space: Space) -> None:
    before = (await space.get(PROFILES)).json()["Profiles"][0]
    space.sandbox.world.edit(101, {"Canary": "c-1", "Id": 9})
    after = (await space.get(PROFILES)).json()["Profiles"][0]
    assert after == {**before, "Canary": "c-1"}
