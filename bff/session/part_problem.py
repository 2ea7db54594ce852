"""Why a part of the bootstrap is missing, in words and as a status."""

from __future__ import annotations

from dataclasses import dataclass

from bff.errors import Overloaded, UnusableAnswer, UpstreamDown, UpstreamError, UpstreamTimeout

_REASONS: tuple[tuple[type[UpstreamError], int, str], ...] = (
    (UnusableAnswer, 502, "Nexudus answered, but not with the JSON that it documents."),
    (UpstreamTimeout, 504, "Nexudus did not answer in time."),
    (Overloaded, 503, "The calls that Nexudus allows this space are spent for the moment."),
    (UpstreamDown, 503, "Nexudus could not be reached."),
)


@dataclass(frozen=True, slots=True)
class PartProblem:
    """Why a part is missing: constant text, so that the document has a stable validator."""

    part: str
    status: int
    reason: str

    def as_json(self) -> dict[str, object]:
        """Its form in `Bootstrap.Problems`."""
        return {"Part": self.part, "Status": self.status, "Reason": self.reason}

    @classmethod
    def of(cls, part: str, error: UpstreamError) -> PartProblem:
        """Of a part that could not be had. Raises any error that has no sentence here."""
        for kind, status, reason in _REASONS:
            if isinstance(error, kind):
                return cls(part, status, reason)
        raise error
