"""Names of stored things. Every part is escaped, so no two addresses share a name.

A *container* is one Redis hash: everything stored for one token, or for one coworker id. A *field*
is one resource in one variant within it. All names of a space carry the hash tag `{space}`, so
that a cluster keeps them on one node and a script may touch several.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
import string
from dataclasses import dataclass

LAYOUT = 1
"""Version of the key layout; a process never reads names of another layout."""

_PLAIN_TEXT = re.compile(r"[A-Za-z0-9_.-]*")
_SHORT = 128
_PLAIN = frozenset((string.ascii_letters + string.digits + "-_.").encode())


def escape(text: str) -> str:
    """Injective, ASCII, without delimiters: UTF-8 bytes outside `[A-Za-z0-9_.-]` become `%XX`.

    Lone surrogates are kept apart from every valid text (`surrogatepass`).
    """
    if _PLAIN_TEXT.fullmatch(text):
        return text
    return _remembered(text) if len(text) <= _SHORT else _escaped(text)


def _escaped(text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return "".join(chr(b) if b in _PLAIN else f"%{b:02X}" for b in data)


# Variants, of which there are few, and many requests with each.
_remembered = functools.lru_cache(maxsize=1024)(_escaped)


class Scope(enum.Enum):
    """Whose a container is."""

    TOKEN = "k"  # noqa: S105 - a letter in key names
    COWORKER = "c"
    SPACE = "s"


@dataclass(frozen=True, slots=True)
class Container:
    """One hash in the store: `ident` is a token digest, a coworker id or empty, by scope."""

    space: str
    scope: Scope
    ident: str
    label: str = dataclasses.field(init=False, repr=False, compare=False)
    """The name within its space, also the tag that drops it whole."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", f"{self.scope.value}:{escape(self.ident)}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where one document is: `variant` is everything else that can change its body."""

    container: Container
    resource: str
    ident: str
    variant: str
    field: str = dataclasses.field(init=False, repr=False, compare=False)
    """The field within the container."""
    text: str = dataclasses.field(init=False, repr=False, compare=False)
    """The whole address as one text; equal texts mean equal addresses."""

    def __post_init__(self) -> None:
        place = f"{escape(self.resource)}|{escape(self.ident)}|{escape(self.variant)}"
        text = f"{escape(self.container.space)}|{self.container.label}|{place}"
        object.__setattr__(self, "field", place)
        object.__setattr__(self, "text", text)


@dataclass(frozen=True, slots=True)
class KeySpace:
    """Redis names under one prefix: `{prefix}:{layout}:{{space}}:…`."""

    prefix: str

    def base(self, space: str) -> str:
        """What every name of this space starts with."""
        return _base(self.prefix, space)

    def container(self, container: Container) -> str:
        """Name of a container's hash."""
        return self.base(container.space) + container.label

    def inbox(self, process: str) -> str:
        """Channel of one process; of no space, so that peers that serve other spaces know it."""
        return f"{self.prefix}:{LAYOUT}:to:{escape(process)}"


@functools.lru_cache(maxsize=1024)
def _base(prefix: str, space: str) -> str:
    return f"{prefix}:{LAYOUT}:{{{escape(space)}}}:"
