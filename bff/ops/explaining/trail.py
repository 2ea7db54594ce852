"""What this process decided for its latest requests to cached routes, by request id.

Kept are names, digests and ages: no token, no document, nothing of a query but the shape, and that
is told only where it is made of field names.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import Final, Protocol

from bff.cache.decide import Verdict
from bff.cache.keys import Address, Container, Scope
from bff.cache.tiered import Tier
from bff.clock import Clock
from bff.edge.exchange import FINISHED, Exchange, space_name
from bff.edge.hot_answer import Reported, Served
from bff.edge.respond import RepresentationKey
from bff.errors import RequestError
from bff.observe.journal import tellable
from bff.resources import TABLE
from bff.session.examine import Rule
from bff.session.reading import Outcome, Part
from bff.spaces import Space

KEPT: Final = 2_000
"""Requests of tokens that were served; the latest, and besides the parts of `_ROOM`."""
LATEST: Final = 250
"""Of whomever, before it is asked what became of them."""
MOST_UNANSWERED: Final = 2_000
PROBLEMS: Final = 200
STRANGERS: Final = 100
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
_Sentence = tuple[frozenset[Outcome], str, Rule]
_SENTENCES: Final[tuple[_Sentence, ...]] = (
    (
        frozenset({Outcome.STALE_ERROR}),
        "Nexudus failed, or did not answer in time, and what was kept stood in",
        Rule.FRESHNESS,
    ),
    (frozenset({Outcome.MISS}), "Nexudus was asked", Rule.STORABLE),
    (frozenset({Outcome.COALESCED}), "The call of another request was waited for", Rule.FLIGHTS),
)
_REFRESHED: Final[_Sentence] = (
    frozenset({Outcome.STALE}),
    "Something stale was served, and fetched anew behind it unless refreshes were paused or too "
    "many were under way",
    Rule.FRESHNESS,
)
_PAUSED: Final[_Sentence] = (
    frozenset({Outcome.STALE}),
    "Something stale was served, and not fetched anew behind it: operators had paused refreshes",
    Rule.FRESHNESS,
)

_Step = tuple[float, Exchange, str, str, str, str, bool]
"""UTC seconds, the exchange (which goes on to be written while it is answered), the token's digest,
shape, variant, encoding, and whether refreshes were paused. A plain tuple: one is made for each
request."""
_Steps = OrderedDict[str, _Step]
# Of a plain dict, the first key is the slower to find the more were deleted before it.

_About = tuple[RepresentationKey, Space | RequestError | None, str, tuple[Part, ...], int, bool]
_Hot = tuple[_About, Served]
"""What several answers have in common (whose, of which space, how, made of what, bytes, whether
refreshes were paused), and one of them."""

_Kind = tuple[bool, bool]
"""Whether the token was served, by this answer or one before it, and whether this one failed."""
_ROOM: Final[Mapping[_Kind, int]] = MappingProxyType(
    {
        (True, False): KEPT - LATEST,
        (True, True): PROBLEMS,
        (False, False): STRANGERS,
        (False, True): PROBLEMS,
    }
)
"""Nobody with an invented token pushes a member's request out, nor what went well what did not."""


class Elsewhere(Protocol):
    """The other processes of the fleet."""

    async def ask(self, request_id: str) -> dict[str, object] | None:
        """What the one that served a request tells of it; None if none does in time."""
        ...


class Trail:
    """Of one process. `process`: its name in the fleet.

    `is_per_token(space)`: whether the space's related lists are kept for each token. `is_paused`:
    whether operators have paused refreshes.
    """

    def __init__(
        self,
        clock: Clock,
        process: str = "",
        is_per_token: Callable[[str], bool] = lambda _: False,
        is_paused: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock = clock
        self._process = process
        self._is_per_token = is_per_token
        self._is_paused = is_paused
        self._latest = _Steps()
        self._over: Mapping[_Kind, _Steps] = {kind: _Steps() for kind in _ROOM}
        self._served: OrderedDict[str, None] = OrderedDict()
        self._hot: deque[_Hot] = deque(maxlen=KEPT)
        self.settle: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._latest) + sum(map(len, self._over.values())) + len(self._hot)

    def asked(self, exchange: Exchange, key: RepresentationKey) -> None:
        """A request was understood. Called for each: it does no more than it must."""
        latest, name = self._latest, exchange.request_id
        at, paused = self._clock.wall(), self._is_paused()
        repeated = name in latest
        latest[name] = (at, exchange, key.digest, key.shape, key.variant, key.encoding, paused)
        if repeated:
            latest.move_to_end(name)  # a client that repeats an id means its latest request
        elif len(latest) > LATEST:
            self._sort()

    def served(self, answer: Reported, served: Sequence[Served]) -> None:
        """Requests were given a hot answer, which `asked` does not hear of."""
        key, own = answer.key, answer.setting
        about = (key, own.space, own.cache, answer.parts, answer.size, self._is_paused())
        self._hot.extend((about, one) for one in served[-KEPT:])
        self._remember(key.digest)

    def told(self, request_id: str) -> dict[str, object] | None:
        """All that is known of a request, as JSON; None if this process does not remember it."""
        self.settle()
        kept = (steps.get(request_id) for steps in (self._latest, *self._over.values()))
        hot = (_step_of(*each) for each in self._hot if each[1][2] == request_id)
        found = [step for step in (*kept, *hot) if step is not None]
        return self._as_json(request_id, max(found, key=itemgetter(0))) if found else None

    def _as_json(self, request_id: str, step: _Step) -> dict[str, object]:
        at, exchange, digest, shape, variant, encoding, paused = step
        rule, sentence = _decided(exchange, at, paused=paused)
        return {
            "request_id": request_id,
            "process": self._process,
            "at": at,
            "space": space_name(exchange),
            "route": exchange.route,
            "digest": digest,
            "shape": tellable(shape),
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

    def _sort(self) -> None:
        """Of the latest, put those away that came first and were answered.

        Two at a time while one comes in: those that are being answered go to the end once more.
        """
        for _ in range(2):
            if len(self._latest) <= LATEST:
                return
            name, step = self._latest.popitem(last=False)
            if _is_over(step[1]) or len(self._latest) >= MOST_UNANSWERED:
                self._put_away(name, step)
            else:
                self._latest[name] = step

    def _put_away(self, name: str, step: _Step) -> None:
        exchange, digest, served = step[1], step[2], self._served
        if exchange.parts:
            self._remember(digest)
        for steps in self._over.values():
            steps.pop(name, None)
        kind = (digest in served, exchange.status >= 500)
        steps = self._over[kind]
        steps[name] = step
        if len(steps) > _ROOM[kind]:
            steps.popitem(last=False)

    def _remember(self, digest: str) -> None:
        """A token was served."""
        served = self._served
        served[digest] = None
        served.move_to_end(digest)
        if len(served) > KEPT:
            served.popitem(last=False)

    def _document(self, step: _Step, part: Part) -> dict[str, object]:
        at, exchange, digest, _, variant, *_ = step
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


def _step_of(about: _About, one: Served) -> _Step:
    """A hot answer, as if it had gone the usual way."""
    key, space, cache, parts, size, paused = about
    at, took_s, name, _, modified = one
    exchange = Exchange(
        name, 0.0, space, key.route, cache, counted=True, parts=parts,
        status=200 if modified else 304, bytes_down=size if modified else 0,
        timings_ms={"total": took_s * 1000},
    )  # fmt: skip
    return at, exchange, key.digest, key.shape, key.variant, key.encoding, paused


def _is_over(exchange: Exchange) -> bool:
    """Whether it was answered, or its client went away."""
    return exchange.counted or exchange.status > 0


def _decided(exchange: Exchange, at: float, *, paused: bool) -> tuple[Rule | None, str]:
    """The rule, if one did, and the sentence."""
    if not exchange.status:
        went = "Its client went away before it was answered."
        return None, went if _is_over(exchange) else "It is still being answered."
    if exchange.cache == REFUSED:
        how = "itself answered" if exchange.status >= 500 else "refused it with"
        told = f"Nexudus {how} {exchange.status}, which was passed on and not stored"
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
    for among, told, rule in (*_SENTENCES, _PAUSED if paused else _REFRESHED):
        if outcomes & among:
            return rule, _cited(told, rule)
    told = f"All of it was fresh, the oldest part {age_s:.0f} s old"
    return Rule.FRESHNESS, _cited(told, Rule.FRESHNESS)


def _cited(sentence: str, rule: Rule) -> str:
    place = f"cache rule {rule.value}" if rule else "the table of freshness"
    return f"{sentence} ({place})."
