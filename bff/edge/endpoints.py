"""The three cached routes: who asks, for what, in which shape; then read, make, answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from starlette.types import Receive, Scope, Send

from bff.cache.secrets import Keyring
from bff.edge import exchange as exchanges
from bff.edge.caching import Forward, Forwarded, cache_status, merge_vary, private_cache_control
from bff.edge.callers import Callers, Known
from bff.edge.respond import JSON_TYPE, AtHand, RepresentationKey, Responder, Unencoded
from bff.edge.target import coworker_id, parse_query
from bff.errors import ParameterError, TargetError
from bff.nexudus.answers import Answer
from bff.nexudus.location import relocated
from bff.observe.metrics import Metrics
from bff.resources import Resource
from bff.session.bootstrap import Bootstrap, Document, in_shape
from bff.session.deadline import in_time
from bff.session.interpret import Refusal
from bff.session.principal import Principal
from bff.session.reading import Caller, Outcome, Reading
from bff.session.reads import Reads
from bff.shape import NamedShapes, Shape

Make = Callable[[], Awaitable[Unencoded | Refusal]]

PATIENCE = 0.9
"""Part of the deadline that Nexudus is waited for; the rest is for an answer without it."""
REMEMBERED: Final = 128
REMEMBERED_BYTES: Final = 1024
"""Queries, and how long one is at most: together some 400 KB."""
BOOTSTRAP_PARAMETERS = frozenset({"_shape", "coworkerId"})
LIST_PARAMETERS = frozenset({"_shape"})
_COPIES = (Outcome.HIT, Outcome.STALE)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to a cached route, understood.

    `shape_name`: the name that a shape was asked by, else its canonical form; empty without one.
    """

    caller: Known
    shape: Shape
    parameters: Mapping[str, str]
    shape_name: str

    @property
    def principal(self) -> Principal:
        """Whose token it is asked with."""
        return self.caller.principal


class Understanding:
    """What requests are read with: secrets for token digests, and the named shapes."""

    def __init__(self, keyring: Keyring, shapes: NamedShapes) -> None:
        self.keyring: Final = keyring
        self.shapes: Final = shapes
        self._callers = Callers(keyring)
        self._read = lru_cache(maxsize=REMEMBERED)(parse_query)

    def of(self, scope: Scope, parameters: frozenset[str]) -> Asked:
        """The caller, the variants and the shape of a request. Raises RequestError."""
        exchange, space = exchanges.of(scope), exchanges.space_of(scope)
        caller = self._callers.of(space.name, scope["headers"], exchange.given)
        query = scope["query_string"]
        read = self._read if len(query) <= REMEMBERED_BYTES else parse_query
        given = read(query, parameters)
        text = given.get("_shape", "")
        shape, reference = self.shapes.resolve(text), text.strip(" ")
        name = reference if reference.startswith("@") else shape.canonical
        return Asked(caller, shape, given, name)


class Endpoints:
    """The cached routes. `deadline_s` bounds each request as a whole.

    `on_asked` hears of each request that was understood, before it is answered.
    """

    def __init__(
        self,
        reads: Reads,
        bootstrap: Bootstrap,
        responder: Responder,
        understanding: Understanding,
        metrics: Metrics,
        *,
        deadline_s: float,
    ) -> None:
        self._reads = reads
        self._bootstrap = bootstrap
        self._responder = responder
        self._understanding = understanding
        self._metrics = metrics
        self._deadline_s = deadline_s
        self.on_asked: Callable[[exchanges.Exchange, RepresentationKey], None] = lambda _e, _k: None

    async def session_bootstrap(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /session/bootstrap`."""
        asked = self._understanding.of(scope, BOOTSTRAP_PARAMETERS)
        hint = _hint(asked.parameters.get("coworkerId"))

        caller = self._caller(scope, asked)

        def at_hand() -> Unencoded | None:
            whole = self._bootstrap.at_hand(caller, asked.shape)
            if whole is None:
                return None
            made = self._bootstrapped(asked, in_shape(whole, asked.shape))
            return replace(made, at_hand=whole)

        async def make() -> Unencoded | Refusal:
            document = await self._bootstrap.document(caller, asked.shape, hint)
            if isinstance(document, Refusal):
                return document
            return self._bootstrapped(asked, document)

        await self._answer(scope, send, asked, "", make, at_hand)

    async def profiles(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /api/public/coworkers/profiles`."""
        asked = self._understanding.of(scope, LIST_PARAMETERS)

        async def make() -> Unencoded | Refusal:
            reading = await self._reads.profiles(self._caller(scope, asked))
            return self._listed(asked, reading)

        await self._answer(scope, send, asked, "", make)

    async def related(self, scope: Scope, receive: Receive, send: Send, ident: str) -> None:
        """`GET /api/public/coworkers/published/{id}/related`."""
        asked = self._understanding.of(scope, LIST_PARAMETERS)
        coworker = coworker_id(ident)

        async def make() -> Unencoded | Refusal:
            reading = await self._reads.related(self._caller(scope, asked), coworker)
            return self._listed(asked, reading)

        await self._answer(scope, send, asked, ident, make)

    def bypassed(self, scope: Scope, resource: Resource) -> None:
        """A cached list was asked for with what the cache does not understand: it is relayed."""
        space = exchanges.space_of(scope).name
        self._metrics.count("bff_cache_reads", space, resource.name, "upstream", "bypass")

    def _listed(self, asked: Asked, reading: Reading | Refusal) -> Unencoded | Refusal:
        """What Nexudus answers on a list route, in the caller's shape."""
        if isinstance(reading, Refusal):
            return reading
        entry = reading.entry
        if entry.status != 200:
            return Unencoded(entry.status, entry.content_type, entry.body, True, (reading,))
        body, left_out = self._reads.documents.shaped(asked.principal, reading, asked.shape)
        return Unencoded(200, JSON_TYPE, body, True, (reading,), left_out)

    def _bootstrapped(self, asked: Asked, document: Document) -> Unencoded:
        if not document.complete:
            self._metrics.count("bff_bootstraps_incomplete", asked.principal.space)
        elif all(reading.outcome in _COPIES for reading in document.readings):
            self._metrics.count("bff_bootstraps_cached", asked.principal.space)
        return Unencoded(
            200, JSON_TYPE, document.body, document.complete, document.readings, document.left_out
        )

    def _caller(self, scope: Scope, asked: Asked) -> Caller:
        began = exchanges.of(scope).started
        until = began + PATIENCE * self._deadline_s
        return Caller(asked.caller.principal, asked.caller.variants, until, began)

    async def _answer(
        self,
        scope: Scope,
        send: Send,
        asked: Asked,
        ident: str,
        make: Make,
        at_hand: Callable[[], Unencoded | None] = lambda: None,
    ) -> None:
        exchange, principal = exchanges.of(scope), asked.caller.principal
        key = RepresentationKey(
            space=principal.space,
            digest=principal.digest,
            route=exchange.route,
            ident=ident,
            shape=asked.shape.canonical,
            variant=asked.caller.variant,
            encoding=asked.caller.encoding,
        )
        self.on_asked(exchange, key)
        finished = self._responder.recall(key)
        if finished is not None:
            exchange.recalled, exchange.shape_name = key, asked.shape_name
            await self._responder.send(scope, send, finished, shape=asked.shape_name)
            return
        ticket = self._responder.ticket()
        made = at_hand()
        if made is None:
            found = await in_time(self._deadline_s, make())
            if isinstance(found, Refusal):
                await send_refusal(found, scope, send)
                return
            made = found
        finished = self._responder.finish(key, principal, made, ticket)
        if made.at_hand is not None:
            exchange.recalled = AtHand(replace(key, shape=""), made.at_hand)
        await self._responder.send(scope, send, finished, made.readings, asked.shape_name)


def _hint(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return coworker_id(text)
    except TargetError as error:
        said = f"coworkerId: {error} Leave it out if none is remembered."
        raise ParameterError(said) from None


async def send_refusal(refusal: Refusal, scope: Scope, send: Send) -> None:
    """Nexudus' own error, unchanged: status, body, `Retry-After`."""
    answer = refusal.answer
    kept = (b"content-type", b"retry-after", b"www-authenticate", b"location")
    origin = exchanges.space_of(scope).origin
    headers = [pair for pair in relocated(answer.headers, origin) if pair[0] in kept]
    caching = private_cache_control(_joined(answer, b"cache-control"))
    status = cache_status(Forward(Forwarded.URI_MISS, status=answer.status))
    headers += [
        (b"cache-control", caching.encode()),
        (b"vary", merge_vary(_joined(answer, b"vary")).encode("latin-1")),
        (b"cache-status", status.encode()),
        (b"content-length", str(len(answer.body)).encode()),
    ]
    exchanges.of(scope).cache = "refused"
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body})


def _joined(answer: Answer, name: bytes) -> str | None:
    return b", ".join(answer.values(name)).decode("latin-1") or None
