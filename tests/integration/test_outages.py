"""An outage of Nexudus, minute by minute, as a member meets it."""

from __future__ import annotations

import pytest

from bff.sandbox.effects import Effect, Reset, Status
from tests.support.gateway import BOOTSTRAP, PROFILES, related, stage

FRESH_S, STALE_S, ERROR_S = 60, 300, 3600
ONE_TRY = {"BFF_RETRIES": "0", "BFF_FRESHNESS_JITTER": "0", "BFF_BREAKER_FAILURES": "100"}


@pytest.mark.parametrize(
    "outage", [Reset(), Status(503), Status(409, retry_after=0)], ids=["reset", "503", "throttled"]
)
async def test_pitfall_24_stale_for_an_hour_then_503_and_nothing_ancient(outage: Effect) -> None:
    async with stage(env=ONE_TRY) as s:
        for target in (BOOTSTRAP, PROFILES, related(101)):
            assert (await s.get(target, s.alice)).status_code == 200
        s.tenant.fault(outage)

        s.clock.advance(FRESH_S + STALE_S + 1)
        for target in (BOOTSTRAP, PROFILES):
            stale = await s.get(target, s.alice)
            assert (stale.status_code, s.alice.canary in stale.text) == (200, True)
            assert "stale" in stale.headers["cache-status"]
            assert int(stale.headers["age"]) > FRESH_S + STALE_S

        s.clock.advance(ERROR_S)
        for target in (BOOTSTRAP, PROFILES, related(101)):
            refused = await s.get(target, s.alice)
            assert refused.status_code == 503
            assert s.alice.canary not in refused.text
            if not isinstance(outage, Status) or outage.status != 503:  # its own passes unchanged
                assert refused.headers["content-type"] == "application/problem+json"
                assert int(refused.headers["retry-after"]) >= 1

        s.tenant.sandbox.faults.clear()
        assert s.alice.canary in (await s.get(BOOTSTRAP, s.alice)).text
