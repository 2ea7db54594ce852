"""The `_shape` grammar: text in, an immutable compiled `Shape` out (FACTS section 6).

    shape   = [path] *( "," [path] )          no path at all selects everything
    path    = segment *( "." segment )
    segment = *SP name *SP ["[]"] *SP         spaces and the brackets are not part of the name
    name    = 1*char                          exact, case-sensitive, never normalised

A `char` is anything but `,` `.` `[` `]` `{` `}`, control characters and lone surrogates. The first
name of a path does not begin with `@`, which marks a named shape. A member whose name falls outside
of this is reached by keeping its parent. As no name can hold a separator, joining paths is
injective, and the canonical text is a safe cache key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from bff.errors import ShapeError

Tree: TypeAlias = "Mapping[str, Tree | None]"
"""Selected names of one level: `None` keeps the whole value, a tree goes on below it."""

_PLAIN_DEPTH: Final = 4
_PLAIN_PATH: Final = rf"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+){{0,{_PLAIN_DEPTH - 1}}}"
_PLAIN: Final = re.compile(f"{_PLAIN_PATH}(?:,{_PLAIN_PATH})*+")
"""What apps write: each path of it is in its canonical form as it stands."""
_BRACE: Final = re.compile(r"[{}]")
_NOT_TEXT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_QUOTED_CHARS: Final = 60


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest shape that is read: UTF-8 bytes after URL decoding, paths as written, names in
    one path. A shape exactly at a limit is accepted."""

    max_bytes: int = 4096
    max_paths: int = 256
    max_depth: int = 16


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Shape:
    """A compiled selection; equal and hashed by `canonical`. Made by `parse` only.

    `canonical` is trimmed, deduplicated, free of redundant descendants and sorted; "" keeps
    everything. `tree` is read, never changed.
    """

    canonical: str
    tree: Tree = field(compare=False, repr=False)

    @property
    def is_everything(self) -> bool:
        """True for the empty shape."""
        return not self.canonical

    def names(self, root: str) -> bool:
        """Whether the top-level member `root`, or some of it, is selected."""
        return not self.canonical or root in self.tree


def parse(text: str, limits: Limits = DEFAULT_LIMITS) -> Shape:
    """Compile `text`; the empty text, or only commas and spaces, keeps everything.

    Work and memory are linear in the text, and refused before any if it passes `max_bytes`.
    Raises ShapeError, with a sentence that says what to write instead.
    """
    if _is_plain(text, limits):
        return _compiled(text.split(","))
    _check_text(text, limits)
    return _compiled(_paths(text, limits))


def _is_plain(text: str, limits: Limits) -> bool:
    """Whether `text` is within the limits and splits into canonical paths."""
    return (
        len(text) <= limits.max_bytes
        and text.count(",") < limits.max_paths
        and limits.max_depth >= _PLAIN_DEPTH
        and _PLAIN.fullmatch(text) is not None
    )


def _check_text(text: str, limits: Limits) -> None:
    # A string never has more characters than bytes, so a huge one is refused without encoding it.
    if (
        len(text) > limits.max_bytes
        or len(text.encode("utf-8", "surrogatepass")) > limits.max_bytes
    ):
        raise ShapeError(
            f"_shape is longer than {limits.max_bytes} bytes: name a parent to keep all of it,"
            " or use a named shape (_shape=@name)."
        )
    if found := _NOT_TEXT.search(text):
        raise ShapeError(
            f"_shape contains {found[0]!r}: remove control characters and broken text encoding."
        )
    if _BRACE.search(text):
        raise ShapeError("_shape contains a brace: write A.B,A.C instead of A.{B,C}.")


def _paths(text: str, limits: Limits) -> list[str]:
    """The paths in their canonical form."""
    paths = []
    written = 0
    for item in text.split(","):
        path = item.strip(" ")
        if not path:
            continue
        written += 1
        if written > limits.max_paths:
            raise ShapeError(
                f"_shape has more than {limits.max_paths} paths: name a parent to keep all of it."
            )
        if path.count(".") >= limits.max_depth:
            raise ShapeError(
                f"_shape path {quoted(path)} is deeper than {limits.max_depth} names:"
                " end it earlier, a parent keeps all that is below it."
            )
        paths.append(_path(path))
    return paths


def _path(text: str) -> str:
    if text.startswith("@"):
        raise ShapeError(
            f"_shape path {quoted(text)} begins with @: a named shape stands alone, as in"
            " _shape=@name, and is not mixed with paths."
        )
    return ".".join([_name(segment, text) for segment in text.split(".")])


def _name(segment: str, path: str) -> str:
    name = segment.strip(" ").removesuffix("[]").rstrip(" ")
    if not name:
        raise ShapeError(
            f"_shape path {quoted(path)} has an empty name: put one name between dots, and name"
            " the fields of a root list directly."
        )
    if "[" in name or "]" in name:
        raise ShapeError(
            f"_shape path {quoted(path)} has a misplaced bracket: lists are mapped through by name,"
            " write A.B or A[].B."
        )
    return name


def _compiled(paths: Iterable[str]) -> Shape:
    tree: dict[str, Tree | None] = {}
    kept = []
    parent = ""
    level: dict[str, Tree | None] | None = tree
    # In this order an ancestor comes before its descendants, and most siblings side by side.
    for path in sorted(set(paths)):
        above, _, name = path.rpartition(".")
        if above != parent:
            parent, level = above, _level(tree, above)
        if level is not None:
            level[name] = None
            kept.append(path)
    return Shape(",".join(kept), tree)


def _level(tree: dict[str, Tree | None], path: str) -> dict[str, Tree | None] | None:
    """What is selected below `path`; None where all of it is."""
    level = tree
    for name in path.split(".") if path else ():
        below = level.setdefault(name, {})
        if not isinstance(below, dict):
            return None
        level = below
    return level


def quoted(text: str) -> str:
    """The text for an error message: short, printable, and safe to encode."""
    shown = text if len(text) <= _QUOTED_CHARS else text[:_QUOTED_CHARS] + "…"
    return repr(shown)
