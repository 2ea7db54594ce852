"""How a flight of another process ended: all that is said of it between processes.

No document and no text of Nexudus travels with it. A document is looked for in the store, whose
seals and generations decide who may have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

from bff.errors import Overloaded, UnusableAnswer, UpstreamDown, UpstreamError, UpstreamTimeout

THROTTLED: Final = frozenset({409, 429})
MAX_RETRY_AFTER_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Stored:
    """The document is in the store: look there."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing that concerns others came of it: look, then claim."""


@dataclass(frozen=True, slots=True)
class Unshared:
    """Nexudus' answer is for its own caller alone: all others call at once, not one by one."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Nexudus failed somebody who waited: with `error`, the name of an UpstreamError, or `status`.

    `status`: what Nexudus answered (409, 429, 5xx), or 0. `retry_after_s`: seconds, if known.
    """

    error: str = ""
    status: int = 0
    retry_after_s: int | None = None

    @classmethod
    def of(cls, error: UpstreamError) -> Failed:
        """What others learn of an error: not its message."""
        return cls(type(error).__name__, retry_after_s=error.retry_after_s)

    def as_error(self) -> UpstreamError:
        """The like of it, for callers of this process."""
        kind, sentence = _ERRORS.get(self.error, _ERRORS[UpstreamDown.__name__])
        if self.status in THROTTLED:
            kind, sentence = _ERRORS[Overloaded.__name__]
        return kind(sentence, retry_after_s=self.retry_after_s)


Ending = Stored | Nothing | Unshared | Failed

_ERRORS: Final[dict[str, tuple[type[UpstreamError], str]]] = {
    kind.__name__: (kind, sentence)
    for kind, sentence in (
        (UnusableAnswer, "Nexudus gave another caller, who asked the same, no usable answer."),
        (UpstreamDown, "Nexudus could not be reached for another caller, who asked the same."),
        (UpstreamTimeout, "Nexudus did not answer another caller, who asked the same, in time."),
        (Overloaded, "No call to Nexudus could be made in time for this document."),
    )
}


def encode(ending: Ending) -> dict[str, object]:
    """As members of a JSON object."""
    match ending:
        case Stored():
            return {"end": "stored"}
        case Nothing():
            return {"end": "nothing"}
        case Unshared():
            return {"end": "unshared"}
        case Failed(error, status, retry_after_s):
            return {"end": "failed", "error": error, "status": status, "after_s": retry_after_s}
        case _:
            assert_never(ending)


def decode(members: dict[str, object]) -> Ending:
    """Its inverse. Of what no process of this version says, nothing is believed: Nothing."""
    match members:
        case {"end": "stored"}:
            return Stored()
        case {"end": "unshared"}:
            return Unshared()
        case {"end": "failed", "error": str(error), "status": int(status)} if (
            error in _ERRORS or 400 <= status < 600
        ):
            return Failed(error, status, _seconds(members.get("after_s")))
        case _:
            return Nothing()


def _seconds(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= MAX_RETRY_AFTER_S else None
