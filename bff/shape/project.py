"""Projection: the part of a JSON document that a `Shape` selects, as a copy (FACTS section 6)."""

from __future__ import annotations

from typing import TypeAlias

from bff.shape.grammar import Shape, Tree

# What is left to do: a container of the document, its still empty copy, and what to keep of it.
# The copy already stands in its place, so work may be done in any order and nothing recurses,
# however deep the document or the shape is.
_Objects: TypeAlias = list[tuple[dict[str, object], dict[str, object], Tree]]
_Lists: TypeAlias = list[tuple[list[object], list[object], Tree]]


def project(document: object, shape: Shape) -> object:
    """The selected part of `document` (decoded JSON), in the document's own order.

    Never changes `document`. Containers that had to be filtered are new; a value that is kept
    whole, which for the empty shape is the document, is shared: treat both as read-only.
    A bare scalar has no fields to select, and becomes `None`, as null stays.
    """
    return document if shape.is_everything else selected(document, shape.tree)


def selected(document: object, tree: Tree) -> object:
    """As `project`, by what is selected of each level."""
    kept: list[object] = []
    lists: _Lists = [([document], kept, tree)]
    objects: _Objects = []
    while lists or objects:
        _drain_lists(lists, objects)
        _drain_objects(objects, lists)
    return kept[0] if kept else None


def _drain_lists(lists: _Lists, objects: _Objects) -> None:
    while lists:
        source, target, tree = lists.pop()
        for value in source:
            if isinstance(value, dict):
                members: dict[str, object] = {}
                target.append(members)
                objects.append((value, members, tree))
            elif isinstance(value, list):
                items: list[object] = []
                target.append(items)
                lists.append((value, items, tree))
            elif value is None:
                target.append(None)


def _drain_objects(objects: _Objects, lists: _Lists) -> None:
    while objects:
        source, target, tree = objects.pop()
        # Documents have far more members than a shape has names, so the misses are skipped in C.
        for name in filter(tree.__contains__, source):
            value = source[name]
            below = tree[name]
            if below is None or value is None:
                target[name] = value
            elif isinstance(value, dict):
                members: dict[str, object] = {}
                target[name] = members
                objects.append((value, members, below))
            elif isinstance(value, list):
                items: list[object] = []
                target[name] = items
                lists.append((value, items, below))
