"""What this process decided for its latest requests to cached routes, by request id.

Kept are names, digests and ages: no token, no document, nothing of a query but the shape.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from bff.cache.decide import Verdict
from bff.cache.keys import Address, Container, Scope
from bff.cache.tiered import Tier
from bff.clock import Clock
from bff.edge.exchange import Exchange, space_name
from bff.edge.respond import RepresentationKey
from bff.resources import TABLE
from bff.session.examine import Rule
from bff.session.reading import Outcome, Part

KEPT: Final = 2_000
SHAPE_TEXT: Final = 200
FINISHED: Final = "hit:l1"
"""How an exchange says that it was answered from finished bytes."""
REFUSED: Final = "refused"

_SCOPES: Final[Mapping[str, Scope]] = MappingProxyType({row.name: row.scope for row in TABLE})
_VERDICTS: Final[Mapping[Outcome, str]] = MappingProxyType(
    {
        Outcome.HIT: Verdict.FRESH.name.lower(),
        Outcome.STALE: Verdict.STALE.name.lower(),
        Outcome.STALE_ERROR: Verdict.LAPSED.name.lower(),
        Outcome.MISS: "fetched",
        Outcome.COALESCED: "fetched",
    }
)
_SENTENCES: Final[tuple[tuple[frozenset[Outcome], str, Rule], ...]] = (
    (
        frozenset({Outcome.STALE_ERROR}),
        "Nexudus failed, or did not answer in time, and what was kept stood in",
        Rule.FRESHNESS,
    ),
    (frozenset({Outcome.MISS}), "Nexudus was asked", Rule.STORABLE),
    (frozenset({Outcome.COALESCED}), "The call of another request was waited for", Rule.FLIGHTS),
    (
        frozenset({Outcome.STALE}),
        "Something stale was served, and fetched anew behind it",
        Rule.FRESHNESS,
    ),
)

_Step = tuple[float, Exchange, str, str, str, str]
"""UTC seconds, the exchange (which goes on to be written while it is answered), the token's digest,
shape, variant and encoding. A plain tuple: one is made for each request."""


class Elsewhere(Protocol):
    """The other processes of the fleet."""

    async def ask(self, request_id: str) -> dict[str, object] | None:
        """What the one that served a request tells of it; None if none does in time."""
        ...


class Alone:
    """There is no other process."""

    async def ask(self, request_id: str) -> dict[str, object] | None:
        del request_id
        return None


class Trail:
    """Of one process. `process`: its name in the fleet.

    `is_per_token(space)`: whether the space's related lists are kept for each token.
    """

    def __init__(
        self,
        clock: Clock,
        process: str = "",
        is_per_token: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._clock = clock
        self._process = process
        self._is_per_token = is_per_token
        # Of a plain dict, the first key is the slower to find the more were deleted before it.
        self._steps: OrderedDict[str, _Step] = OrderedDict()

    def __len__(self) -> int:
        return len(self._steps)

    def asked(self, exchange: Exchange, key: RepresentationKey) -> None:
        """A request was understood. Called for each: it does no more than it must."""
        steps, name = self._steps, exchange.request_id
        at, shape = self._clock.wall(), key.shape[:SHAPE_TEXT]
        repeated = name in steps
        steps[name] = (at, exchange, key.digest, shape, key.variant, key.encoding)
        if repeated:
            steps.move_to_end(name)  # a client that repeats an id means its latest request
        elif len(steps) > KEPT:
            steps.popitem(last=False)

    def told(self, request_id: str) -> dict[str, object] | None:
        """All that is known of a request, as JSON; None if this process does not remember it."""
        step = self._steps.get(request_id)
        if step is None:
            return None
        at, exchange, digest, shape, variant, encoding = step
        rule, sentence = _decided(exchange, at)
        return {
            "request_id": request_id,
            "process": self._process,
            "at": at,
            "space": space_name(exchange),
            "route": exchange.route,
            "digest": digest,
            "shape": shape,
            "variant": variant,
            "encoding": str(encoding),
            "status": exchange.status,
            "cache": exchange.cache,
            "problem": exchange.problem,
            "ms": exchange.timings_ms.get("total"),
            "documents": [self._document(step, part) for part in exchange.parts],
            "rule": None if rule is None else rule.value,
            "sentence": sentence,
        }

    def _document(self, step: _Step, part: Part) -> dict[str, object]:
        at, exchange, digest, _, variant, _ = step
        outcome, tier = part.outcome, part.tier
        if exchange.cache == FINISHED:  # how it was made is how an earlier request was answered
            outcome, tier = Outcome.HIT, Tier.L1
        space, scope = space_name(exchange), _SCOPES[part.resource]
        own = scope is Scope.TOKEN or self._is_per_token(space)
        container = (
            Container(space, Scope.TOKEN, digest) if own else Container(space, scope, part.ident)
        )
        return {
            "resource": part.resource,
            "ident": part.ident,
            "key": Address(container, part.resource, part.ident, variant).text,
            "outcome": outcome.value,
            "tier": tier.value,
            "verdict": _VERDICTS[outcome],
            "status": part.status,
            "fetched_at": part.fetched_at,
            "age_s": max(0.0, round(at - part.fetched_at, 3)),
        }


def _decided(exchange: Exchange, at: float) -> tuple[Rule | None, str]:
    """The rule, if one did, and the sentence."""
    if not exchange.status:
        return None, "It is still being answered."
    if exchange.cache == REFUSED:
        told = f"Nexudus refused it with {exchange.status}, which was passed on and not stored"
        return Rule.STORABLE, _cited(told, Rule.STORABLE)
    if not exchange.parts:
        problem = f" ({exchange.problem})" if exchange.problem else ""
        return None, f"It was answered {exchange.status}{problem}: nothing could be served."
    age_s = max(0.0, at - min(part.fetched_at for part in exchange.parts))
    if exchange.cache == FINISHED:
        told = (
            f"It was served from finished bytes in process, {age_s:.0f} s after they were fetched"
        )
        return Rule.TIERS, _cited(told, Rule.TIERS)
    outcomes = {part.outcome for part in exchange.parts}
    for among, told, rule in _SENTENCES:
        if outcomes & among:
            return rule, _cited(told, rule)
    told = f"All of it was fresh, the oldest part {age_s:.0f} s old"
    return Rule.FRESHNESS, _cited(told, Rule.FRESHNESS)


def _cited(sentence: str, rule: Rule) -> str:
    place = f"cache rule {rule.value}" if rule else "the table of freshness"
    return f"{sentence} ({place})."
