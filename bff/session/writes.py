"""Which calls through the gateway change what is cached, and what is dropped after one.

"Any POST purges" would be wrong, many POSTs only read (FACTS 5.4); so would "GETs never do": the
legacy switch is a GET (FACTS 5.2). Nexudus' routes ignore case, so the rules do too.
"""

from __future__ import annotations

import asyncio
import enum
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

import structlog

from bff.cache import tags
from bff.cache.invalidation import Invalidator
from bff.clock import Clock
from bff.errors import UpstreamError
from bff.nexudus.answers import Answer
from bff.nexudus.headers import Header, RawHeaders, Variants
from bff.nexudus.intent import Reason
from bff.resources import PROFILES, as_id, coworkers_of, user_of
from bff.session.interpret import THROTTLED, Refusal, parsed
from bff.session.principal import Principal
from bff.session.reading import Caller
from bff.session.reads import Reads

log = structlog.get_logger("bff.session")

LOOKUP_S = 3.0
"""How long the answer to a write waits for the news whose lists it changed."""
RETRIES_S = (1.0, 5.0, 25.0)
MAX_UNSETTLED = 16

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


@dataclass(frozen=True, slots=True)
class Writer:
    """Who made a write: by bearer token, else by other credentials of Nexudus' (FACTS 2.2)."""

    space: str
    principal: Principal | None
    credentials: tuple[Header, ...] = ()


@dataclass(frozen=True, slots=True)
class _Owner:
    user: int
    coworkers: tuple[int, ...]


class _Unidentified(enum.Enum):
    NOBODY = enum.auto()
    """Nexudus refuses the credentials: nothing of anybody's was written with them."""
    UNKNOWN = enum.auto()
    """Nexudus could not be asked."""


class Writes:
    """What follows a write: that user's lists are dropped in all their tokens.

    `listed_by(space, credentials, within_s)` fetches the profile list without a bearer token.
    """

    def __init__(
        self,
        reads: Reads,
        invalidator: Invalidator,
        listed_by: Callable[[str, RawHeaders, float], Awaitable[Answer]],
        clock: Clock,
    ) -> None:
        self._reads = reads
        self._invalidator = invalidator
        self._listed_by = listed_by
        self._clock = clock
        self._unsettled: set[asyncio.Task[None]] = set()

    async def settle(self, writer: Writer, query: str) -> None:
        """Returns once no process serves what was cached before the write.

        A writer never seen here is looked up with one profile call. Where that fails, only what
        the query names is dropped at once, and the look-up is repeated behind the answer.
        """
        named = named_coworker(query)
        found = frozenset() if named is None else frozenset({tags.coworker(named)})
        match await self._owner(writer):
            case _Owner() as owner:
                await self._drop(writer.space, found | _tags_of(owner))
            case _Unidentified.UNKNOWN:
                # Dropping everything instead would let anybody empty a space's cache while
                # Nexudus fails, which is when the stale answers in it are needed.
                if found:
                    await self._drop(writer.space, found)
                self._settle_later(writer)
            case _Unidentified.NOBODY:
                pass

    async def aclose(self) -> None:
        """Give up what is not settled yet."""
        for task in self._unsettled:
            task.cancel()
        await asyncio.gather(*self._unsettled, return_exceptions=True)

    def _settle_later(self, writer: Writer) -> None:
        if len(self._unsettled) >= MAX_UNSETTLED:
            log.error("write_not_settled", space=writer.space, reason="too many wait already")
            return
        task = asyncio.create_task(self._settled_later(writer), name="write to settle")
        self._unsettled.add(task)
        task.add_done_callback(self._unsettled.discard)

    async def _settled_later(self, writer: Writer) -> None:
        for delay_s in RETRIES_S:
            await self._clock.sleep(delay_s)
            match await self._owner(writer):
                case _Owner() as owner:
                    await self._drop(writer.space, _tags_of(owner))
                    return
                case _Unidentified.NOBODY:
                    return
                case _Unidentified.UNKNOWN:
                    continue
        log.error("write_not_settled", space=writer.space, reason="its user cannot be looked up")

    async def _drop(self, space: str, dropped: frozenset[str]) -> None:
        await self._invalidator.invalidate(space, dropped, "write")

    async def _owner(self, writer: Writer) -> _Owner | _Unidentified:
        try:
            if writer.principal is None:
                answer = await self._listed_by(writer.space, writer.credentials, LOOKUP_S)
                return _owner_in(answer)
            return await self._bearer(writer.principal)
        except UpstreamError:
            return _Unidentified.UNKNOWN

    async def _bearer(self, principal: Principal) -> _Owner | _Unidentified:
        known = await self._reads.proof_of(principal)
        if known is not None:
            return _Owner(known.user, known.coworkers)
        caller = Caller(principal, Variants(), self._clock.monotonic() + LOOKUP_S)
        answer = await self._reads.profiles(caller, stale_ok=False, reason=Reason.LISTING)
        if isinstance(answer, Refusal):
            return _Unidentified.UNKNOWN if answer.is_failure else _Unidentified.NOBODY
        return _owner_of(answer.entry.document())


def _owner_in(answer: Answer) -> _Owner | _Unidentified:
    """Raises UnusableAnswer."""
    if answer.status in THROTTLED or answer.status >= 500:
        return _Unidentified.UNKNOWN
    if not 200 <= answer.status < 300:
        return _Unidentified.NOBODY
    return _owner_of(parsed(PROFILES, answer))


def _owner_of(listed: object) -> _Owner:
    user = user_of(listed)
    assert user is not None, "a profile list of the declared form names its user"
    return _Owner(user, coworkers_of(listed))


def _tags_of(owner: _Owner) -> frozenset[str]:
    return frozenset({tags.user(owner.user), *(tags.coworker(c) for c in owner.coworkers)})
