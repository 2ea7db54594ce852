"""Settings under which every call is made, once and at once."""

from __future__ import annotations

from typing import Final

PLAIN: Final = {
    "BFF_FRESHNESS_JITTER": "0",
    "BFF_BUDGET": "off",
    "BFF_RETRIES": "0",
    "BFF_BREAKER_FAILURES": "1000",
    "BFF_BREAKER_RATE": "1",
}
"""What spreads, spares or repeats calls is on only in the tests that are about it."""
