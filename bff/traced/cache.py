"""The two tiers: a span for each look for documents, and for each time some are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bff.cache.store import Release
from bff.cache.tiered import Fill, Findings, Found, Kept, Seen, Ticket, TieredCache, Want
from bff.observe.tracing import Attributes, Tracer


class TracedCache(TieredCache):
    """Spans `cache.find` and `cache.keep`: resources and tiers, never keys or documents."""

    tracer: Tracer

    async def find(self, space: str, wants: Sequence[Want], seen: Seen | None = None) -> Findings:
        if seen is not None and self.holds(seen) and seen.of(wants) is not None:
            return await super().find(space, wants, seen)  # the survey has a span
        with self.tracer.step("cache.find", _of(space, wants)) as span:
            findings = await super().find(space, wants, seen)
            span.tell(_found(findings.values))
            return findings

    async def look(self, space: str, wants: Sequence[Want]) -> Findings:
        with self.tracer.step("cache.find", _of(space, wants)) as span:
            findings = await super().look(space, wants)
            span.tell(_found(findings.values))
            return findings

    async def keep(
        self,
        ticket: Ticket,
        fills: Sequence[Fill],
        keep_s: float,
        release: Release | None = None,
        under_way: Callable[[], None] = lambda: None,
    ) -> Kept:
        wants = [fill.want for fill in fills]
        space = wants[0].address.container.space
        with self.tracer.step("cache.keep", _of(space, wants)) as span:
            kept = await super().keep(ticket, fills, keep_s, release, under_way)
            span.tell({"bff.outcome": kept.value})
            return kept


def _of(space: str, wants: Sequence[Want]) -> Attributes:
    return {"bff.space": space, "bff.resources": [want.address.resource for want in wants]}


def _found(values: Sequence[Found | None]) -> Attributes:
    """The tier of each, in the order of the resources, and the outcome of all."""
    missing = sum(found is None for found in values)
    outcome = "hit" if not missing else "miss" if missing == len(values) else "partial"
    return {"bff.tiers": [_tier(found) for found in values], "bff.outcome": outcome}


def _tier(found: Found | None) -> str:
    if found is None:
        return "none"
    return "stand_in" if found.stands_in else found.tier.value
