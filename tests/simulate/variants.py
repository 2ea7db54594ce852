"""The gateway whole, and without each of its mechanisms in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to get through the day. `settings` differ from the defaults.

    `hint`: the apps say which profile they remember. `store`: the shared Redis is there.
    `coalescing`: misses of one key share one call. `warm`: the day before filled the store.
    """

    name: str
    gateway: bool = True
    settings: tuple[tuple[str, str], ...] = ()
    hint: bool = True
    store: bool = True
    coalescing: bool = True
    warm: bool = False


WITHOUT: Final = Variant("no gateway", gateway=False)
WHOLE: Final = Variant("gateway")
NO_REDIS: Final = Variant("without Redis", store=False)
NO_REDIS_TOLD: Final = Variant(
    "without Redis, told of two", settings=(("BFF_BUDGET_PROCESSES", "2"),), store=False
)

VARIANTS: Final = (
    WITHOUT,
    WHOLE,
    Variant("without in-process tier", settings=(("BFF_L1_BYTES", "0"),)),
    NO_REDIS,
    NO_REDIS_TOLD,
    Variant(
        "without stale answers",
        settings=(
            ("BFF_PROFILES_STALE_S", "0"),
            ("BFF_PROFILES_ERROR_S", "0"),
            ("BFF_RELATED_STALE_S", "0"),
            ("BFF_RELATED_ERROR_S", "0"),
        ),
    ),
    Variant("without hint", hint=False),
    Variant("without coalescing", coalescing=False),
    Variant("without budget", settings=(("BFF_BUDGET", "off"),)),
    Variant("day after, Redis kept", warm=True),
)
