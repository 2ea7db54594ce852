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

_Path: TypeAlias = tuple[str, ...]

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
    everything. `roots` are the first names of all paths. `tree` is read, never changed.
    """

    canonical: str
    roots: frozenset[str] = field(compare=False, repr=False)
    tree: Tree = field(compare=False, repr=False)

    @property
    def is_everything(self) -> bool:
        """True for the empty shape."""
        return not self.canonical

    def names(self, root: str) -> bool:
        """Whether the top-level member `root`, or some of it, is selected."""
        return not self.canonical or root in self.roots


def parse(text: str, limits: Limits = DEFAULT_LIMITS) -> Shape:
    """Compile `text`; the empty text, or only commas and spaces, keeps everything.

    Work and memory are linear in the text, and refused before any if it passes `max_bytes`.
    Raises ShapeError, with a sentence that says what to write instead.
    """
    _check_text(text, limits)
    paths = _without_descendants(_paths(text, limits))
    return Shape(
        canonical=",".join(sorted(".".join(path) for path in paths)),
        roots=frozenset(path[0] for path in paths),
        tree=_tree(paths),
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


def _paths(text: str, limits: Limits) -> set[_Path]:
    paths: set[_Path] = set()
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
        paths.add(_path(path))
    return paths


def _path(text: str) -> _Path:
    if text.startswith("@"):
        raise ShapeError(
            f"_shape path {quoted(text)} begins with @: a named shape stands alone, as in"
            " _shape=@name, and is not mixed with paths."
        )
    return tuple(_name(segment, text) for segment in text.split("."))


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


def _without_descendants(paths: Iterable[_Path]) -> list[_Path]:
    kept: list[_Path] = []
    # In this order all descendants of a path stand directly behind it.
    for path in sorted(paths):
        if not kept or path[: len(kept[-1])] != kept[-1]:
            kept.append(path)
    return kept


def _tree(paths: Iterable[_Path]) -> Tree:
    root: dict[str, Tree | None] = {}
    for path in paths:
        level = root
        for name in path[:-1]:
            below = level.setdefault(name, {})
            assert isinstance(below, dict), "an ancestor of a path was not absorbed"
            level = below
        level[path[-1]] = None
    return root


def quoted(text: str) -> str:
    """The text for an error message: short, printable, and safe to encode."""
    shown = text if len(text) <= _QUOTED_CHARS else text[:_QUOTED_CHARS] + "…"
    return repr(shown)
