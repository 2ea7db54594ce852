"""Settings, as each room takes them: translation and nothing else."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from starlette.middleware import Middleware

from bff import resources
from bff.cache.decide import Freshness
from bff.edge.middleware import EXPOSED_HEADERS, Cors, NoCors
from bff.nexudus.admission import AdmissionPolicy
from bff.nexudus.breaker import BreakerPolicy
from bff.nexudus.budget.config import BudgetConfig
from bff.nexudus.client import Timeouts, verified_tls
from bff.nexudus.retry import RetryPolicy
from bff.ops.access.operators import Operator, Role
from bff.session.reading import Policy
from bff.settings import Settings

NOTHING = Freshness(0, 0, 0)
PREFLIGHT_S = 7_200
"""How long a preflight is good for; Chromium keeps none longer."""


def timeouts(settings: Settings) -> Timeouts:
    """Of one call to Nexudus."""
    return Timeouts(
        connect_s=settings.connect_timeout_s,
        read_s=settings.read_timeout_s,
        write_s=settings.write_timeout_s,
        pool_s=settings.pool_timeout_s,
    )


def tls(settings: Settings) -> Callable[[], ssl.SSLContext | None]:
    """How spaces are known. Where all are on loopback, unencrypted, no authority is loaded."""
    spaces = settings.space_table.spaces
    encrypted = any(space.origin.scheme == "https" for space in spaces)
    return verified_tls if encrypted else lambda: None


def admission(settings: Settings) -> AdmissionPolicy:
    """When Nexudus is called again, and when not at all."""
    return AdmissionPolicy(
        BreakerPolicy(
            failures=settings.breaker_failures,
            rate=settings.breaker_rate,
            open_s=settings.breaker_open_s,
            probe_s=settings.deadline_s,
        ),
        RetryPolicy(settings.retries),
        patience_s=min(1.0, settings.read_timeout_s / 2, settings.deadline_s / 2),
    )


def store_s(settings: Settings) -> float:
    """How long Redis is waited for: at least half of a deadline is left for Nexudus."""
    return min(settings.redis_timeout_ms / 1000, settings.deadline_s / 2)


def budget(settings: Settings) -> BudgetConfig:
    """How many calls there may be."""
    return BudgetConfig(
        calls=settings.budget_calls,
        writes=settings.budget_writes,
        refresh_share=settings.budget_refresh_share,
        forward_share=settings.budget_forward_share,
        stranger_share=settings.budget_stranger_share,
        enabled=settings.budget == "on",
        processes=max(settings.budget_processes, settings.workers),
    )


def operators(settings: Settings) -> list[Operator]:
    """Who may look, and who may act."""
    return [Operator(each.name, Role(each.role), each.token) for each in settings.operators]


def policies(settings: Settings) -> dict[str, Policy]:
    """Freshness by the name of a resource."""
    return {
        resources.PROFILES.name: Policy(
            good=Freshness(
                settings.profiles_fresh_s, settings.profiles_stale_s, settings.profiles_error_s
            ),
            negative=NOTHING,
            jitter=settings.freshness_jitter,
        ),
        resources.RELATED.name: Policy(
            good=Freshness(
                settings.related_fresh_s, settings.related_stale_s, settings.related_error_s
            ),
            negative=Freshness(settings.related_negative_s, 0, 0),
            jitter=settings.freshness_jitter,
        ),
    }


def cors(settings: Settings) -> list[Middleware]:
    """Preflights are answered here, with or without origins that may call."""
    if not settings.cors_origins:
        return [Middleware(NoCors)]
    return [
        Middleware(
            Cors,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            allow_credentials=settings.cors_origins != ("*",),
            expose_headers=EXPOSED_HEADERS,
            max_age=PREFLIGHT_S,
        )
    ]
