"""From a document to the bytes of an answer: compressed, validated, kept finished in process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from starlette.types import Scope, Send

from bff.cache.decide import age_s, remaining_s
from bff.cache.memory import compact
from bff.cache.tiered import Tier, TieredCache
from bff.clock import Clock
from bff.edge import exchange as exchanges
from bff.edge.caching import Forward, Forwarded, Hit, cached_answer_headers
from bff.edge.compression import Encoding, compress, worth_compressing
from bff.edge.conditional import counted, etag, matches
from bff.edge.counts import Counters, Counts
from bff.edge.headers_in import combined
from bff.nexudus.headers import Header
from bff.noticed import Noticed
from bff.observe.metrics import Metrics
from bff.session.documents import Begun, Whole, begin
from bff.session.lasting import fresh_until, is_fresh, tags_of
from bff.session.principal import Principal
from bff.session.reading import Outcome, Part, Reading

JSON_TYPE = "application/json; charset=utf-8"
FINISHED_BYTES = 400
"""What a finished answer takes beside the texts that are counted; the tests measure it."""


@dataclass(frozen=True, slots=True)
class RepresentationKey:
    """Everything that an answer's bytes depend on."""

    space: str
    digest: str
    route: str
    ident: str
    shape: str
    variant: str
    encoding: Encoding

    def whose(self) -> bytes:
        """Whose answer it is, to what; in any shape and encoding."""
        return counted((self.space, self.digest, self.route, self.ident, self.variant))


@dataclass(frozen=True, slots=True, repr=False)
class Finished:
    """An encoded answer. `fetched_at`: of its oldest part; `fresh_until`: UTC seconds.

    `whole`: bytes before they were encoded; `left_out`: those that a shape spared before.
    """

    status: int
    content_type: str
    encoding: Encoding
    body: bytes
    validator: str
    complete: bool
    fetched_at: float
    fresh_until: float
    whole: int
    left_out: int
    counts: Counts
    parts: tuple[Part, ...]

    def kept(self) -> Finished:
        """The same, in as little room as it takes."""
        return replace(self, body=compact(self.body))

    def cost_under(self, key: RepresentationKey) -> int:
        """Bytes that it takes where it is kept. A caller varies shape and language at will, so the
        key counts too."""
        return FINISHED_BYTES + len(self.body) + len(key.shape) + len(key.variant)

    def entity_headers(self) -> list[Header]:
        """Those that its body has, and a 304 in its place has not."""
        length = (b"content-length", str(len(self.body)).encode())
        return [length, *of_kind(self.content_type, self.encoding)]


@lru_cache(maxsize=64)
def of_kind(content_type: str, encoding: Encoding) -> tuple[Header, ...]:
    """Headers of all bodies of a type in a coding; kept answers share them."""
    typed = ((b"content-type", content_type.encode("latin-1")),) if content_type else ()
    if encoding is Encoding.IDENTITY:
        return typed
    return (*typed, (b"content-encoding", encoding.value.encode()))


@dataclass(frozen=True, slots=True)
class Unencoded:
    """A document as made for one caller, not yet encoded. `left_out`: bytes that a shape spared.

    `at_hand`: the whole that it was made of, which is parsed in process: it is easily made again.
    """

    status: int
    content_type: str
    body: bytes
    complete: bool
    readings: tuple[Reading, ...]
    left_out: int = 0
    at_hand: Whole | None = None


@dataclass(frozen=True, slots=True, repr=False)
class AtHand:
    """A whole document, and the key of its representations but for their shape, which is empty."""

    key: RepresentationKey
    whole: Whole


class Responder:
    """Encodes, validates, remembers and sends answers of the cached routes.

    `on_shaped(space, shape, size, left_out)` hears of each that was shaped, in bytes.
    """

    def __init__(self, cache: TieredCache, clock: Clock, metrics: Metrics) -> None:
        self._cache = cache
        self._clock = clock
        self._counters = Counters(metrics)
        self._noticed = Noticed()
        self.on_shaped: Callable[[str, str, int, int], None] = lambda _sp, _sh, _size, _left: None

    def ticket(self) -> Begun:
        """Taken before the document is made, so that no invalidation is overlooked."""
        return begin(self._cache, self._clock)

    def recall(self, key: RepresentationKey) -> Finished | None:
        """The finished answer for exactly this caller, document, shape and coding, while fresh."""
        if not self._cache.memory_usable:
            return None
        held = self._cache.memory.get(key, self._clock.monotonic())
        if isinstance(held, Finished) and self._clock.wall() < held.fresh_until:
            held.counts.hit()
            return held
        return None

    def finish(
        self, key: RepresentationKey, principal: Principal, made: Unencoded, ticket: Begun
    ) -> Finished:
        """Encode a document, and keep it if all of it is stored, fresh and complete.

        One that was at hand is kept when it is asked for again.
        """
        encoded = encode(made.body, key.encoding, key.whose(), key.shape)
        until = fresh_until(principal, made.readings)
        keeps = self._keeps(key, made) and until > self._clock.wall()
        finished = Finished(
            status=made.status,
            content_type=made.content_type,
            encoding=encoded.encoding,
            body=compact(encoded.body) if keeps else encoded.body,
            validator=encoded.validator,
            complete=made.complete,
            fetched_at=min([reading.entry.fetched_at for reading in made.readings]),
            fresh_until=until,
            whole=len(made.body),
            left_out=made.left_out,
            counts=self._counters.of(key.space, key.route, made.readings),
            parts=tuple([reading.part for reading in made.readings]),
        )
        if keeps:
            # An answer is trusted no longer than the copies that it was made of.
            expires = min(reading.expires for reading in made.readings)
            tags, cost = tags_of(principal, made.readings), finished.cost_under(key)
            held = self._cache.hold(finished, cost, tags, since=ticket.at, until=expires)
            self._cache.memory.put(key, held, ticket.ticket)
        return finished

    def _keeps(self, key: RepresentationKey, made: Unencoded) -> bool:
        """Whether it may be kept, and is worth it."""
        if not self._cache.keeps_copies or not made.complete:
            return False
        worth_it = made.at_hand is None or self._noticed.again(key)
        return worth_it and all(map(is_fresh, made.readings))

    async def send(
        self,
        scope: Scope,
        send: Send,
        finished: Finished,
        readings: Sequence[Reading] = (),
        shape: str = "",
    ) -> None:
        """Answer with 304 if the caller holds this very representation. No `readings`: from L1.

        `shape`: what it was asked by, if it was.
        """
        exchange = exchanges.of(scope)
        now = self._clock.wall()
        outcome = cache_outcome(finished, readings, now)
        exchange.cache, exchange.parts = _label(readings), finished.parts
        for reading in readings:
            if reading.upstream_s is not None:
                exchange.timings_ms[reading.resource.name] = reading.upstream_s * 1000
        exchange.timings_ms["total"] = (self._clock.monotonic() - exchange.started) * 1000
        headers = cached_answer_headers(
            finished.validator, age_s(finished.fetched_at, now), outcome, exchange.timings_ms
        )
        if not finished.complete:
            headers.append((b"bff-complete", b"false"))
        status, body = finished.status, finished.body
        if status == 200 and matches(_if_none_match(scope, exchange), finished.validator):
            status, body = 304, b""
            finished.counts.unmodified(0 if scope["method"] == "HEAD" else len(finished.body))
        else:
            headers += finished.entity_headers()
        if scope["method"] == "HEAD":
            body = b""
        elif status == finished.status:
            finished.counts.sent(finished.left_out, finished.whole - len(body))
            if shape and status == 200:
                space = exchanges.space_of(scope).name
                self.on_shaped(space, shape, finished.whole, finished.left_out)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Encoded(NamedTuple):
    """A body in a content coding, and its strong validator."""

    encoding: Encoding
    body: bytes
    validator: str


def encode(body: bytes, encoding: Encoding, whose: bytes, shape: str) -> Encoded:
    """In a coding, where that is worth it.

    The validator covers `whose` answer it is and in which shape, not only its bytes.
    """
    if not worth_compressing(body):
        encoding = Encoding.IDENTITY
    validator = etag(body, encoding, whose + shape.encode())
    return Encoded(encoding, compress(body, encoding), validator)


def _if_none_match(scope: Scope, exchange: exchanges.Exchange) -> str | None:
    if exchange.given is not None and b"if-none-match" not in exchange.given:
        return None
    return combined(scope["headers"], b"if-none-match")


def cache_outcome(finished: Finished, readings: Sequence[Reading], now: float) -> Hit | Forward:
    """The `Cache-Status` of an answer made of several readings: the least cached one decides."""
    if not readings:
        return Hit(ttl_s=finished.fresh_until - now, detail=Tier.L1.value)
    if not finished.complete:
        return Forward(Forwarded.PARTIAL)
    outcomes = [reading.outcome for reading in readings]
    ttl_s: float = min([remaining_s(r.entry.fetched_at, now, r.fresh, None) for r in readings])
    if Outcome.STALE_ERROR in outcomes:
        return Hit(ttl_s=ttl_s, detail="stale-if-error")
    if Outcome.MISS in outcomes or Outcome.COALESCED in outcomes:
        missed = [r for r in readings if r.tier is Tier.UPSTREAM]
        return Forward(
            Forwarded.URI_MISS,
            status=max(r.entry.status for r in missed),
            stored=all(r.stored for r in missed),
            collapsed=any(r.outcome is Outcome.COALESCED for r in missed),
        )
    if Outcome.STALE not in outcomes:
        # The end of its token, or of what is known of it, ends an answer sooner than its parts.
        ttl_s = min(ttl_s, finished.fresh_until - now)
    return Hit(ttl_s=ttl_s, detail=max([reading.tier.value for reading in readings]))


def _label(readings: Sequence[Reading]) -> str:
    if not readings:
        return exchanges.FINISHED
    return " ".join([f"{r.resource.name}={r.outcome.value}:{r.tier.value}" for r in readings])
