"""The refusals: each problem type of the catalogue, and Nexudus' own errors, passed on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

import orjson

from bff.edge.openapi.notation import Json, media, ref, refs
from bff.edge.problems import PROBLEMS, Problem, ProblemType
from bff.errors import BffError

EXAMPLE_REQUEST_ID: Final = "5f3a1c0e9b7d4e2f8a6b4c2d0e1f3a5b"
NEXUDUS: Final = "nexudus"
"""The component for what Nexudus refuses itself."""

_PROBLEM_JSON: Final = "application/problem+json"
_OF_STATUS: Final[Mapping[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    503: ("Retry-After",),
}


def responses() -> Json:
    """`components.responses`: one for each problem type, and Nexudus' own refusal."""
    return {**{kind.slug: _told((kind,)) for kind in PROBLEMS}, NEXUDUS: _passed_on()}


def examples() -> Json:
    """A document of each problem type, as it is really sent."""
    return {kind.slug: _example(kind) for kind in PROBLEMS}


def refusals(*causes: type[BffError], nexudus: Iterable[int] = ()) -> Json:
    """Responses by status for what a route may raise, descendants of `causes` included.

    `nexudus`: the statuses with which Nexudus may refuse as well, or alone.
    """
    by_status: dict[int, list[ProblemType]] = {status: [] for status in nexudus}
    upstream = frozenset(by_status)
    for kind in PROBLEMS:
        if kind.cause is not None and issubclass(kind.cause, causes):
            by_status.setdefault(kind.status, []).append(kind)
    return {
        str(status): _refusal(kinds, by_nexudus=status in upstream)
        for status, kinds in sorted(by_status.items())
    }


def _refusal(kinds: Sequence[ProblemType], *, by_nexudus: bool) -> Json:
    if not kinds:
        return ref("responses", NEXUDUS)
    if by_nexudus:
        return _told_or_passed_on(kinds)
    return ref("responses", kinds[0].slug) if len(kinds) == 1 else _told(kinds)


def _told(kinds: Sequence[ProblemType]) -> Json:
    special = _OF_STATUS.get(kinds[0].status, ())
    return {
        "description": "\n\n".join(f"{kind.title}. {kind.remedy}" for kind in kinds),
        "headers": {
            "Cache-Control": ref("headers", "No-Store"),
            "Vary": ref("headers", "Problem-Vary"),
            **refs("headers", ("X-Request-Id", *special)),
        },
        "content": media(_PROBLEM_JSON, _schema(kinds), [kind.slug for kind in kinds]),
    }


def _passed_on() -> Json:
    return {
        "description": "Nexudus' own refusal: its body, unless it is shared between members, and "
        "its `Retry-After`.",
        "headers": _perhaps("Retry-After"),
        "content": media("*/*", {}),
    }


def _told_or_passed_on(kinds: Sequence[ProblemType]) -> Json:
    told = _told(kinds)
    return {
        "description": f"{told['description']}\n\nOr Nexudus' own refusal, unchanged, which is "
        f"not `{_PROBLEM_JSON}`.",
        "headers": _perhaps(*_OF_STATUS.get(kinds[0].status, ())),
        "content": {
            **media(_PROBLEM_JSON, _schema(kinds), [kind.slug for kind in kinds]),
            **media("*/*", {}),
        },
    }


def _perhaps(*names: str) -> Json:
    """Headers of an answer that may be Nexudus', which promises none of these."""
    promised = refs("headers", ("X-Request-Id",))
    return {**promised, **{name: ref("headers", f"Nexudus-{name}") for name in names}}


def _schema(kinds: Sequence[ProblemType]) -> Json:
    exactly: Json = {
        "type": {"enum": [kind.uri for kind in kinds]},
        "status": {"const": kinds[0].status},
    }
    return {"allOf": [ref("schemas", "Problem")], "properties": exactly}


def _example(kind: ProblemType) -> Json:
    document: object = orjson.loads(Problem(kind, kind.remedy, EXAMPLE_REQUEST_ID).body())
    status = HTTPStatus(kind.status)
    return {"summary": f"{status.value} {status.phrase}", "value": document}
