"""A document that is asked for in many shapes: a member is written once, when it is first selected.

Most of a document are lists of objects of one form. A shape of such a list is a choice of its
columns, and its text a join of what stands written in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, groupby
from operator import attrgetter
from typing import Final, NamedTuple, TypeAlias, cast

import orjson

from bff.shape.grammar import Shape, Tree
from bff.shape.project import selected

MOST_COLUMNS: Final = 64
"""Of one document, that stay written: shapes are callers' to choose."""
_TABLE_BYTES: Final = 600
_COLUMN_BYTES: Final = 200
_CELL_BYTES: Final = 50
"""What each takes, texts aside; the tests measure it."""

_Object: TypeAlias = Mapping[str, object]


class _Column(NamedTuple):
    """A member of all objects of a table. `place`: among all members that are in tables; `texts`:
    of it, with its name, in each of the objects; None in those that have it not."""

    place: int
    table: _Table
    texts: Sequence[bytes | None]


_PLACE: Final = attrgetter("place")
_TABLE: Final = attrgetter("table")


class Columns:
    """The JSON of whatever shapes select of one object: that of `project`, to the byte.

    The object is never changed. For any thread: what two write at once is the same.
    """

    __slots__ = ("_members", "_tables", "_written")

    def __init__(self, members: _Object) -> None:
        self._members = members
        self._tables: dict[str, _Table] = {}
        self._written: dict[str, _Column] = {}
        place = 0
        for name, value in members.items():
            table = _table(name, value, place)
            if table is not None:
                self._tables[name] = table
                place += len(table.form)

    def weight(self, size: int) -> int:
        """Bytes that it takes at most beside the object, whose text has `size` of them."""
        tables = self._tables.values()
        heights = sorted((len(table.rows) for table in tables for _ in table.form), reverse=True)
        columns = [_COLUMN_BYTES + _CELL_BYTES * height for height in heights[:MOST_COLUMNS]]
        return size + _TABLE_BYTES * len(tables) + sum(columns)

    def text(self, shape: Shape) -> bytes:
        """What `shape` selects."""
        if shape.is_everything:
            return orjson.dumps(self._members)
        tree = shape.tree
        members = [self._member(name, tree[name]) for name in self._members if name in tree]
        return b"{%b}" % b",".join(filter(None, members))

    def joined(self, paths: Iterable[str]) -> bytes | None:
        """What a shape of these paths selects; None unless each of them is written as a column."""
        try:
            columns = sorted(map(self._written.__getitem__, paths), key=_PLACE)
        except KeyError:
            return None
        members = [table.text(list(own)) for table, own in groupby(columns, _TABLE)]
        return b"{%b}" % b",".join(members)

    def _member(self, name: str, below: Tree | None) -> bytes:
        """With its name; empty where nothing is selected."""
        table = self._tables.get(name)
        if table is None or below is None or any(below.values()):
            return orjson.dumps(selected({name: self._members[name]}, {name: below}))[1:-1]
        columns = [self._column(name, each) for each in below if each in table.form]
        return table.text(sorted(columns, key=_PLACE))

    def _column(self, member: str, name: str) -> _Column:
        path = f"{member}.{name}"
        known = self._written.get(path)
        if known is not None:
            return known
        column = self._tables[member].column(name)
        if len(self._written) < MOST_COLUMNS:
            self._written[path] = column
        return column


class _Table:
    """Objects whose members stand in the order of `form`, which has all that any of them has.

    `place`: of the first of these members; `begin`, `end`: what stands before the first object and
    after the last.
    """

    __slots__ = ("_end", "_leads", "_place", "form", "rows")

    def __init__(
        self, rows: Sequence[_Object], form: _Object, place: int, begin: bytes, end: bytes
    ) -> None:
        self.rows: Final = rows
        self.form: Final = form
        self._place = place
        self._leads = (begin, *[b"},{"] * (len(rows) - 1))
        self._end = end

    def column(self, name: str) -> _Column:
        """One of its form."""
        begin = orjson.dumps(name) + b":"
        texts = [begin + orjson.dumps(row[name]) if name in row else None for row in self.rows]
        return _Column(self._place + list(self.form).index(name), self, tuple(texts))

    def text(self, columns: Sequence[_Column]) -> bytes:
        """Of each object those of these members that it has, whole. In order of their places."""
        if not columns:
            return self._row_by_row(columns)
        # One piece after another: what stands before a row, and its cells with commas between.
        width = 2 * len(columns)
        pieces: list[bytes | None] = [b","] * (width * len(self.rows))
        pieces[::width] = self._leads
        for at, column in zip(range(1, width, 2), columns, strict=True):
            pieces[at::width] = column.texts
        pieces.append(self._end)
        try:
            return b"".join(cast("list[bytes]", pieces))
        except TypeError:  # an object has not all of them, and no commas there
            return self._row_by_row(columns)

    def _row_by_row(self, columns: Sequence[_Column]) -> bytes:
        cells = [
            [cell for cell in row if cell]
            for row in zip(*[each.texts for each in columns], strict=True)
        ]
        rows = map(b",".join, cells or [[]] * len(self.rows))
        return b"".join([*chain.from_iterable(zip(self._leads, rows, strict=True)), self._end])


def _table(name: str, value: object, place: int) -> _Table | None:
    """None for what is not made of objects of one form."""
    begin = orjson.dumps(name)
    if isinstance(value, dict):
        return _Table((value,), value, place, begin + b":{", b"}")
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        return None
    form = max(value, key=len)
    if any([each for each in form if each in row] != list(row) for row in value):
        return None
    return _Table(value, form, place, begin + b":[{", b"}]")
