"""The contract of the shared tier. Every backend runs the same contract suite.

The store orders fetches and invalidations by *stamps*: integers that it issues, strictly greater
after each invalidation. A fetch carries the stamp issued by the `load` before it; a save is refused
if anything it depends on was invalidated at or after that stamp.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from bff.cache.keys import Container
from bff.errors import StoreUnavailable

SEAL_BYTES = 16
"""Of AES-GCM's tag, with which a sealed value ends."""


class Raw(NamedTuple):
    """A stored value as it rests: its clear header (stamp and tags) and its sealed rest."""

    header: bytes
    tags: tuple[str, ...]
    sealed: bytes

    @property
    def seal(self) -> bytes:
        """Names exactly this value: its header, and the code that authenticates all of it."""
        return self.header + self.sealed[-SEAL_BYTES:]


class Loaded(NamedTuple):
    """Answers to a `load`, in order; `stamp` is for a fetch that begins now."""

    stamp: int
    values: tuple[Raw | None, ...]


@dataclass(frozen=True, slots=True)
class Put:
    """A value to save: `sealed` was bound to `header(stamp, tags)`."""

    field: str
    tags: tuple[str, ...]
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Release:
    """The end of a flight, told together with what it has stored: `lock` is a name of its space.

    `message` goes to all who wait for `owner`; that it stored something is known for `known_ms`.
    """

    lock: str
    owner: str
    message: bytes
    known_ms: int


@dataclass(frozen=True, slots=True)
class Invalidated:
    """`peers`: processes that may hold copies and will acknowledge `message_id`.

    `before`: the stamp that a load would have been given just before it.
    """

    stamp: int
    before: int
    message_id: str
    peers: frozenset[str]


class Refused(StoreUnavailable):
    """What was asked has not been done, and will not be: the store said so, or was not asked."""


_TAG = re.compile(r"[!-~]+")


def header(stamp: int, tags: Sequence[str]) -> bytes:
    """The clear header of a stored value; authenticated by its envelope.

    Raises ValueError for a tag that could be read as two, or as the end of the header:
    `bff.cache.tags` makes none.
    """
    if not all(_TAG.fullmatch(tag) for tag in tags):
        raise ValueError("a tag is printable ASCII without spaces")
    return f"{stamp} {' '.join(tags)}\n".encode()


class Scripts(Protocol):
    """Runs scripts; raises StoreUnavailable, and nothing else, when the store cannot be used."""

    async def run(
        self, space: str, script: str, names: Sequence[str], args: Sequence[str | bytes | int]
    ) -> list[Any]:
        """Run a Lua script whose KEYS are `names` of that space; for others who share the store."""
        ...


class Store(Scripts, Protocol):
    """All methods raise StoreUnavailable, and nothing else, when the store cannot be used."""

    async def load(
        self, space: str, wants: Sequence[tuple[Container, str]], known: int = 0
    ) -> Loaded:
        """Values of (container, field) pairs of one space; None where absent or invalidated.

        `known`: a stamp that was given before. The one of the answer is less if the store has lost
        what it did between then and now, as far as it can tell; its values may then be of the past.
        """
        ...

    async def save(
        self,
        container: Container,
        puts: Sequence[Put],
        *,
        stamp: int,
        ttl_s: float,
        release: Release | None = None,
    ) -> bool:
        """Save unless something they depend on was invalidated since `stamp`; says whether.

        `release` comes with it: if nothing is saved, nothing is released.
        """
        ...

    async def invalidate(self, space: str, tags: frozenset[str]) -> Invalidated:
        """Drop everything that carries one of `tags`, now and for every fetch already begun."""
        ...

    async def remember(self, space: str, name: str, ttl_s: float) -> bool:
        """Whether `name` is seen for the first time within `ttl_s`."""
        ...

    async def flag(self, space: str, name: str) -> str | None:
        """A small text set for the whole space, or None."""
        ...

    async def set_flag(self, space: str, name: str, value: str | None) -> None:
        """Set it for every process, or remove it."""
        ...

    async def ping(self) -> None:
        """Returns if the store answers."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
