"""The upstream's own reading of `_shape` (FACTS 6): a field filter over JSON values.

Written apart from the gateway's, so that comparing the two answers says something. Only what the
documents show is certain: dotted paths, lists mapped through by name, a bare name keeps all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast


@dataclass(frozen=True, slots=True)
class Selection:
    """The fields to keep of an object, by name; a field without a selection is kept whole."""

    fields: dict[str, Selection | None] = field(default_factory=dict)


@lru_cache(maxsize=1024)
def selection_of(text: str) -> Selection | None:
    """Reads `A.B,A.C,D`. Blanks and empty items are ignored; None when nothing is left to read."""
    paths = [names for item in text.split(",") if (names := _names(item))]
    if not paths:
        return None
    root = Selection()
    for path in paths:
        _add(root, path)
    return root


def _names(item: str) -> list[str]:
    names = [name.strip().removesuffix("[]") for name in item.split(".")]
    return names[1:] if names[0] == "" else names


def _add(selection: Selection, path: list[str]) -> None:
    for name in path[:-1]:
        below = selection.fields.setdefault(name, Selection())
        if below is None:
            return
        selection = below
    selection.fields[path[-1]] = None


_NOTHING = object()  # told apart from None, which is a JSON value


def project(selection: Selection | None, document: object) -> object:
    """A copy of `document` with the selected fields only, in the document's own order.

    Unknown names select nothing, null stays null, containers on a path stay even when empty, and
    a path that goes on below a scalar selects nothing. A document that is a scalar is kept, and
    without a selection everything is.
    """
    kept = _project(selection, document)
    return document if kept is _NOTHING else kept


def _project(selection: Selection | None, value: object) -> object:
    if selection is None or value is None:
        return value
    if isinstance(value, list):
        items = (_project(selection, item) for item in cast(list[object], value))
        return [item for item in items if item is not _NOTHING]
    if not isinstance(value, dict):
        return _NOTHING
    return {
        name: kept
        for name, item in cast(dict[str, object], value).items()
        if name in selection.fields
        and (kept := _project(selection.fields[name], item)) is not _NOTHING
    }
