"""Which calls through the gateway change what is cached, and what is dropped after one.

"Any POST purges" would be wrong, many POSTs only read (FACTS 5.4); so would "GETs never do": the
legacy switch is a GET (FACTS 5.2). Nexudus' routes ignore case, so the rules do too.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote

import structlog

from bff.cache import tags
from bff.cache.entry import Proof
from bff.cache.invalidation import Invalidator
from bff.errors import UpstreamError
from bff.nexudus.headers import Variants
from bff.resources import ALL_TAGS, as_id, coworkers_of, user_of
from bff.session.interpret import Refusal
from bff.session.principal import Principal
from bff.session.reads import Reads

log = structlog.get_logger("bff.session")

_MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_PROFILE_WRITE = re.compile(r"/api/public/coworker|/[a-z]{2}(-[a-z]{2,4})?/profile", re.IGNORECASE)
_LEGACY_SWITCH = re.compile(r"/[a-z]{2}(-[a-z]{2,4})?/coworker/setcurrentprofile/?", re.IGNORECASE)


def changes_profiles(method: str, path: str) -> bool:
    """Whether a successful call changes profile or related lists; `path` as sent, encoded."""
    plain = unquote(path)
    if _LEGACY_SWITCH.fullmatch(plain):
        return True
    return method in _MUTATING and _PROFILE_WRITE.match(plain) is not None


def named_coworker(query: str) -> int | None:
    """The `coworkerId` that a switch names in its query, if it is one."""
    values = [v for k, vs in parse_qs(query).items() if k.lower() == "coworkerid" for v in vs]
    return as_id(values[0]) if len(values) == 1 else None


class Writes:
    """What follows a write: that user's lists are dropped in all their tokens."""

    def __init__(self, reads: Reads, invalidator: Invalidator) -> None:
        self._reads = reads
        self._invalidator = invalidator

    async def settle(self, space: str, principal: Principal | None, query: str) -> None:
        """Returns once no process serves what was cached before the write."""
        dropped = await self._affected(principal, query)
        await self._invalidator.invalidate(space, dropped, "write")

    async def _affected(self, principal: Principal | None, query: str) -> frozenset[str]:
        """The tags that a write under `principal` drops; everything of the space if unknowable.

        A token never seen here is looked up with one profile call. Without a bearer token (a
        cookie, Basic) nobody can tell whose lists changed.
        """
        owner = None if principal is None else await self._owner(principal)
        if owner is None:
            log.warning("write_by_unknown_user")
            return ALL_TAGS
        found = {tags.user(owner.user), *(tags.coworker(c) for c in owner.coworkers)}
        named = named_coworker(query)
        if named is not None:
            found.add(tags.coworker(named))
        return frozenset(found)

    async def _owner(self, principal: Principal) -> Proof | None:
        known = await self._reads.proof_of(principal)
        if known is not None:
            return known
        try:
            answer = await self._reads.profiles(principal, Variants(None, None), stale_ok=False)
        except UpstreamError:
            return None
        if isinstance(answer, Refusal):
            return None
        listed = answer.entry.document()
        user = user_of(listed)
        assert user is not None
        return Proof(answer.entry.fetched_at, user, coworkers_of(listed))
