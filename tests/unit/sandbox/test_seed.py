from __future__ import annotations

from bff.sandbox.records import SHOWN_MAX, extras_of
from bff.sandbox.seed import seeded


def test_the_same_seed_gives_the_same_members() -> None:
    assert seeded(7, 200) == seeded(7, 200)
    assert seeded(7, 200) != seeded(8, 200)


def test_a_larger_space_holds_a_smaller_one() -> None:
    small, large = seeded(7, 50), seeded(7, 120)
    assert large.members[: len(small.members)] == small.members
    assert large.coworkers[: len(small.coworkers)] == small.coworkers


def test_ids_and_addresses_belong_to_one_member_each() -> None:
    space = seeded(7, 1_000)
    assert len({member.user_id for member in space.members}) == len(space.members) == 1_010
    assert len({member.email for member in space.members}) == len(space.members)
    assert all(member.email.isascii() for member in space.members)
    owned = [coworker_id for member in space.members for coworker_id in member.coworker_ids]
    assert sorted(owned) == sorted(coworker.id for coworker in space.coworkers)
    owners = {coworker.id: coworker.user_id for coworker in space.coworkers}
    assert all(
        owners[coworker_id] == member.user_id
        for member in space.members
        for coworker_id in member.coworker_ids
    )


def test_all_kinds_of_members_are_there() -> None:
    space = seeded(7, 500)
    coworkers = {coworker.id: coworker for coworker in space.coworkers}
    assert {len(member.coworker_ids) for member in space.members} == {0, 1, 2, 3, 4}
    assert {coworker.published for coworker in space.coworkers} == {True, False}
    assert {member.active for member in space.members} == {True, False}
    assert any(coworker.published and not coworker.tags for coworker in space.coworkers)
    assert space.threads
    assert not any(
        coworkers[coworker_id].active
        for member in space.members
        if not member.active
        for coworker_id in member.coworker_ids
    )


def test_the_active_profile_is_an_active_one_of_the_member() -> None:
    space = seeded(11, 500)
    active = {coworker.id for coworker in space.coworkers if coworker.active}
    for member in space.members:
        usable = [each for each in member.coworker_ids if each in active]
        assert member.current_id in usable if usable else member.current_id is None


def test_undocumented_fields_are_realistic() -> None:
    records = [extras_of(7, coworker_id) for coworker_id in range(200)]
    assert extras_of(7, 3) == records[3]
    assert all(60 <= each.shown <= SHOWN_MAX <= len(each.fields) for each in records)
    values = [value for each in records for value in each.fields.values()]
    assert {type(value) for value in values} == {bool, int, float, str, list, dict, type(None)}
    assert any(isinstance(value, int) and value > 2**53 for value in values)
    assert all(value < 2**63 for value in values if isinstance(value, int))
    assert any(isinstance(value, str) and not value.isascii() for value in values)
