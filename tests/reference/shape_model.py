"""What `_shape` means, said as plainly as possible: slow, recursive, without limits.

It follows the prose of the contract, shares nothing with `bff.shape`, and works on the list of
paths where the gateway compiles a tree. Both must agree on every text and every document.
"""

from __future__ import annotations

import copy
import re
from typing import Final

Path = tuple[str, ...]

_CHAR = r"[^,.\[\]{}\x00-\x1f\x7f-\x9f\ud800-\udfff]"
_SEGMENT = rf" *(?! |\[){_CHAR}+(\[\] *)?"
_PATH = re.compile(rf"(?! *@){_SEGMENT}(\.{_SEGMENT})*")


class _Nothing:
    """A value of which nothing is selected: its key or its place in a list is left out."""


_NOTHING: Final = _Nothing()


def accepts(text: str) -> bool:
    """Whether `text` is well-formed, limits aside."""
    return all(_PATH.fullmatch(item) or not item.strip(" ") for item in text.split(","))


def canonical(text: str) -> str:
    """The one spelling of everything that selects the same as the well-formed `text`."""
    return ",".join(sorted(".".join(path) for path in _paths(text)))


def select(document: object, text: str) -> object:
    """A deep copy of what the well-formed `text` selects of `document`."""
    paths = _paths(text)
    if not paths:
        return copy.deepcopy(document)
    selected = _select(document, paths)
    return None if isinstance(selected, _Nothing) else selected


def is_part(part: object, whole: object) -> bool:
    """Whether `part` can be had from `whole` by only leaving out members and list items."""
    if isinstance(part, dict) and isinstance(whole, dict):
        in_order = [name for name in whole if name in part] == list(part)
        return in_order and all(is_part(part[name], whole[name]) for name in part)
    if isinstance(part, list) and isinstance(whole, list):
        rest = iter(whole)
        return all(any(is_part(item, candidate) for candidate in rest) for item in part)
    return type(part) is type(whole) and part == whole


def _paths(text: str) -> list[Path]:
    written = [item for item in text.split(",") if item.strip(" ")]
    paths = {
        tuple(name.replace("[]", "").strip(" ") for name in item.split(".")) for item in written
    }
    return [
        path for path in paths if not any(path[:depth] in paths for depth in range(1, len(path)))
    ]


def _select(value: object, paths: list[Path]) -> object:
    if () in paths:
        return copy.deepcopy(value)
    if value is None:
        return None
    if isinstance(value, list):
        items = [_select(item, paths) for item in value]
        return [item for item in items if not isinstance(item, _Nothing)]
    if isinstance(value, dict):
        members = {}
        for name in value:
            below = [path[1:] for path in paths if path[0] == name]
            if below:
                members[name] = _select(value[name], below)
        return {name: item for name, item in members.items() if not isinstance(item, _Nothing)}
    return _NOTHING
