"""From an answer of Nexudus to what may be stored, or to what is passed on. Pure."""

from __future__ import annotations

import codecs
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Final

import orjson

from bff.cache.entry import Entry
from bff.cache.keys import Scope
from bff.cache.memory import compact
from bff.errors import UnusableAnswer
from bff.nexudus.answers import Answer
from bff.resources import Resource

THROTTLED = frozenset({409, 429})
MAX_CONTENT_TYPE = 255
_ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\."
)
_REPLACEMENT: Final = rb"\ufffd"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of Nexudus that is passed on and never stored: as it is, or `for_others`."""

    answer: Answer

    @property
    def status(self) -> int:
        """Nexudus' own status."""
        return self.answer.status

    @property
    def is_failure(self) -> bool:
        """Whether Nexudus failed, so that a stale answer may stand in; 401 and 403 never do."""
        return self.status in THROTTLED or self.status >= 500

    def for_others(self) -> Refusal:
        """What callers with another token are told: the status, and when to come back."""
        kept = tuple(pair for pair in self.answer.headers if pair[0] == b"retry-after")
        return Refusal(replace(self.answer, headers=kept, body=b""))


@dataclass(frozen=True, slots=True)
class Good:
    """An answer that is served; `storable` unless Nexudus or its content forbids keeping it.

    `document`: parsed, as its caller sees it; None where nothing was.
    """

    entry: Entry
    document: object = field(repr=False)
    storable: bool


def interpret(
    resource: Resource, answer: Answer, *, ident: str, token: str, fetched_at: float
) -> Good | Refusal:
    """Raises UnusableAnswer for what is neither an error nor a 200 with JSON of the right form."""
    keepable = not (answer.no_store or answer.set_cookie)
    if answer.status in resource.negative:
        entry = Entry(
            status=answer.status,
            body=answer.body,
            fetched_at=fetched_at,
            tags=resource.tags_for(None, ident),
            content_type=_content_type(answer),
        )
        return Good(entry, None, keepable and _keeps_no_token(entry.body, token))
    if not 200 <= answer.status < 300 and answer.status != 304:  # nobody asked conditionally
        return Refusal(answer)
    document = parsed(resource, answer)
    body, secret_at = _without_token(resource, document, token)
    entry = Entry(
        status=200,
        body=body,
        fetched_at=fetched_at,
        tags=resource.tags_for(document, ident),
        secret_at=secret_at,
    )
    shared_safe = resource.scope is Scope.TOKEN or b'"AccessToken"' not in body
    return Good(entry, document, keepable and shared_safe and _keeps_no_token(body, token))


def parsed(resource: Resource, answer: Answer) -> object:
    """The document of a successful answer. Raises UnusableAnswer."""
    if answer.status != 200:
        raise UnusableAnswer(f"Nexudus answered {resource.name} with {answer.status}, not 200.")
    # Some .NET writers begin with a byte order mark, which readers may ignore (RFC 8259 8.1).
    body = answer.body.removeprefix(codecs.BOM_UTF8)
    try:
        document: object = _read(body)
    except ValueError:
        raise UnusableAnswer(f"Nexudus answered {resource.name} with 200 but no JSON.") from None
    if not resource.accepts(document):
        raise UnusableAnswer(
            f"Nexudus answered {resource.name} with 200 and JSON of another form than documented."
        )
    return document


def _read(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except ValueError:
        # Half of a character, such as a name that was cut within an emoji: JSON may say it (RFC
        # 8259 8.2), browsers read it, and a member should not be without a session for it.
        whole = _ESCAPE.sub(lambda m: _REPLACEMENT if m["half"] else m[0], body)
        if whole == body:
            raise
        return orjson.loads(whole)


def _without_token(resource: Resource, document: object, token: str) -> tuple[bytes, int | None]:
    """The body with the member that mirrors the token cut out, and where it was.

    In the document it is the caller's own from then on, whatever Nexudus wrote there.
    """
    if resource.secret is None:
        return _written(resource, document), None
    parent = document
    for name in resource.secret[:-1]:
        parent = parent.get(name) if isinstance(parent, dict) else None
    last = resource.secret[-1]
    if not isinstance(parent, dict) or not isinstance(parent.get(last), str):
        return _written(resource, document), None
    # A random mark, so that no text of the document can be mistaken for the place.
    mark = secrets.token_hex(16)
    parent[last] = mark
    marked = _written(resource, document)
    parent[last] = token
    quoted = b'"' + mark.encode() + b'"'
    at = marked.index(quoted)
    return marked[:at] + marked[at + len(quoted) :], at


def _written(resource: Resource, document: object) -> bytes:
    try:
        return compact(orjson.dumps(document))
    except orjson.JSONEncodeError:  # it reads deeper documents than it writes
        raise UnusableAnswer(f"Nexudus' answer to {resource.name} is nested too deep.") from None


def _keeps_no_token(body: bytes, token: str) -> bool:
    """A body that repeats the caller's token somewhere else is served, never stored."""
    return token.encode() not in body


def _content_type(answer: Answer) -> str:
    for name, value in answer.headers:
        if name == b"content-type" and len(value) <= MAX_CONTENT_TYPE:
            return value.decode("latin-1")
    return ""
