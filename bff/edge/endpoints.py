"""The three cached routes: who asks, for what, in which shape; then read, make, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
from starlette.types import Receive, Scope, Send

from bff.cache.secrets import Keyring
from bff.edge import exchange as exchanges
from bff.edge.caching import Forward, Forwarded, cache_status, merge_vary, private_cache_control
from bff.edge.headers_in import bearer
from bff.edge.respond import JSON_TYPE, Made, RepresentationKey, Responder
from bff.edge.target import coworker_id, parse_query
from bff.errors import ParameterError, TargetError, UpstreamTimeout
from bff.nexudus.answers import Answer
from bff.nexudus.headers import Variants
from bff.nexudus.location import relocated
from bff.observe.metrics import Metrics
from bff.resources import Resource
from bff.session.bootstrap import Bootstrap
from bff.session.interpret import Refusal
from bff.session.principal import Principal, identify
from bff.session.reading import Caller, Outcome, Reading
from bff.session.reads import Reads
from bff.shape import NamedShapes, Shape, project

Make = Callable[[], Awaitable[Made | Refusal]]

PATIENCE = 0.9
"""Part of the deadline that Nexudus is waited for; the rest is for an answer without it."""
BOOTSTRAP_PARAMETERS = frozenset({"_shape", "coworkerId"})
LIST_PARAMETERS = frozenset({"_shape"})
_COPIES = frozenset({Outcome.HIT, Outcome.STALE})


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to a cached route, understood.

    `shape_name`: the name that a shape was asked by, else its canonical form; empty without one.
    """

    principal: Principal
    variants: Variants
    shape: Shape
    parameters: dict[str, str]
    shape_name: str


@dataclass(frozen=True, slots=True)
class Understanding:
    """What requests are read with: secrets for token digests, and the named shapes."""

    keyring: Keyring
    shapes: NamedShapes

    def of(self, scope: Scope, parameters: frozenset[str]) -> Asked:
        """The caller, the variants and the shape of a request. Raises RequestError."""
        token = bearer(scope["headers"])
        given = parse_query(scope["query_string"], parameters)
        text = given.get("_shape", "")
        shape, reference = self.shapes.resolve(text), text.strip(" ")
        return Asked(
            principal=identify(exchanges.space_of(scope).name, token, self.keyring),
            variants=Variants.of(scope["headers"]),
            shape=shape,
            parameters=given,
            shape_name=reference if reference.startswith("@") else shape.canonical,
        )


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

        async def make() -> Made | Refusal:
            caller = self._caller(scope, asked)
            document = await self._bootstrap.document(caller, asked.shape, hint)
            if isinstance(document, Refusal):
                return document
            if not document.complete:
                self._metrics.count("bff_bootstraps_incomplete", asked.principal.space)
            elif all(reading.outcome in _COPIES for reading in document.readings):
                self._metrics.count("bff_bootstraps_cached", asked.principal.space)
            return Made(
                200, JSON_TYPE, document.body, document.complete, document.readings,
                document.left_out,
            )  # fmt: skip

        await self._answer(scope, send, asked, "", make)

    async def profiles(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /api/public/coworkers/profiles`."""
        asked = self._understanding.of(scope, LIST_PARAMETERS)

        async def make() -> Made | Refusal:
            reading = await self._reads.profiles(self._caller(scope, asked))
            return _listed(asked, reading)

        await self._answer(scope, send, asked, "", make)

    async def related(self, scope: Scope, receive: Receive, send: Send, ident: str) -> None:
        """`GET /api/public/coworkers/published/{id}/related`."""
        asked = self._understanding.of(scope, LIST_PARAMETERS)
        coworker = coworker_id(ident)

        async def make() -> Made | Refusal:
            reading = await self._reads.related(self._caller(scope, asked), coworker)
            return _listed(asked, reading)

        await self._answer(scope, send, asked, ident, make)

    def bypassed(self, scope: Scope, resource: Resource) -> None:
        """A cached list was asked for with what the cache does not understand: it is relayed."""
        space = exchanges.space_of(scope).name
        self._metrics.count("bff_cache_reads", space, resource.name, "upstream", "bypass")

    def _caller(self, scope: Scope, asked: Asked) -> Caller:
        began = exchanges.of(scope).started
        return Caller(asked.principal, asked.variants, began + PATIENCE * self._deadline_s, began)

    async def _answer(self, scope: Scope, send: Send, asked: Asked, ident: str, make: Make) -> None:
        exchange = exchanges.of(scope)
        principal = asked.principal
        key = RepresentationKey(
            space=principal.space,
            digest=principal.digest,
            route=exchange.route,
            ident=ident,
            shape=asked.shape.canonical,
            variant=asked.variants.canonical,
            encoding=self._responder.encoding_for(scope),
        )
        self.on_asked(exchange, key)
        finished = self._responder.recall(key)
        if finished is not None:
            await self._responder.send(scope, send, finished, shape=asked.shape_name)
            return
        ticket = self._responder.ticket()
        try:
            async with asyncio.timeout(self._deadline_s):
                made = await make()
        except TimeoutError:
            raise UpstreamTimeout("Nexudus did not answer within the deadline.") from None
        if isinstance(made, Refusal):
            await send_refusal(made, scope, send)
            return
        finished = self._responder.finish(key, principal, made, ticket)
        await self._responder.send(scope, send, finished, made.readings, asked.shape_name)


def _hint(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return coworker_id(text)
    except TargetError as error:
        raise ParameterError(f"coworkerId: {error}") from None


def _listed(asked: Asked, reading: Reading | Refusal) -> Made | Refusal:
    """What Nexudus answers on a list route, in the caller's shape."""
    if isinstance(reading, Refusal):
        return reading
    entry = reading.entry
    if entry.status != 200:
        return Made(entry.status, entry.content_type, entry.body, True, (reading,))
    whole = body = entry.body_for(asked.principal.token)
    if not asked.shape.is_everything:
        body = orjson.dumps(project(orjson.loads(whole), asked.shape))
    return Made(200, JSON_TYPE, body, True, (reading,), len(whole) - len(body))


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
