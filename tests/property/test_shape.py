"""`_shape` over random documents and shapes, against the plain model in `tests/reference`."""

from __future__ import annotations

import json
from collections.abc import Iterator

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import ShapeError
from bff.shape import Columns, Limits, Tree, parse, project
from tests.reference import shape_model
from tests.reference.shape_model import Path

FEW_NAMES = st.sampled_from(["a", "b", "c", "Id", "Full Name", "é"])
ODD_NAMES = (
    st.text(
        st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=",.[]{}"),
        min_size=1,
        max_size=6,
    )
    .map(lambda text: text.strip(" "))
    .filter(lambda text: text and not text.startswith("@"))
)
NAMES = st.one_of(FEW_NAMES, FEW_NAMES, ODD_NAMES)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.just(0.5), st.text("xy", max_size=2)
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda below: st.one_of(
        st.dictionaries(NAMES, below, max_size=4),
        st.dictionaries(NAMES, below, max_size=4),
        st.lists(below, max_size=3),
    ),
    max_leaves=25,
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(tuple)
ANY_PATHS = st.lists(PATHS, min_size=1, max_size=6)
NEARLY_SHAPES = st.lists(
    st.sampled_from(
        ["a", "b", "ab", ".", ",", "[]", "[", "]", "{", " ", "@", "\x00", "\x85", "\ud800", "é"]
    ),
    max_size=8,
).map("".join)
# Documents are deeper and names longer than any real shape: the limits have tests of their own.
ROOMY = Limits(max_bytes=100_000, max_paths=1000, max_depth=200)


def paths_in(document: object) -> Iterator[Path]:
    if isinstance(document, dict):
        for name, value in document.items():
            yield (name,)
            yield from ((name, *path) for path in paths_in(value))
    elif isinstance(document, list):
        for item in document:
            yield from paths_in(item)


def text_of(paths: list[Path]) -> str:
    return ",".join(".".join(path) for path in paths)


@st.composite
def cases(draw: st.DrawFn) -> tuple[object, list[Path]]:
    """A document, and paths of which most lead somewhere in it and some one name too far."""
    document = draw(DOCUMENTS)
    known = sorted(set(paths_in(document)))
    if not known:
        return document, draw(ANY_PATHS)
    hits = st.sampled_from(known)
    beyond = st.tuples(hits, NAMES).map(lambda pair: (*pair[0], pair[1]))
    unknown = st.lists(NAMES, min_size=1, max_size=3).map(tuple)
    return document, draw(
        st.lists(st.one_of(hits, hits, hits, beyond, unknown), min_size=1, max_size=8)
    )


@st.composite
def tables(draw: st.DrawFn) -> dict[str, object]:
    """Members of which most are lists of objects of one form, in some of which some are missing."""
    members = draw(st.dictionaries(NAMES, DOCUMENTS, max_size=2))
    for name in draw(st.lists(FEW_NAMES, max_size=3)):
        form = draw(st.lists(NAMES, max_size=5, unique=True))
        rows = draw(st.lists(st.lists(DOCUMENTS, min_size=5, max_size=5), max_size=3))
        gaps = draw(st.sets(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=3))
        members[name] = [
            {each: row[at] for at, each in enumerate(form) if (number, at) not in gaps}
            for number, row in enumerate(rows)
        ]
    return members


@st.composite
def respelled(draw: st.DrawFn) -> tuple[object, list[Path], str]:
    """A case and another spelling of its paths: order, repeats, descendants, brackets, spaces."""
    document, paths = draw(cases())
    repeats = draw(st.lists(st.sampled_from(paths), max_size=3))
    redundant = draw(
        st.lists(st.tuples(st.sampled_from(paths), NAMES).map(lambda pair: (*pair[0], pair[1])))
    )
    spaces = st.sampled_from(["", "", " ", "  "])
    brackets = st.sampled_from(["", "[]", " []"])
    items = []
    for path in draw(st.permutations([*paths, *repeats, *redundant])):
        segments = [f"{draw(spaces)}{name}{draw(brackets)}{draw(spaces)}" for name in path]
        items.append(".".join(segments))
        items.extend(draw(st.lists(spaces, max_size=1)))
    return document, paths, ",".join(items)


@given(cases())
def test_projection_agrees_with_the_model(case: tuple[object, list[Path]]) -> None:
    document, paths = case
    text = text_of(paths)
    result = project(document, parse(text, ROOMY))
    assert json.dumps(result) == json.dumps(shape_model.select(document, text))


@given(tables(), st.data())
def test_columns_are_written_as_the_model_says_whatever_was_asked_before(
    members: dict[str, object], data: st.DataObject
) -> None:
    columns, known = Columns(members), sorted(set(paths_in(members)))
    before = json.dumps(members)
    some = st.lists(st.sampled_from(known) if known else PATHS, max_size=6)
    for paths in data.draw(st.lists(st.one_of(some, st.lists(PATHS, max_size=3)), max_size=6)):
        text = text_of(paths)
        expected = orjson.dumps(shape_model.select(members, text))
        shape = parse(text, ROOMY)
        selected = frozenset(shape.canonical.split(","))
        for _ in range(2):
            joined = columns.joined(selected)
            assert joined is None or joined[0] == expected
            assert columns.text(shape) == expected
    assert json.dumps(members) == before


@given(cases())
def test_projecting_twice_changes_nothing_more(case: tuple[object, list[Path]]) -> None:
    document, paths = case
    shape = parse(text_of(paths), ROOMY)
    once = project(document, shape)
    assert json.dumps(project(once, shape)) == json.dumps(once)


@given(cases())
def test_nothing_is_ever_added(case: tuple[object, list[Path]]) -> None:
    document, paths = case
    result = project(document, parse(text_of(paths), ROOMY))
    if isinstance(document, dict | list):
        assert shape_model.is_part(result, document)
    else:
        assert result is None


@given(cases())
def test_the_input_is_untouched_and_never_lent_where_it_was_filtered(
    case: tuple[object, list[Path]],
) -> None:
    document, paths = case
    before = json.dumps(document)
    shape = parse(text_of(paths), ROOMY)
    result = project(document, shape)
    assert json.dumps(document) == before
    lent = {id(container) for container in containers(document)}
    assert not lent & {id(container) for container in filtered(result, shape.tree)}


def containers(document: object) -> Iterator[object]:
    if isinstance(document, dict | list):
        yield document
        for item in document.values() if isinstance(document, dict) else document:
            yield from containers(item)


def filtered(result: object, tree: Tree | None) -> Iterator[object]:
    if isinstance(result, list) and tree is not None:
        yield result
        for item in result:
            yield from filtered(item, tree)
    elif isinstance(result, dict) and tree is not None:
        yield result
        for name, value in result.items():
            yield from filtered(value, tree[name])


@given(respelled())
def test_pitfall_11_all_spellings_are_one_representation(
    case: tuple[object, list[Path], str],
) -> None:
    document, paths, spelling = case
    plain, other = parse(text_of(paths), ROOMY), parse(spelling, ROOMY)
    assert other == plain
    assert other.canonical == shape_model.canonical(spelling)
    assert other.tree.keys() == {path[0] for path in paths}
    assert json.dumps(project(document, other)) == json.dumps(project(document, plain))


@given(ANY_PATHS)
def test_the_canonical_form_reads_back_as_itself(paths: list[Path]) -> None:
    shape = parse(text_of(paths), ROOMY)
    again = parse(shape.canonical, ROOMY)
    assert (again, again.tree) == (shape, shape.tree)
    shape.canonical.encode()


def witness(paths: list[Path]) -> dict[str, object]:
    """A document that answers any two shapes over `paths` differently: a mark at every level."""
    level: dict[str, object] = {"the mark": 1}
    for name in {path[0] for path in paths}:
        level[name] = witness([path[1:] for path in paths if path[0] == name and len(path) > 1])
    return level


@given(ANY_PATHS, ANY_PATHS)
def test_pitfall_05_equal_canonical_forms_mean_equal_selections(
    some: list[Path], others: list[Path]
) -> None:
    document = witness([*some, *others])
    one, two = parse(text_of(some), ROOMY), parse(text_of(others), ROOMY)
    assert (one.canonical == two.canonical) == (project(document, one) == project(document, two))


@given(st.one_of(NEARLY_SHAPES, st.text(max_size=12)))
def test_every_text_is_read_or_refused_as_the_grammar_says(text: str) -> None:
    if shape_model.accepts(text):
        assert parse(text, ROOMY).canonical == shape_model.canonical(text)
    else:
        with pytest.raises(ShapeError) as refused:
            parse(text, ROOMY)
        str(refused.value).encode()


@given(ANY_PATHS)
def test_a_limit_refuses_exactly_what_passes_it(paths: list[Path]) -> None:
    text = text_of(paths)
    size, count, depth = len(text.encode()), len(paths), max(len(path) for path in paths)
    assert parse(text, Limits(size, count, depth)).tree
    for beyond in (
        Limits(size - 1, count, depth),
        Limits(size, count - 1, depth),
        Limits(size, count, depth - 1),
    ):
        with pytest.raises(ShapeError):
            parse(text, beyond)
