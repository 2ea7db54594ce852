from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from bff.sandbox.model import Behaviour
from tests.unit.sandbox.space import (
    CURRENT,
    JANE,
    NO_PROFILE,
    OTHER_PLACE,
    PROFILES,
    SUSPENDED,
    Space,
    fixture,
    is_empty,
)

MakeSpace = Callable[..., Space]
DOCUMENTED = (
    "User,DefaultBusiness,Profiles.Id,Profiles.FullName,Profiles.CompanyName,Profiles.Active,"
    "Profiles.IsDefaultProfile,Profiles.CoworkerType,Profiles.HasVirtualOffice,"
    "Profiles.VirtualOfficePaused,Profiles.VirtualOfficeContractId"
)


async def test_the_documented_fields_are_those_of_the_example(space: Space) -> None:
    expected = fixture("profiles.json")
    token = space.sandbox.tokens.mint(JANE, text=expected["User"]["AccessToken"])
    answer = await space.get(PROFILES, token, params={"_shape": DOCUMENTED})
    assert answer.json() == expected
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


async def test_profiles_carry_sixty_to_a_hundred_and_eighty_further_fields(
    make_space: MakeSpace,
) -> None:
    space = make_space(members=60)
    documented = set(fixture("profiles.json")["Profiles"][0])
    counts = set()
    for member in space.sandbox.world.members():
        if not member.customer:
            continue
        answer = await space.get(PROFILES, space.token(member.user_id))
        for profile in answer.json()["Profiles"]:
            assert documented <= set(profile)
            counts.add(len(profile) - len(documented))
    assert min(counts) >= 60
    assert max(counts) <= 180
    assert len(counts) > 20


async def test_ids_wider_than_a_double_arrive_digit_for_digit(space: Space) -> None:
    answer = await space.get(PROFILES)
    record = space.sandbox.world.record(101)["ExternalSystemId"]
    assert isinstance(record, int)
    assert record > 2**53
    assert f'"ExternalSystemId":{record}'.encode() in answer.content


async def test_the_access_token_mirrors_the_bearer(space: Space) -> None:
    other = space.sandbox.tokens.mint(JANE, text='odd"\\token')
    mine, theirs = await space.get(PROFILES), await space.get(PROFILES, other)
    assert mine.json()["User"]["AccessToken"] == space.demo
    assert theirs.json()["User"]["AccessToken"] == other
    assert mine.json()["Profiles"] == theirs.json()["Profiles"]


async def test_ready_bytes_and_projected_document_agree(make_space: MakeSpace) -> None:
    space = make_space(members=20)
    for member in space.sandbox.world.members():
        token = space.token(member.user_id)
        if member.customer:
            whole = await space.get(PROFILES, token)
            shaped = await space.get(
                PROFILES, token, params={"_shape": "User,DefaultBusiness,Profiles"}
            )
            assert whole.content == shaped.content


@pytest.mark.parametrize("token", [None, "garbage", ""])
async def test_no_or_unknown_token_is_an_empty_401(space: Space, token: str | None) -> None:
    answer = await space.get(PROFILES, token)
    assert answer.status_code == 401
    assert is_empty(answer)
    assert "content-type" not in answer.headers


async def test_other_schemes_are_no_token(space: Space) -> None:
    for value in (f"Basic {space.demo}", space.demo, f"bearer{space.demo}"):
        answer = await space.client.get(PROFILES, headers={"Authorization": value})
        assert answer.status_code == 401
    answer = await space.client.get(PROFILES, headers={"Authorization": f"bearer {space.demo}"})
    assert answer.status_code == 200


async def test_a_token_ends_when_it_expires_or_is_revoked(space: Space) -> None:
    short = space.sandbox.tokens.mint(JANE, ttl_s=60)
    space.clock.now += 59
    assert (await space.get(PROFILES, short)).status_code == 200
    space.clock.now += 1
    assert is_empty(await space.get(PROFILES, short))
    assert (await space.get(PROFILES)).status_code == 200
    assert space.sandbox.tokens.revoke(space.demo) == 1
    assert (await space.get(PROFILES)).status_code == 401
    assert space.sandbox.tokens.revoke(space.demo) == 0


async def test_members_without_profile_and_members_of_another_place(space: Space) -> None:
    nobody = await space.get(PROFILES, space.token(NO_PROFILE))
    assert nobody.status_code == 200
    assert nobody.json()["Profiles"] == []
    elsewhere = await space.get(PROFILES, space.token(OTHER_PLACE))
    assert elsewhere.status_code == 401
    assert is_empty(elsewhere)


async def test_a_suspended_member_has_no_active_profile(space: Space) -> None:
    document = (await space.get(PROFILES, space.token(SUSPENDED))).json()
    assert document["User"]["Active"] is False
    assert [each["Active"] for each in document["Profiles"]] == [False]
    assert [each["IsDefaultProfile"] for each in document["Profiles"]] == [False]


async def test_at_most_one_profile_is_the_active_one(make_space: MakeSpace) -> None:
    space = make_space(members=100)
    for member in space.sandbox.world.members():
        if member.customer:
            document = (await space.get(PROFILES, space.token(member.user_id))).json()
            chosen = [each["Id"] for each in document["Profiles"] if each["IsDefaultProfile"]]
            assert chosen == ([] if member.current_id is None else [member.current_id])


async def test_benefits_are_those_of_the_active_profile(space: Space) -> None:
    assert (await space.get(f"{CURRENT}/benefits")).json() == fixture("benefits.json")
    await space.call("PUT", CURRENT, params={"coworkerId": 145})
    switched = (await space.get(f"{CURRENT}/benefits")).json()
    assert switched["Personal"].keys() == fixture("benefits.json")["Personal"].keys()
    assert switched != fixture("benefits.json")
    nothing = (await space.get(f"{CURRENT}/benefits", space.token(NO_PROFILE))).json()
    assert nothing["Personal"] == nothing["Team"] == fixture("benefits.json")["Team"]


async def test_variants_show_only_when_they_are_turned_on(space: Space) -> None:
    headers = {"Accept-Language": "es", "X-Use-Timezone": "true"}
    plain = await space.get(PROFILES, headers=headers)
    assert plain.json().keys() == fixture("profiles.json").keys()
    space.sandbox.world.behaviour = Behaviour(variants=True)
    varied = (await space.get(PROFILES, headers=headers)).json()
    assert (varied["Culture"], varied["UseTimezone"]) == ("es", "true")


@pytest.mark.parametrize("suffix", ["/x.css", ";x.js", "/", "%00", ".json"])
async def test_pitfall_9_lenient_paths_answer_what_they_should_not(
    space: Space, suffix: str
) -> None:
    assert (await space.get(PROFILES + suffix)).status_code == 404
    space.sandbox.world.behaviour = Behaviour(lenient_paths=True)
    answer = await space.get(PROFILES + suffix)
    assert answer.status_code == 200
    assert orjson.loads(answer.content)["User"]["Id"] == JANE
    assert (await space.get(f"{CURRENT}/benefits")).json().keys() == {"Personal", "Team"}


async def test_two_spaces_share_ids_but_not_data(make_space: MakeSpace) -> None:
    here, there = make_space(), make_space(space="other-place")
    assert (await there.get(PROFILES)).json()["DefaultBusiness"]["Name"] == "Other Place"
    assert here.sandbox.world.profile(101)["Id"] == there.sandbox.world.profile(101)["Id"]
