"""From an answer of Nexudus to what may be stored, or to what is passed on. Pure."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import orjson

from bff.cache.entry import Entry
from bff.cache.keys import Scope
from bff.errors import UnusableAnswer
from bff.nexudus.answers import Answer
from bff.resources import Resource

THROTTLED = frozenset({409, 429})


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of Nexudus that is passed on unchanged and never stored."""

    answer: Answer

    @property
    def status(self) -> int:
        """Nexudus' own status."""
        return self.answer.status

    @property
    def is_failure(self) -> bool:
        """Whether Nexudus failed, so that a stale answer may stand in; 401 and 403 never do."""
        return self.status in THROTTLED or self.status >= 500


@dataclass(frozen=True, slots=True)
class Good:
    """An answer that is served; `storable` unless Nexudus or its content forbids keeping it."""

    entry: Entry
    document: object
    storable: bool


def interpret(
    resource: Resource, answer: Answer, *, ident: str, token: str, fetched_at: float
) -> Good | Refusal:
    """Raises UnusableAnswer for a 200 that is not JSON of the resource's declared form."""
    keepable = not (answer.no_store or answer.set_cookie)
    if answer.status in resource.negative:
        entry = Entry(
            status=answer.status,
            body=answer.body,
            fetched_at=fetched_at,
            tags=resource.tags_for(None, ident),
            content_type=_content_type(answer),
        )
        return Good(entry, None, keepable and _keeps_no_token(answer.body, token))
    if answer.status != 200:
        return Refusal(answer)
    document = _parsed(resource, answer.body)
    body, secret_at = _without_token(resource, document)
    entry = Entry(
        status=200,
        body=body,
        fetched_at=fetched_at,
        tags=resource.tags_for(document, ident),
        secret_at=secret_at,
    )
    shared_safe = resource.scope is Scope.TOKEN or b'"AccessToken"' not in body
    return Good(entry, document, keepable and shared_safe and _keeps_no_token(body, token))


def _parsed(resource: Resource, body: bytes) -> object:
    try:
        document: object = orjson.loads(body)
    except ValueError:
        raise UnusableAnswer(f"Nexudus answered {resource.name} with 200 but no JSON.") from None
    if not resource.accepts(document):
        raise UnusableAnswer(
            f"Nexudus answered {resource.name} with 200 and JSON of another form than documented."
        )
    return document


def _without_token(resource: Resource, document: object) -> tuple[bytes, int | None]:
    """The body with the member that mirrors the token cut out, and where it was."""
    if resource.secret is None:
        return orjson.dumps(document), None
    parent = document
    for name in resource.secret[:-1]:
        parent = parent.get(name) if isinstance(parent, dict) else None
    last = resource.secret[-1]
    if not isinstance(parent, dict) or not isinstance(parent.get(last), str):
        return orjson.dumps(document), None
    # A random mark, so that no text of the document can be mistaken for the place.
    mark = secrets.token_hex(16)
    presented, parent[last] = parent[last], mark
    marked = orjson.dumps(document)
    parent[last] = presented
    quoted = b'"' + mark.encode() + b'"'
    at = marked.index(quoted)
    return marked[:at] + marked[at + len(quoted) :], at


def _keeps_no_token(body: bytes, token: str) -> bool:
    """A body that repeats the caller's token somewhere else is served, never stored."""
    return token.encode() not in body


def _content_type(answer: Answer) -> str:
    for name, value in answer.headers:
        if name.lower() == b"content-type":
            return value.decode("latin-1")
    return ""
