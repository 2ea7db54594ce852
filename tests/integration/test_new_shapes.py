"""A shape that was not asked for before, of documents that are parsed and merged in process."""

from __future__ import annotations

import orjson

from bff.shape import parse, project
from tests.support.gateway import BOOTSTRAP, PROFILES, SWITCH, Member, Stage, related

OF_ALICE = related(101)
SHAPES = (
    "User,Profiles",
    "User.AccessToken",
    "Profiles.Id,Profiles.FullName,Unknown",
    "RelatedProfiles.Id,User.FullName",
    "RelatedProfiles",
    "Bootstrap.CoworkerId,Threads.Id",
)


async def whole(stage: Stage, target: str, member: Member) -> object:
    document: object = (await stage.get(target, member)).json()
    return document


async def test_pitfall_11_a_new_shape_is_a_part_of_its_callers_own_document(solo: Stage) -> None:
    members = solo.alice, solo.bob, solo.tenant.another(solo.alice)
    targets = BOOTSTRAP, PROFILES, OF_ALICE
    wholes = {(t, m.token): await whole(solo, t, m) for t in targets for m in members}
    for text in SHAPES:
        for (target, token), document in wholes.items():
            member = next(each for each in members if each.token == token)
            answer = await solo.get(f"{target}?_shape={text}", member)
            assert answer.content == orjson.dumps(project(document, parse(text))), (target, text)
            for other in members:
                assert other is member or other.token not in answer.text


async def test_pitfall_22_a_switch_shows_in_shapes_that_nobody_asked_for_yet(pair: Stage) -> None:
    phone, portal = pair.alice, pair.tenant.another(pair.alice)
    for text in SHAPES:
        await pair.get(f"{BOOTSTRAP}?_shape={text}", portal, via=1)
    for number, active in enumerate((145, 101, 145)):
        await pair.send("PUT", f"{SWITCH}?coworkerId={active}", phone, via=0)
        for part in ("", ",RelatedProfiles"):
            shape = f"Bootstrap,Profiles.Id,Profiles.IsDefaultProfile,Profiles.New{number}{part}"
            seen = (await pair.get(f"{BOOTSTRAP}?_shape={shape}", portal, via=1)).json()
            assert seen["Bootstrap"]["CoworkerId"] == active
            assert [p["Id"] for p in seen["Profiles"] if p["IsDefaultProfile"]] == [active]
