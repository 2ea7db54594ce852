from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bff.sandbox.model import Behaviour
from tests.unit.sandbox.space import CARLOS, JANE, PUBLISHED, Space, fixture, is_empty

MakeSpace = Callable[..., Space]


def related(coworker_id: object) -> str:
    return f"{PUBLISHED}/{coworker_id}/related"


def cards(value: object) -> list[dict[str, Any]]:
    assert isinstance(value, list)
    return value


async def test_the_named_members_alone_are_the_documented_examples(space: Space) -> None:
    assert (await space.get(related(101))).json() == fixture("related.json")
    assert (await space.get(related(303))).json() == fixture("related_empty.json")
    assert (await space.get(f"{PUBLISHED}/101")).json() == fixture("published_one.json")
    meta = await space.get("/api/public/coworkers/directory/meta")
    assert meta.json() == fixture("directory_meta.json")
    listing, expected = (await space.get(PUBLISHED)).json(), fixture("published_list.json")
    listing["Records"].sort(key=lambda each: each["Id"])
    assert listing == expected


@pytest.mark.parametrize(
    "coworker_id", [145, 177, 113, 114, 999, "0", "-1", "x", "9" * 25, "1_0", "²"]
)
async def test_whoever_is_not_published_is_an_empty_404(space: Space, coworker_id: object) -> None:
    for path in (related(coworker_id), f"{PUBLISHED}/{coworker_id}"):
        answer = await space.get(path)
        assert answer.status_code == 404
        assert is_empty(answer)


async def test_pitfall_2_every_directory_route_wants_a_token(space: Space) -> None:
    for path in (related(101), PUBLISHED, f"{PUBLISHED}/101", related(999)):
        for token in (None, "garbage"):
            answer = await space.get(path, token)
            assert answer.status_code == 401
            assert is_empty(answer)


async def test_related_members_share_a_tag_and_are_few(make_space: MakeSpace) -> None:
    space = make_space(members=500)
    directory = space.sandbox.directory
    coworkers = {each.id: each for each in space.sandbox.world.coworkers() if each.published}
    sizes = set()
    for source in coworkers.values():
        related_to = cards(directory.related(source.id)["RelatedProfiles"])
        sizes.add(len(related_to))
        for card in related_to:
            assert card["Id"] != source.id
            assert set(card["ProfileTagsList"]) & set(source.tags)
            assert coworkers[card["Id"]].published
    assert max(sizes) == 12
    assert 0 in sizes


async def test_all_forms_of_a_related_list_agree(make_space: MakeSpace) -> None:
    space = make_space(members=50)
    for coworker in space.sandbox.world.coworkers():
        if coworker.published:
            ready = await space.get(related(coworker.id))
            built = await space.get(
                related(coworker.id), params={"_shape": "RelatedProfiles,Threads"}
            )
            assert ready.content == built.content


async def test_threads_carry_objects(make_space: MakeSpace) -> None:
    space = make_space(members=200)
    threads = []
    for coworker in space.sandbox.world.coworkers():
        if coworker.published:
            found = cards(space.sandbox.directory.related(coworker.id)["Threads"])
            assert len(found) <= 3
            assert all(each["Author"]["Id"] != coworker.id for each in found)
            threads += found
    assert threads
    assert threads[0].keys() >= {"Id", "Subject", "CreatedOn", "Author"}


async def test_threads_leave_with_their_author(make_space: MakeSpace) -> None:
    space = make_space(members=200)
    world, directory = space.sandbox.world, space.sandbox.directory
    thread = world.threads[0]
    reader = next(
        each
        for each in world.coworkers()
        if each.published
        and each.id != thread.author_id
        and [card["Id"] for card in cards(directory.related(each.id)["Threads"])] == [thread.id]
    )
    world.edit(thread.author_id, {"ProfileIsPublic": False})
    assert directory.related(reader.id)["Threads"] == []


async def test_pitfall_3_threads_may_be_made_to_name_the_viewer(space: Space) -> None:
    carlos = space.token(CARLOS)
    assert (await space.get(related(101))).content == (
        await space.get(related(101), carlos)
    ).content
    space.sandbox.world.behaviour = Behaviour(viewer_threads=True)
    seen = {
        user: (await space.get(related(101), space.token(user))).json() for user in (JANE, CARLOS)
    }
    assert seen[JANE]["RelatedProfiles"] == seen[CARLOS]["RelatedProfiles"]
    for user, document in seen.items():
        assert [each["Subject"] for each in document["Threads"]] == [f"Only for user {user}"]


async def test_pages_cover_the_directory_once(make_space: MakeSpace) -> None:
    space = make_space(members=300)
    names, page = [], 1
    while True:
        listing = (await space.get(PUBLISHED, params={"page": page, "size": 100})).json()
        names += [(each["FullName"], each["Id"]) for each in listing["Records"]]
        assert listing["FirstItem"] == len(names) - len(listing["Records"]) + 1
        assert listing["LastItem"] == len(names)
        assert listing["HasPreviousPage"] == (page > 1)
        if not listing["HasNextPage"]:
            break
        page += 1
    published = [each for each in space.sandbox.world.coworkers() if each.published]
    assert names == sorted((each.core["FullName"], each.id) for each in published)
    assert listing["TotalItems"] == len(names)
    assert listing["TotalPages"] == page
    beyond = (await space.get(PUBLISHED, params={"page": page + 1, "size": 100})).json()
    assert (beyond["Records"], beyond["FirstItem"], beyond["HasNextPage"]) == ([], 0, False)


async def test_pages_are_of_twenty_five_and_at_most_a_hundred(make_space: MakeSpace) -> None:
    space = make_space(members=300)
    assert len((await space.get(PUBLISHED)).json()["Records"]) == 25
    large = (await space.get(PUBLISHED, params={"size": 1000})).json()
    assert (len(large["Records"]), large["PageSize"]) == (100, 100)
    for params in ({"page": "0"}, {"size": "0"}, {"page": "x"}):
        assert (await space.get(PUBLISHED, params=params)).status_code == 400


@pytest.mark.parametrize(
    ("params", "ids"),
    [
        ({"query": "carlos"}, [202]),
        ({"query": "DOE DESIGN"}, [101]),
        ({"query": "ZOË"}, [303]),
        ({"tag": "ux"}, [202, 101]),
        ({"tag": "U"}, []),
        ({"tag": "UX", "query": "jane"}, [101]),
        ({"query": "ltd"}, []),
    ],
)
async def test_query_and_tag_narrow_the_list(
    space: Space, params: dict[str, str], ids: list[int]
) -> None:
    listing = (await space.get(PUBLISHED, params=params)).json()
    assert [each["Id"] for each in listing["Records"]] == ids


async def test_directory_answers_are_shaped(space: Space) -> None:
    shape = "Records.FullName,Records.CompanyName,Records.AvatarUrl,TotalItems"
    listing = (await space.get(PUBLISHED, params={"_shape": shape})).json()
    assert listing.keys() == {"Records", "TotalItems"}
    assert listing["Records"][0].keys() == {"FullName", "CompanyName", "AvatarUrl"}
    answer = await space.get(related(101), params={"_shape": "RelatedProfiles.Id"})
    assert answer.json() == {"RelatedProfiles": [{"Id": 202}]}
