"""What was examined, as JSON: names, digests, ages; never a token, a document or a sealed value."""

from __future__ import annotations

from bff.cache.entry import Entry
from bff.cache.inspection import Sight, Stored
from bff.session.examine import Candidate, Examined, Window, Windows

Json = dict[str, object]


def document(examined: Examined, now: float) -> Json:
    """One document of an answer; `now`: UTC seconds."""
    return {
        "resource": examined.resource.name,
        "ident": examined.ident,
        "hinted": examined.hinted,
        "plan": examined.plan.name.lower(),
        "plan_text": examined.plan.value,
        "verdict": examined.verdict.name.lower(),
        "rule": examined.rule.value,
        "why": examined.why,
        "under_way_s": _rounded(examined.under_way_s),
        "looked_at": [_candidate(each, now) for each in examined.candidates],
    }


def _candidate(candidate: Candidate, now: float) -> Json:
    sight = candidate.sight
    found, address = sight.found, sight.want.address
    value = found.value if found else sight.stored.value
    entry = value if isinstance(value, Entry) else None
    return {
        "resource": candidate.resource,
        "key": sight.want.key,
        "container": address.container.label,
        "field": address.field,
        "tier": found.tier.value if found else "none",
        "stands_in": found is not None and found.stands_in,
        "verdict": candidate.verdict.name.lower(),
        "fetched_at": candidate.moment,
        "age_s": None if candidate.moment is None else _rounded(now - candidate.moment),
        "status": None if entry is None else entry.status,
        "bytes": None if entry is None else len(entry.body),
        "windows": None if candidate.windows is None else _windows(candidate.windows),
        "in_process": _copy(sight),
        "stored": _stored(sight.stored),
    }


def _windows(windows: Windows) -> Json:
    def told(window: Window) -> Json:
        return {"lasts_s": _rounded(window.lasts_s), "left_s": _rounded(max(0.0, window.left_s))}

    return {
        "fresh": told(windows.fresh),
        "stale": told(windows.stale),
        "error": told(windows.error),
    }


def _copy(sight: Sight) -> Json | None:
    copy = sight.copy
    if copy is None:
        return None
    return {
        "usable": copy.usable,
        "expires_s": _left(copy.expires_s),
        "stands_in_s": _left(copy.stands_in_s),
    }


def _stored(stored: Stored) -> Json:
    return {
        "state": stored.state.value,
        "stamp": stored.stamp,
        "lives_s": None if stored.lives_s is None else _rounded(stored.lives_s),
        "tags": [
            {"tag": each.tag, "generation": each.generation, "drops": each.drops}
            for each in stored.tags
        ],
    }


def _left(seconds: float) -> float:
    """Not negative; what never expired nor will (infinite) is not in either tier."""
    return _rounded(max(0.0, min(seconds, 1e9)))


def _rounded(seconds: float) -> float:
    return round(seconds, 3)
