"""What whoever cannot have a call is told, and what it is counted as."""

from __future__ import annotations

import math
from typing import Final

from bff.errors import Overloaded, UpstreamError
from bff.nexudus.budget.contract import Standing

SPENT: Final = "The calls that Nexudus allows this space are spent for the moment."
PAUSED: Final = "Nexudus asked this space to pause its calls for the moment."
CLOSED: Final = "The gateway is shutting down."


def overloaded(message: str, wait_s: float) -> Overloaded:
    """To be raised; `Retry-After` in whole seconds, one at least."""
    return Overloaded(message, retry_after_s=max(1, math.ceil(wait_s)))


def reason_of(refusal: UpstreamError, standing: Standing) -> str:
    """Why a call was not made: `breaker`, `pause` where Nexudus asked for one, else `budget`."""
    if not isinstance(refusal, Overloaded):
        return "breaker"
    return "pause" if standing.paused_s > 0 else "budget"
