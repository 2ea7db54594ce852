"""A webhook body yields the ids of those affected, and nothing else of what it holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

import orjson
import pytest

from bff.hooks.events import MAX_ITEMS, Affected, parse_events

FIXTURES: Final = Path(__file__).parents[2] / "fixtures" / "nexudus"
NOT_UNDERSTOOD: Final = Affected(understood=False)


def affected(*, users: tuple[int, ...] = (), coworkers: tuple[int, ...] = ()) -> Affected:
    return Affected(frozenset(users), frozenset(coworkers))


def parse(document: object) -> Affected:
    return parse_events(orjson.dumps(document))


def test_a_coworker_update_affects_the_coworker_and_the_user() -> None:
    raw = (FIXTURES / "webhook_coworker_update.json").read_bytes()
    assert parse_events(raw) == affected(users=(7001,), coworkers=(101,))


def test_nothing_but_ids_is_kept() -> None:
    raw = (FIXTURES / "webhook_coworker_update.json").read_bytes()
    assert repr(parse_events(raw)) == (
        "Affected(users=frozenset({7001}), coworkers=frozenset({101}), understood=True)"
    )
    assert [field.name for field in dataclasses.fields(Affected)] == [
        "users",
        "coworkers",
        "understood",
    ]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"Id": 1, "CoworkerType": 1, "UserId": 2}, affected(users=(2,), coworkers=(1,))),
        ({"Id": 1, "FullName": "Jane", "UserId": 2}, affected(users=(2,), coworkers=(1,))),
        ({"Id": "1", "CoworkerType": 1, "UserId": "2"}, affected(users=(2,), coworkers=(1,))),
        ({"Id": 1, "CoworkerType": 1, "UserId": None}, affected(coworkers=(1,))),
        ({"Id": 1, "CoworkerType": None}, affected(coworkers=(1,))),
        ({"Id": None, "FullName": "Jane", "UserId": 2}, affected(users=(2,))),
        ({"Id": 9, "CoworkerId": 1}, affected(coworkers=(1,))),
        ({"Id": 9, "CoworkerId": "1", "FullName": "A visitor"}, affected(coworkers=(1,))),
        ({"Id": 1, "CoworkerType": 1, "CoworkerId": 3}, affected(coworkers=(1, 3))),
    ],
    ids=[
        "typed",
        "named",
        "ids as strings",
        "contact without a user",
        "null type",
        "no id of its own",
        "booking",
        "visitor",
        "both",
    ],
)
def test_an_entity_names_whom_it_affects(item: object, expected: Affected) -> None:
    assert parse([item]) == expected
    assert parse(item) == expected


@pytest.mark.parametrize(
    "item",
    [
        {"Id": 1, "Name": "The team", "TeamMembers": [101]},
        {"Id": 1, "FullName": "A visitor"},
        {"Id": 1, "UserId": 2, "Title": "A post"},
        {"Id": 1, "Coworker": {"Id": 2, "CoworkerType": 1}},
        {"coworkerid": 1},
        {},
    ],
    ids=["team", "visitor", "blog post", "nested", "case", "empty"],
)
def test_what_names_nobody_affects_nobody(item: object) -> None:
    assert parse([item]) == affected()
    assert parse([item]).empty


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        2**63,
        2**64,
        1.0,
        "",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1_0",
        "1\n",
        "1e3",
        "１２",
        "٣",
        "9" * 19,
        "9" * 20,
        "0",
        [1],
        {"Id": 1},
    ],
)
def test_what_is_no_id_is_dropped(value: object) -> None:
    raw = orjson.dumps([{"CoworkerId": None}]).replace(b"null", _dump(value))
    assert parse_events(raw) == affected()


def _dump(value: object) -> bytes:
    # orjson writes 64 bits at most; a sender may write more.
    return str(value).encode() if type(value) is int else orjson.dumps(value)


def test_the_largest_id_is_read_exactly() -> None:
    assert parse({"CoworkerId": 2**63 - 1}) == affected(coworkers=(2**63 - 1,))
    assert parse({"CoworkerId": str(2**63 - 1)}) == affected(coworkers=(2**63 - 1,))


def test_every_entity_of_an_array_counts_once() -> None:
    items = [{"CoworkerId": 1}, {"CoworkerId": 2}, {"CoworkerId": 1}]
    assert parse(items) == affected(coworkers=(1, 2))


def test_an_empty_array_is_understood() -> None:
    assert parse([]) == affected()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"<!DOCTYPE html>",
        b'[{"CoworkerId":1}',
        b'[{"CoworkerId":1}]]',
        b'[{"CoworkerId":NaN}]',
        b'[{"CoworkerId":1,"FullName":"\xff"}]',
        b"\xef\xbb\xbf[]",
        b"null",
        b"1",
        b'"CoworkerId"',
        b"[1]",
        b"[[]]",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_what_is_not_of_the_documented_form_is_not_understood(raw: bytes) -> None:
    assert parse_events(raw) == NOT_UNDERSTOOD
    assert parse_events(raw).empty


def test_what_can_be_read_beside_it_is_read() -> None:
    assert parse([{"CoworkerId": 1}, "?"]) == Affected(frozenset(), frozenset({1}), False)


def test_a_body_of_too_many_entities_is_read_up_to_the_limit() -> None:
    items = [{"CoworkerId": number} for number in range(1, MAX_ITEMS + 2)]
    assert parse(items[:MAX_ITEMS]).understood
    over = parse(items)
    assert over.coworkers == frozenset(range(1, MAX_ITEMS + 1))
    assert not over.understood
