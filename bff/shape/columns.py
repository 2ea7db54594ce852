"""A document that is asked for in many shapes: a member is written once, when it is first selected.

Most of a document are lists of objects of one form. A shape of such a list is a choice of its
columns, and its text a join of what stands written in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import compress, islice
from threading import Lock
from typing import Final, TypeAlias, cast

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
_Cells: TypeAlias = Sequence[bytes | None]
"""A member of all objects of a table, with its name; None in those that have it not."""
_WITH_COMMAS: Final = cast("Callable[[Sequence[bytes | None]], bytes]", b",".join)
"""Raises TypeError where there is a None."""
Joined: TypeAlias = tuple[bytes, tuple[str, ...]]
"""The JSON that paths select of an object, and the members of it that they begin with."""


class Columns:
    """The JSON of whatever shapes select of one object: that of `project`, to the byte.

    The object is never changed. For any thread.
    """

    __slots__ = ("_begun", "_members", "_tables", "_writing")

    def __init__(self, members: _Object) -> None:
        self._members = members
        self._writing = Lock()
        tables = ((name, _table(name, value)) for name, value in members.items())
        self._tables = {name: table for name, table in tables if table is not None}
        self._begun: tuple[_Table, ...] = ()

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

    def joined(self, paths: AbstractSet[str]) -> Joined | None:
        """What a shape of these paths selects; None unless each is written as a column."""
        names, texts, found = [], [], 0
        for table in self._begun:
            columns = table.among(paths)
            if columns:
                found += len(columns)
                texts.append(table.text(columns))
                names.append(table.name)
        if found < len(paths):
            return None
        return b"{" + b",".join(texts) + b"}", tuple(names)

    def _member(self, name: str, below: Tree | None) -> bytes:
        """With its name; empty where nothing is selected."""
        table = self._tables.get(name)
        if table is None or below is None or any(below.values()):
            return orjson.dumps(selected({name: self._members[name]}, {name: below}))[1:-1]
        paths = {f"{name}.{each}": each for each in below if each in table.form}
        columns = table.among(paths.keys())
        if len(columns) < len(paths):
            with self._writing:
                written = sum([len(each.written) for each in self._tables.values()])
                columns = table.add(paths, MOST_COLUMNS - written)
                self._begun = tuple([each for each in self._tables.values() if each.written])
        return table.text(columns)


class _Table:
    """Objects whose members stand in the order of `form`, which has all that any of them has.

    `written`: columns by path, in that order; never changed, but replaced. `begin`, `end`: what
    stands before the first object and after the last.
    """

    __slots__ = ("_begin", "_end", "form", "name", "rows", "written")

    def __init__(
        self, name: str, rows: Sequence[_Object], form: _Object, begin: bytes, end: bytes
    ) -> None:
        self.name: Final = name
        self.rows: Final = rows
        self.form: Final = form
        self.written: Mapping[str, _Cells] = {}
        self._begin = begin
        self._end = end

    def among(self, paths: AbstractSet[str]) -> list[_Cells]:
        """Of the columns under these paths those that are written, in order."""
        written = self.written
        return list(compress(written.values(), map(paths.__contains__, written)))

    def add(self, paths: Mapping[str, str], room: int) -> list[_Cells]:
        """The columns under these paths, of these names, in order; `room` more stay written.

        By one thread at a time.
        """
        known = self.written
        new = {path: self._cells(name) for path, name in paths.items() if path not in known}
        self.written = self._in_order({**known, **dict(islice(new.items(), room))})
        every = self._in_order({**known, **new})
        return [every[path] for path in every if path in paths]

    def text(self, columns: Sequence[_Cells]) -> bytes:
        """Of each object what it has of these columns, which are in order."""
        try:
            rows = b"},{".join(map(_WITH_COMMAS, zip(*columns, strict=False)))
        except TypeError:  # an object has not all of them
            own = [filter(None, row) for row in zip(*columns, strict=False)]
            rows = b"},{".join(map(b",".join, own))
        return self._begin + (rows or b"},{" * (len(self.rows) - 1)) + self._end

    def _in_order(self, columns: Mapping[str, _Cells]) -> dict[str, _Cells]:
        paths = [f"{self.name}.{name}" for name in self.form]
        return {path: columns[path] for path in paths if path in columns}

    def _cells(self, name: str) -> _Cells:
        begin = orjson.dumps(name) + b":"
        return tuple(
            [begin + orjson.dumps(row[name]) if name in row else None for row in self.rows]
        )


def _table(name: str, value: object) -> _Table | None:
    """None for what is not made of objects of one form."""
    begin = orjson.dumps(name)
    if isinstance(value, dict):
        return _Table(name, (value,), value, begin + b":{", b"}")
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        return None
    form = max(value, key=len)
    if any([each for each in form if each in row] != list(row) for row in value):
        return None
    return _Table(name, value, form, begin + b":[{", b"}]")
