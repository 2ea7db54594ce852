"""What a request would be answered now, and why: nothing is called, moved, filled or counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from bff.cache.bus import LocalBus
from bff.cache.tiered import TieredCache
from bff.clock import Clock
from bff.edge.conditional import matches
from bff.edge.endpoints import BOOTSTRAP_PARAMETERS, LIST_PARAMETERS, Asked, Understanding
from bff.edge.headers_in import combined
from bff.edge.problems import problem_for
from bff.edge.respond import Finished, RepresentationKey
from bff.edge.target import BOOTSTRAP_PATH, coworker_id
from bff.errors import CredentialsError, RequestError
from bff.nexudus.admission import Admission
from bff.ops.explaining import outlook, telling
from bff.ops.explaining.outlook import Conditions, Outlook
from bff.ops.explaining.questions import OWN, Question, Routed, route
from bff.ops.explaining.telling import Json
from bff.resources import PROFILES
from bff.session.examine import Examined, Examiner
from bff.session.fetcher import BEGUN
from bff.session.reading import Caller
from bff.session.reads import Reads
from bff.session.sharing import Sharing
from bff.session.writes import changes_profiles
from bff.spaces import Space, SpaceTable


class Surroundings:
    """What stands around the reads of this process. `deadline_s`: of one request."""

    def __init__(
        self, admission: Admission, reads: Reads, sharing: Sharing, *, deadline_s: float
    ) -> None:
        self._admission = admission
        self._reads = reads
        self._sharing = sharing
        self._deadline_s = deadline_s

    def of(self, space: str) -> Conditions:
        """Whether Nexudus would be asked."""
        breaker, budget = self._admission.standing(space), self._admission.budget
        standing = budget.standing(space)
        return Conditions(
            breaker.state,
            breaker.wait_s,
            standing.paused_s,
            self._reads.refreshes_paused,
            BEGUN * self._deadline_s,
            standing.windows,
            short=budget.is_short(space),
        )

    def accepted(self, digest: str) -> bool:
        """Whether Nexudus accepted this token lately: its calls are no stranger's."""
        return self._admission.acceptances.stands(digest, self._admission.clock.monotonic())

    def told(self, space: str) -> Json:
        """As JSON, the budget by window among it."""
        conditions, shared = self.of(space), self._admission.budget.standing(space).shared
        sharing = "shared between tokens"
        if self._sharing.is_demoted(space):
            by_hand = self._sharing.is_set_by_hand(space)
            sharing = f"for each token, {'as configured' if by_hand else 'since lists differed'}"
        elif not self._sharing.is_learned(space):
            sharing = "for each token, until Redis says whether lists differed"
        return {
            "breaker": conditions.breaker,
            "breaker_wait_s": round(conditions.failing_s, 3),
            "paused_s": round(conditions.paused_s, 3),
            "refreshes_paused": conditions.refreshes_paused,
            "related_lists": sharing,
            "budget": [
                {"window": str(w.limit), "writes": w.writes_only, "used": w.used}
                for w in conditions.windows
            ],
            "budget_shared": shared,
        }


@dataclass(frozen=True, slots=True)
class Explained:
    """`route` and `digest` are all that the log is told of it: what was sent may hold a secret.

    `route`: a template, `forwarded` …; empty for what is refused before it comes to a route.
    """

    content: Json
    space: str
    route: str
    digest: str


class Explainer:
    """Of one process."""

    def __init__(
        self,
        examiner: Examiner,
        understanding: Understanding,
        table: SpaceTable,
        surroundings: Surroundings,
        clock: Clock,
    ) -> None:
        self.table: Final = table
        self._examiner = examiner
        self._understanding = understanding
        self._surroundings = surroundings
        self._clock = clock

    async def explain(self, question: Question) -> Explained:
        """Never raises for what a request would be refused for: that is the explanation then."""
        try:
            routed = await route(question, self.table, self._clock.monotonic())
        except RequestError as error:
            return self._told(question, "", _refusal(error), {})
        if routed.own:
            return self._told(question, "", outlook.own(), {"route": OWN})
        space = routed.exchange.space
        if isinstance(space, RequestError):  # the front asks for it before anything else
            return self._told(question, "", _refusal(space), {})
        assert space is not None, "its Host was looked at"
        about: Json = {"space": space.name, "route": routed.exchange.route}
        if not routed.cached:
            return self._told(question, space.name, self._passed(question, routed), about)
        return await self._cached(question, routed, space.name, about)

    def _passed(self, question: Question, routed: Routed) -> Outlook:
        if routed.relayed is None:
            why = "no route has this path" if routed.refused == 404 else "it is read with GET"
            return outlook.refused(routed.refused, why, by_token=False)
        assert isinstance(routed.exchange.space, Space)
        conditions = self._surroundings.of(routed.exchange.space.name)
        writes = changes_profiles(question.method, question.path)
        listed = routed.bypassed.name if routed.bypassed else ""
        return outlook.forwarded(question.method, conditions, writes=writes, listed=listed)

    async def _cached(
        self, question: Question, routed: Routed, space: str, about: Json
    ) -> Explained:
        is_bootstrap = routed.exchange.route == BOOTSTRAP_PATH
        parameters = BOOTSTRAP_PARAMETERS if is_bootstrap else LIST_PARAMETERS
        try:
            asked = self._understanding.of(routed.scope, parameters)
            hint = asked.parameters.get("coworkerId")
            hinted = None if hint is None else coworker_id(hint)
            ident = coworker_id(routed.ident) if routed.ident else None
        except RequestError as error:
            return self._told(question, space, _refusal(error), about)
        key = self._key(routed, asked)
        about |= _understood(asked, key)
        examined = await self._examined(routed, asked, ident, hinted)
        if self._surroundings.accepted(asked.principal.digest):
            examined = tuple(replace(each, stranger=False) for each in examined)
        finished, kept = self._finished(key)
        conditions = self._surroundings.of(space)
        told = outlook.cached(examined, conditions, whole=is_bootstrap)
        given = combined(routed.scope["headers"], b"if-none-match")
        if kept is None and given is not None:
            told = outlook.conditional(told)
        elif kept is not None:
            held = kept.status == 200 and matches(given, kept.validator)
            age_s = self._clock.wall() - kept.fetched_at
            told = outlook.from_finished(kept.status, age_s, held=held)
        now = self._clock.wall()
        documents = [telling.document(each, now) for each in examined]
        parts: Json = {"finished": finished, "documents": documents}
        return self._told(question, space, told, about, parts, asked.principal.digest)

    async def _examined(
        self, routed: Routed, asked: Asked, ident: int | None, hint: int | None
    ) -> tuple[Examined, ...]:
        caller = Caller(asked.principal, asked.caller.variants)
        if ident is not None:
            return await self._examiner.related(caller, ident)
        if routed.exchange.route == PROFILES.path:
            return (await self._examiner.profiles(caller),)
        return await self._examiner.bootstrap(caller, asked.shape, hint)

    def _key(self, routed: Routed, asked: Asked) -> RepresentationKey:
        return RepresentationKey(
            space=asked.principal.space,
            digest=asked.principal.digest,
            route=routed.exchange.route,
            ident=routed.ident,
            shape=asked.shape.canonical,
            variant=asked.caller.variant,
            encoding=asked.caller.encoding,
        )

    def _finished(self, key: RepresentationKey) -> tuple[Json, Finished | None]:
        """What is kept of the very bytes, and they themselves if they would be served."""
        cache = self._examiner.inspector.cache
        held = cache.memory.peek(key)
        if held is None or not isinstance(held.value, Finished):
            return {"state": "none"}, None
        fresh_s = held.value.fresh_until - self._clock.wall()
        expires_s = held.expires - self._clock.monotonic()
        served = cache.memory_usable and fresh_s > 0 and expires_s > 0
        content: Json = {
            "state": "served" if served else "over" if cache.memory_usable else "not trusted",
            "status": held.value.status,
            "bytes": len(held.value.body),
            "fresh_s": round(max(0.0, fresh_s), 3),
            "expires_s": round(max(0.0, expires_s), 3),
        }
        return content, held.value if served else None

    def _told(
        self,
        question: Question,
        space: str,
        answer: Outlook,
        about: Json,
        parts: Json | None = None,
        digest: str = "",
    ) -> Explained:
        cache = self._examiner.inspector.cache
        content: Json = {
            "request": {"method": question.method, "path": question.path, **about},
            "answer": answer.as_json(),
            "finished": {"state": "none"},
            "documents": [],
            **(parts or {}),
            "space": self._surroundings.told(space) if space else None,
            "process": {
                "redis": _redis(cache),
                "in_process_tier": "trusted" if cache.memory_usable else "not trusted",
            },
        }
        return Explained(content, space, str(about.get("route", "")), digest)


def _understood(asked: Asked, key: RepresentationKey) -> Json:
    return {
        "digest": asked.principal.digest,
        "token_expires_at": asked.principal.expires_at,
        "shape": key.shape,
        "shape_name": asked.shape_name if asked.shape_name.startswith("@") else "",
        "variant": key.variant,
        "encoding": key.encoding.value,
    }


def _redis(cache: TieredCache) -> str:
    if isinstance(cache.bus, LocalBus):
        return "embedded"
    return "used" if cache.store.available else "away"


def _refusal(error: RequestError) -> Outlook:
    problem = problem_for(error, "")
    by_token = isinstance(error, CredentialsError)
    return outlook.refused(problem.kind.status, problem.detail, by_token=by_token)
