from __future__ import annotations

import pytest

from tests.unit.sandbox.space import CURRENT, JANE, NO_PROFILE, Space, fixture, is_empty


async def test_the_user_record_has_the_documented_fields(space: Space) -> None:
    answer = (await space.get("/en/user/me")).json()
    expected = fixture("user_me.json")
    assert answer.keys() == expected.keys()
    varying = {"AccessToken", "UniqueId"}
    assert {k: v for k, v in answer.items() if k not in varying} == {
        k: v for k, v in expected.items() if k not in varying
    }
    assert answer["AccessToken"] != space.demo


async def test_a_resource_is_one_part_of_the_page(space: Space) -> None:
    page = (await space.get("/en/profile")).json()
    assert page.keys() == {"Coworker", "User"}
    assert page["Coworker"]["Id"] == page["User"]["CoworkerId"] == 101
    assert len(page["Coworker"]) > 170
    whole = (await space.get("/en/profile", params={"_resource": "."})).json()
    assert whole.keys() == page.keys()
    coworker = await space.get("/en/profile", params={"_resource": "Coworker"})
    assert coworker.json() == page["Coworker"]
    user = await space.get("/en/profile", params={"_resource": "User", "_shape": "Id,CoworkerId"})
    assert user.json() == {"Id": JANE, "CoworkerId": 101}
    assert (await space.get("/en/profile", params={"_resource": "Nope"})).json() is None


async def test_the_legacy_page_follows_a_switch(space: Space) -> None:
    await space.call("PUT", CURRENT, params={"coworkerId": 145})
    assert (await space.get("/en/profile?_resource=Coworker")).json()["Id"] == 145
    nobody = (await space.get("/en/profile", space.token(NO_PROFILE))).json()
    assert nobody["Coworker"] is None


async def test_the_profile_list_has_an_older_route(space: Space) -> None:
    modern = (await space.get("/api/public/coworkers/profiles")).json()
    assert (await space.get("/en/coworker/profiles")).json() == {"Profiles": modern["Profiles"]}


async def test_a_post_that_only_reads(space: Space) -> None:
    answer = await space.call("POST", "/en/bookings/my?_depth=3", json={})
    assert answer.json()["MyBookings"][0]["CoworkerId"] == 101


@pytest.mark.parametrize("path", ["/en/user/me", "/en/profile", "/en/nothing/here", "/en", "/es/x"])
@pytest.mark.parametrize("accept", ["*/*", "text/html", ""])
async def test_pitfall_12_without_json_in_accept_the_answer_is_html_with_200(
    space: Space, path: str, accept: str
) -> None:
    expected = fixture("html_instead_of_json.json")
    for token in (space.demo, None, "garbage"):
        answer = await space.get(path, token, headers={"Accept": accept})
        assert (answer.status_code, answer.text) == (200, expected["body"])
        assert answer.headers["content-type"] == expected["headers"]["Content-Type"]


@pytest.mark.parametrize("path", ["/en/user/me", "/pt-BR/user/me", "/da/profile"])
async def test_every_culture_answers_json_when_asked_to(space: Space, path: str) -> None:
    headers = {"Accept": "text/html, application/json;q=0.9"}
    answer = await space.get(path, headers=headers)
    assert answer.headers["content-type"].startswith("application/json")
    unknown = await space.get(path, "garbage", headers=headers)
    assert unknown.status_code == 401
    assert is_empty(unknown)


@pytest.mark.parametrize(
    "path", ["/api/user/me", "/api/public/nope", "/api", "/english/user/me", "/", "/media/x"]
)
async def test_what_is_no_culture_is_an_empty_404(space: Space, path: str) -> None:
    answer = await space.get(path, headers={"Accept": "*/*"})
    assert answer.status_code == 404
    assert is_empty(answer)


async def test_unknown_legacy_routes_are_404_in_json(space: Space) -> None:
    assert (await space.get("/en/nothing/here")).status_code == 404
