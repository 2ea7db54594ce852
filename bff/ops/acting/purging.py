"""Dropping what is cached, as operators ask for it: of a user, a coworker, a token, or all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from bff.cache import tags
from bff.cache.invalidation import Invalidator, Reach
from bff.cache.secrets import is_digest
from bff.errors import ParameterError
from bff.ops.access.bodies import named_space
from bff.resources import ALL_TAGS, as_id
from bff.spaces import SpaceTable

CAUSE = "operator"
_FORM = (
    'Send one of {"user": id}, {"coworker": id}, {"token": digest}, {"everything": true}; '
    "the digest is the 32 characters that name a token in Redis, never the token itself; "
    'with "space" if several are served, or with "spaces": "all" for every one of them.'
)


@dataclass(frozen=True, slots=True)
class Purge:
    """What to drop, in words and as tags, in each of these spaces."""

    spaces: tuple[str, ...]
    what: str
    tags: frozenset[str]

    @property
    def space(self) -> str:
        """The one space, or empty for several."""
        return self.spaces[0] if len(self.spaces) == 1 else ""


def read_purge(asked: Mapping[str, object], table: SpaceTable) -> Purge:
    """`{"space"? or "spaces": "all", and one of user, coworker, token, everything}`.

    Without a space the only one that is served is meant; with several that is refused, so that
    nobody drops more than they meant. Raises ParameterError.
    """
    what, dropped = _target({n: v for n, v in asked.items() if n not in ("space", "spaces")})
    if "spaces" not in asked:
        return Purge((named_space(dict(asked), table),), what, dropped)
    if asked["spaces"] != "all" or "space" in asked:
        raise ParameterError(_FORM)
    return Purge(tuple(space.name for space in table.spaces), what, dropped)


def _target(asked: Mapping[str, object]) -> tuple[str, frozenset[str]]:
    match asked:
        case {"user": value, **rest} if not rest and (ident := as_id(value)):
            return f"user {ident}", frozenset({tags.user(ident)})
        case {"coworker": value, **rest} if not rest and (ident := as_id(value)):
            return f"coworker {ident}", frozenset({tags.coworker(ident)})
        case {"token": str(digest), **rest} if not rest and is_digest(digest):
            return f"token {digest}", frozenset({tags.token(digest)})
        case {"everything": True, **rest} if not rest:
            return "everything", ALL_TAGS
    raise ParameterError(_FORM)


async def carry_out(purge: Purge, invalidator: Invalidator) -> Reach:
    """How far it got: the least of all spaces."""
    reached = await asyncio.gather(
        *(invalidator.invalidate(space, purge.tags, CAUSE) for space in purge.spaces)
    )
    return Reach(
        stored=all(reach.stored for reach in reached),
        everywhere=all(reach.everywhere for reach in reached),
    )
