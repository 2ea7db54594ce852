"""Columns: what is written once, and what is not made of columns."""

from __future__ import annotations

import gc
import tracemalloc

import orjson
import pytest

from bff.shape import Columns, parse, project
from bff.shape.columns import MOST_COLUMNS
from tests.support.calls import calls_of

MEMBERS: dict[str, object] = {
    "User": {"Id": 7, "Name": "Jane \u00e9", "Team": {"Name": "Ops", "Size": 3}},
    "Profiles": [{"Id": 1, "Name": "a", "Tags": [{"T": 1}]}, {"Id": 2, "Tags": []}, {}],
    "Shuffled": [{"Id": 1, "Name": "a"}, {"Name": "b", "Id": 2}],
    "Mixed": [{"Id": 1}, None, 5, [{"Id": 2}]],
    "Empty": [],
    "Nothing": None,
    "Total": 2,
}
SHAPES = (
    "User", "User.Id", "User.Name,User.Id", "User.Team.Size", "User.Unknown", "User.Id.Deeper",
    "Profiles", "Profiles.Id", "Profiles.Name,Profiles.Id", "Profiles.Unknown",
    "Profiles.Name,Profiles.Unknown", "Profiles.Tags.T", "Profiles.Tags", "Shuffled.Name", "Mixed",
    "Mixed.Id", "Shuffled.Name,Shuffled.Id", "Empty.Id", "Nothing.Id", "Nothing", "Total.Id",
    "Total", "Unknown", "Profiles.Name,User.Name,Profiles.Id,User.Id",
    "Total,Profiles.Id,User.Id,Unknown.Id,Mixed.Id", "",
)  # fmt: skip
JOINED = {
    "User.Id", "User.Name,User.Id", "Profiles.Id", "Profiles.Name,Profiles.Id", "Profiles.Tags",
    "Profiles.Name,User.Name,Profiles.Id,User.Id",
}  # fmt: skip


@pytest.mark.parametrize("text", SHAPES)
def test_the_text_is_that_of_the_projection_however_often_it_is_asked_for(text: str) -> None:
    columns, shape = Columns(MEMBERS), parse(text)
    for _ in range(2):
        assert columns.text(shape) == orjson.dumps(project(MEMBERS, shape))


def test_no_shape_changes_another() -> None:
    columns = Columns(MEMBERS)
    for text in (*SHAPES, *reversed(SHAPES)):
        assert columns.text(parse(text)) == orjson.dumps(project(MEMBERS, parse(text))), text


def test_what_is_written_is_joined_without_a_look_at_the_rest_of_the_objects() -> None:
    rows = [{f"Field{at}": at for at in range(MOST_COLUMNS)} for _ in range(50)]
    columns, shape = Columns({"Rows": rows}), parse("Rows.Field3,Rows.Field1")
    columns.text(shape)
    assert calls_of(lambda: columns.text(shape)) < 20


@pytest.mark.parametrize("text", SHAPES)
def test_paths_are_joined_once_each_of_them_is_written_as_a_column(text: str) -> None:
    columns, shape = Columns(MEMBERS), parse(text)
    paths = frozenset(text.split(","))
    assert columns.joined(paths) is None
    known, roots = columns.text(shape), {path.partition(".")[0] for path in paths}
    joined = columns.joined(paths)
    assert (joined is not None) is (text in JOINED)
    if joined is not None:
        assert joined[0] == known
        assert sorted(joined[1]) == sorted(roots)


def test_of_more_columns_than_are_kept_the_others_are_written_anew() -> None:
    document = {"Rows": [{f"Field{at}": at for at in range(MOST_COLUMNS + 1)}]}
    columns = Columns(document)
    for at in range(MOST_COLUMNS + 1):
        assert columns.text(parse(f"Rows.Field{at}")) == b'{"Rows":[{"Field%d":%d}]}' % (at, at)
    assert columns.joined({"Rows.Field0"}) == (b'{"Rows":[{"Field0":0}]}', ("Rows",))
    assert columns.joined({f"Rows.Field{MOST_COLUMNS}"}) is None


@pytest.mark.parametrize("rows", [1, 12])
@pytest.mark.parametrize("names", [5, 3 * MOST_COLUMNS])
def test_columns_take_what_is_counted_for_them_whatever_is_asked(rows: int, names: int) -> None:
    form = {f"Field{at}": f"text {at}" for at in range(names)}
    documents: list[dict[str, object]] = [
        {"User": dict(form), "Rows": [dict(form) for _ in range(rows)]} for _ in range(20)
    ]
    size = len(orjson.dumps(documents[0]))
    shapes = [parse(f"User.{name},Rows.{name}") for name in form]
    gc.collect()
    tracemalloc.start()
    try:
        kept = [Columns(document) for document in documents]
        for columns in kept:
            for shape in shapes:
                assert columns.text(shape)
        taken = tracemalloc.get_traced_memory()[0] / len(documents)
    finally:
        tracemalloc.stop()
    assert 0.3 < taken / kept[0].weight(size) < 1.05
