"""A document that is asked for in many shapes: a member is written once, when it is first selected.

Most of a document are lists of objects of one form. A shape of such a list is a choice of its
columns, and its text a join of what stands written in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import orjson

from bff.shape.grammar import Shape, Tree
from bff.shape.project import selected

MOST_COLUMNS: Final = 32
"""Of one list or object, that stay written: shapes are callers' to choose."""
_TABLE_BYTES: Final = 600
_COLUMN_BYTES: Final = 130
_CELL_BYTES: Final = 50
"""What each takes, texts aside; the tests measure it."""

_Object: TypeAlias = Mapping[str, object]
_Column: TypeAlias = tuple[int, Sequence[bytes]]
"""The place of a member among others, and its text, with its name, in each of the objects."""


class Columns:
    """The JSON of whatever shapes select of one object: that of `project`, to the byte.

    The object is never changed. For any thread: what two write at once is the same.
    """

    __slots__ = ("_members", "_tables")

    def __init__(self, members: _Object) -> None:
        self._members = members
        found = [(name, _table(name, value)) for name, value in members.items()]
        self._tables = {name: table for name, table in found if table is not None}

    def weight(self, size: int) -> int:
        """Bytes that it takes at most beside the object, whose text has `size` of them."""
        return size + sum(table.weight for table in self._tables.values())

    def text(self, shape: Shape) -> bytes:
        """What `shape` selects."""
        if shape.is_everything:
            return orjson.dumps(self._members)
        tree = shape.tree
        members = [self._member(name, tree[name]) for name in self._members if name in tree]
        return b"{%b}" % b",".join(filter(None, members))

    def _member(self, name: str, below: Tree | None) -> bytes:
        """With its name; empty where nothing is selected."""
        table = self._tables.get(name)
        if table is None or below is None or any(below.values()):
            return orjson.dumps(selected({name: self._members[name]}, {name: below}))[1:-1]
        return table.text(below)


class _Table:
    """Objects whose members stand in the order of `form`, which has all that any of them has.

    `begin`, `end`: what stands before the first of them and after the last.
    """

    __slots__ = ("_begin", "_columns", "_end", "_form", "_rows", "_sparse")

    def __init__(self, rows: Sequence[_Object], form: _Object, begin: bytes, end: bytes) -> None:
        self._rows = rows
        self._form = form
        self._begin, self._end = begin, end
        self._sparse = frozenset(form).difference(frozenset(form).intersection(*rows))
        self._columns: dict[str, _Column] = {}

    @property
    def weight(self) -> int:
        """Bytes that its columns take at most, the texts in them aside."""
        columns = min(len(self._form), MOST_COLUMNS)
        return _TABLE_BYTES + columns * (_COLUMN_BYTES + _CELL_BYTES * len(self._rows))

    def text(self, names: Iterable[str]) -> bytes:
        """Of each object those members of `names` that it has, whole."""
        known = self._columns
        try:
            columns = [known[name] for name in names]
        except KeyError:
            columns = [self._column(name) for name in names if name in self._form]
        columns.sort()
        cells = [texts for _, texts in columns] or [[b""] * len(self._rows)]
        rows: Iterable[Iterable[bytes]] = zip(*cells, strict=True)
        if not self._sparse.isdisjoint(names):
            rows = [filter(None, row) for row in rows]
        return self._begin + b"},{".join(map(b",".join, rows)) + self._end

    def _column(self, name: str) -> _Column:
        known = self._columns.get(name)
        if known is not None:
            return known
        begin = orjson.dumps(name) + b":"
        texts = [begin + orjson.dumps(row[name]) if name in row else b"" for row in self._rows]
        column = list(self._form).index(name), tuple(texts)
        if len(self._columns) < MOST_COLUMNS:
            self._columns[name] = column
        return column


def _table(name: str, value: object) -> _Table | None:
    """None for what is not made of objects of one form."""
    begin = orjson.dumps(name)
    if isinstance(value, dict):
        return _Table((value,), value, begin + b":{", b"}")
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        return None
    form = max(value, key=len)
    if any([each for each in form if each in row] != list(row) for row in value):
        return None
    return _Table(value, form, begin + b":[{", b"}]")
