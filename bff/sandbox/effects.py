"""What can be made to go wrong with an answer. Each is a JSON object with a `kind`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, assert_never

from pydantic import Field

from bff.sandbox.answers import HTML, JSON, LOGIN_PAGE
from bff.sandbox.forms import strict
from bff.sandbox.latency import Distribution, distribution_of

Moment = Literal["request", "answer"]
"""Before the request is carried out, or once it has been and its answer is ready."""


@strict
@dataclass(frozen=True, slots=True)
class Latency:
    """Waits `ms`: a number, a pair of bounds, or text as `distribution_of` reads it."""

    ms: float | tuple[float, float] | str
    at: Moment = "request"
    kind: Literal["latency"] = "latency"

    def __post_init__(self) -> None:
        distribution_of(self.ms)

    @property
    def distribution(self) -> Distribution:
        return distribution_of(self.ms)


@strict
@dataclass(frozen=True, slots=True)
class Hang:
    """Holds the request until it is released or its client leaves."""

    at: Moment = "answer"
    kind: Literal["hang"] = "hang"


@strict
@dataclass(frozen=True, slots=True)
class Status:
    """Answers with an error at once; nothing is carried out. 409 with `retry_after` throttles."""

    status: Annotated[int, Field(ge=200, le=599)]
    body: str = ""
    content_type: str = JSON
    retry_after: int | str | None = None
    kind: Literal["status"] = "status"


@strict
@dataclass(frozen=True, slots=True)
class Override:
    """Answers 200 with this body instead; nothing is carried out."""

    body: str
    content_type: str = JSON
    kind: Literal["override"] = "override"


@strict
@dataclass(frozen=True, slots=True)
class Html200:
    """Answers 200 with a log-in page; nothing is carried out."""

    kind: Literal["html200"] = "html200"


@strict
@dataclass(frozen=True, slots=True)
class Empty200:
    """Answers 200 with no body and no content type; nothing is carried out."""

    kind: Literal["empty200"] = "empty200"


@strict
@dataclass(frozen=True, slots=True)
class WrongForm:
    """Answers 200 with valid JSON of another form; nothing is carried out."""

    body: str = '{"Items":[],"Total":0}'
    kind: Literal["wrong_form"] = "wrong_form"


@strict
@dataclass(frozen=True, slots=True)
class Truncate:
    """Sends half of the body: `length` promises all of it, `json` promises what is sent."""

    mode: Literal["length", "json"] = "length"
    kind: Literal["truncate"] = "truncate"


@strict
@dataclass(frozen=True, slots=True)
class SetCookie:
    """Adds a cookie to the answer."""

    value: str = "ASP.NET_SessionId=sandbox; path=/; HttpOnly; SameSite=Lax"
    kind: Literal["set_cookie"] = "set_cookie"


@strict
@dataclass(frozen=True, slots=True)
class NoStore:
    """Forbids storing the answer."""

    value: str = "no-store"
    kind: Literal["no_store"] = "no_store"


@strict
@dataclass(frozen=True, slots=True)
class Reset:
    """Breaks the connection after so many body bytes, or half of them, but never at the end.

    An answer with less than two bytes of body has no middle: it becomes a 500.
    """

    after_bytes: Annotated[int, Field(ge=1)] | None = None
    kind: Literal["reset"] = "reset"


@strict
@dataclass(frozen=True, slots=True)
class SlowBody:
    """Sends the body at this speed."""

    bytes_per_second: Annotated[int, Field(ge=1)]
    kind: Literal["slow_body"] = "slow_body"


Delay = Latency | Hang
Reply = Status | Override | Html200 | Empty200 | WrongForm
Change = Truncate | SetCookie | NoStore | Reset | SlowBody
Effect = Annotated[Delay | Reply | Change, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Canned:
    """An answer that needs no application: its status, headers and body."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def canned(reply: Reply) -> Canned:
    """The whole answer that a replying effect stands for."""
    match reply:
        case Status():
            extra = () if reply.retry_after is None else (("Retry-After", str(reply.retry_after)),)
            return _canned(reply.status, reply.body.encode(), reply.content_type, extra)
        case Override() | WrongForm():
            content_type = reply.content_type if isinstance(reply, Override) else JSON
            return _canned(200, reply.body.encode(), content_type)
        case Html200():
            return _canned(200, LOGIN_PAGE, HTML)
        case Empty200():
            return _canned(200, b"", "")
        case _:
            assert_never(reply)


def _canned(
    status: int, body: bytes, content_type: str, extra: tuple[tuple[str, str], ...] = ()
) -> Canned:
    typed = (("Content-Type", content_type),) if body else ()
    headers = (*typed, ("Content-Length", str(len(body))), *extra)
    return Canned(
        status, tuple((name.lower().encode(), value.encode()) for name, value in headers), body
    )
