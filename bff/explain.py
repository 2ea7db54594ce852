"""`bff explain`: what the cache would do with a request, or did, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bff.operating import Told, ask
from bff.terminal import CommandFailed

PATH: Final = "/ops/api/explain"
_OWN: Final = "own"
"""How the gateway says that a request is about itself."""
_FINISHED: Final = {
    "none": "none is kept",
    "over": "one is kept, and its time is over",
    "not trusted": "one is kept, and not trusted while invalidations are not heard",
}
_RULES: Final = "docs/architecture.md#cache-rules"


def explain(origin: str, ops_token: str, asked: Mapping[str, object]) -> dict[str, object]:
    """What the gateway at `origin` (a URL) tells of `asked`. Raises CommandFailed."""
    return ask(origin, ops_token, PATH, asked)


def question(target: str, headers: Iterable[str], token: str) -> dict[str, object]:
    """What is asked about a URL or a path; `token` only without an Authorization header.

    `headers`: `Name: value`, as in curl's -H. Raises CommandFailed, which repeats no value.
    """
    given: dict[str, str] = {}
    for text in headers:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise CommandFailed("A header is given as -H 'Name: value'.")
        given[name.strip().lower()] = value.strip()
    if token:
        given.setdefault("authorization", f"Bearer {token}")
    return {"path" if target.startswith("/") else "url": target, "headers": given}


@dataclass(frozen=True, slots=True)
class Rows:
    """A table among the lines."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def show(told: Mapping[str, object]) -> Iterator[str | Rows]:
    """What is told of one request, in words."""
    answer = Told(told)
    if answer.text("request_id"):
        yield from _served(answer)
    else:
        yield from _foreseen(answer)


def _served(told: Told) -> Iterator[str | Rows]:
    problem = f" ({told.text('problem')})" if told.text("problem") else ""
    took_ms = told.number("ms")
    took = "" if took_ms is None else f" in {took_ms:.1f} ms"
    yield f"{told.text('request_id')}: {told.text('status')}{problem}{took}"
    yield told.text("sentence")
    yield _of({**_facts(told, "route", "space", "digest", "shape", "variant", "encoding")})
    yield _of(_facts(told, "process", "cache"))
    rows = [
        (
            *(each.text(name) for name in ("resource", "outcome", "tier", "verdict")),
            _seconds(each.number("age_s")),
            each.text("key"),
        )
        for each in told.parts("documents")
    ]
    if rows:
        yield Rows(("document", "outcome", "tier", "verdict", "age", "key"), rows)


def _foreseen(told: Told) -> Iterator[str | Rows]:
    request, answer = told.part("request"), told.part("answer")
    who = "the gateway itself" if request.text("route") == _OWN else "Nexudus"
    status = answer.text("status") or f"as {who} answers"
    yield f"{request.text('method')} {request.text('path')}: {status}"
    yield answer.text("sentence")
    if answer.text("rule_text"):
        yield f"Rule: {answer.text('rule_text').rstrip('.')} ({_RULES})"
    yield _of(_facts(request, "route", "space", "digest"))
    shape = "shape_name" if request.text("shape_name") else "shape"
    yield _of(_facts(request, shape, "variant", "encoding"))
    rows = [row for each in told.parts("documents") for row in _looked_at(each)]
    if rows:
        headings = ("document", "tier", "verdict", "age", "left: fresh", "stale", "error", "key")
        yield Rows(headings, rows)
    for each in told.parts("documents"):
        yield f"{each.text('resource')}: {each.text('plan_text')}, for {each.text('why')}"
        yield from _drops(each)
    yield from _surroundings(told)


def _looked_at(document: Told) -> Iterator[Sequence[str]]:
    for each in document.parts("looked_at"):
        windows = each.part("windows")
        left = [_seconds(windows.part(n).number("left_s")) for n in ("fresh", "stale", "error")]
        tier = each.text("tier")
        if tier == "none":
            tier = f"none ({each.part('stored').text('state')})"
        yield (
            each.text("resource"), tier, each.text("verdict"), _seconds(each.number("age_s")),
            *left, each.text("key"),
        )  # fmt: skip


def _drops(document: Told) -> Iterator[str]:
    for each in document.parts("looked_at"):
        stored = each.part("stored")
        for tag in stored.parts("tags"):
            if tag.flag("drops"):
                known = tag.text("generation") or "lost"
                yield (
                    f"  {tag.text('tag')}: dropped at stamp {known}, fetched at "
                    f"{stored.text('stamp')}"
                )


def _surroundings(told: Told) -> Iterator[str]:
    space, finished = told.part("space"), told.part("finished").text("state")
    if not space:
        return
    used = ", ".join(
        f"{each.text('used')} of {each.text('window')}{' writes' if each.flag('writes') else ''}"
        for each in space.parts("budget")
    )
    yield _of(
        {
            "Nexudus": f"breaker {space.text('breaker')}, budget {used or 'off'}",
            "related lists": space.text("related_lists"),
            "refreshes": "paused by operators" if space.flag("refreshes_paused") else "on",
            "Redis": told.part("process").text("redis"),
            "finished answer": _FINISHED.get(finished, finished),
        }
    )


def _facts(told: Told, *names: str) -> dict[str, str]:
    return {name.replace("_", " "): told.text(name) for name in names if told.text(name)}


def _of(facts: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in facts.items())


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    if value < 600:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 36_000 else f"{value / 3_600:.0f} h"
