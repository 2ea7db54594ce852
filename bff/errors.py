"""Every failure that the gateway names, in one tree.

BffError
├── SettingsError             the configuration has faults; all of them at once
├── RequestError              the caller can mend it (4xx)
│   ├── ShapeError            400  `_shape` is malformed or past a limit
│   ├── ParameterError        400  a query parameter is unknown, repeated or of the wrong form
│   ├── HeaderError           400  a header is repeated or malformed
│   ├── CredentialsError      401  a malformed or wrong bearer token
│   │   └── MissingCredentials 401  none at all
│   ├── RoleError             403  an operator whose role does not suffice
│   ├── TargetError           404  a path that is never forwarded (`..`, `%2f`, `//`, NUL)
│   ├── UnknownRequest        404  no process remembers the request that is to be explained
│   ├── RequestStalled        408  the request body stopped arriving
│   ├── BodyTooLarge          413  the request body passes BFF_MAX_BODY
│   └── UnknownHost           421  the Host names no configured space
├── UpstreamError             Nexudus could not be asked, or did not answer usefully
│   ├── UnusableAnswer        502  200 with HTML, nothing, truncated or wrong-formed JSON
│   ├── UpstreamDown          503  no connection, or it broke
│   ├── UpstreamTimeout       504  no answer within the deadline
│   └── Overloaded            503  the gateway sheds the call to protect itself or the space
└── StoreError                the shared cache could not be used; never reaches a member
    ├── StoreUnavailable      refused, timed out, read-only, out of memory
    └── EnvelopeError         a stored value is not what its key says: version, key, tag

Beside them, never shown to a caller, in `bff.nexudus`: ResponseCutError (an answer broke off after
it had started, so the connection is cut), ClientGoneError and ClientStalledError (the caller left,
or stopped reading).

`bff.edge.problems` maps every RequestError and UpstreamError to its problem document; a test fails
on one without a mapping.
"""

from __future__ import annotations

from dataclasses import dataclass


class BffError(Exception):
    """Root of the tree; never raised itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the configuration: the variable, what is wrong, what would be right."""

    variable: str
    reason: str
    example: str


class SettingsError(BffError):
    """All faults of the configuration, reported together."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        lines = [f"  {f.variable}: {f.reason} (for example {f.example})" for f in faults]
        super().__init__("the configuration has faults:\n" + "\n".join(lines))


class RequestError(BffError):
    """The caller can mend it. The message is shown to the caller: it holds no secret."""


class ShapeError(RequestError):
    """`_shape` is malformed, unknown or past a limit."""


class ParameterError(RequestError):
    """A query parameter is unknown, repeated or of the wrong form."""


class HeaderError(RequestError):
    """A request header is repeated or malformed."""


class CredentialsError(RequestError):
    """A malformed or wrong bearer token."""


class MissingCredentials(CredentialsError):
    """No bearer token; its challenge carries no error code (RFC 6750 §3.1)."""


class RoleError(RequestError):
    """An operator may not do this; the token is a right one."""


class TargetError(RequestError):
    """A request target that is never forwarded."""


class UnknownRequest(RequestError):
    """No process remembers a request that an operator asks about."""


class RequestStalled(RequestError):
    """The request body stopped arriving."""


class BodyTooLarge(RequestError):
    """The request body passes the configured limit."""


class UnknownHost(RequestError):
    """The Host header names no configured space."""


class UpstreamError(BffError):
    """Nexudus could not be asked or did not answer usefully; the message holds no secret."""

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnusableAnswer(UpstreamError):
    """A 200 whose body is HTML, empty, truncated, or JSON of another form."""


class UpstreamDown(UpstreamError):
    """No connection to Nexudus, or it broke before the answer was whole."""


class UpstreamTimeout(UpstreamError):
    """No answer within the deadline."""


class Overloaded(UpstreamError):
    """The gateway sheds this call to protect itself or the space's budget."""


class StoreError(BffError):
    """The shared cache could not be used; answered by going on without it."""


class StoreUnavailable(StoreError):
    """The store refused, timed out, is read-only or out of memory."""


class EnvelopeError(StoreError):
    """A stored value does not open under its own key: other version, other key, altered."""
