"""A profile list that Nexudus refuses with anything: nothing of the caller's is shown any more."""

from __future__ import annotations

import pytest

from bff.sandbox.effects import Status
from tests.support.gateway import BOOTSTRAP, PROFILES, related, stage


@pytest.mark.parametrize("status", [302, 400, 403, 404])
async def test_pitfall_02_a_refusal_other_than_401_withdraws_the_proof(
    redis_url: str, status: int
) -> None:
    async with stage(redis_url) as s:
        assert (await s.get(BOOTSTRAP, s.alice)).status_code == 200
        s.tenant.fault(Status(status, ""), PROFILES)
        s.clock.advance(61)
        # Stale, and revalidated behind the answer: the refusal is noticed there.
        assert (await s.get(BOOTSTRAP, s.alice)).status_code == 200
        await s.quiet()
        assert (await s.get(BOOTSTRAP, s.alice)).status_code == status
        assert (await s.get(related(202), s.alice)).status_code == status
        # Nor is it excused by a failure that follows.
        s.tenant.sandbox.faults.clear()
        s.tenant.fault(Status(503, ""), PROFILES)
        assert (await s.get(BOOTSTRAP, s.alice)).status_code == 503


async def test_pitfall_03_a_404_tells_no_other_viewer_what_it_said(redis_url: str) -> None:
    async with stage(redis_url, gateways=2) as s:
        await s.prove(s.alice, s.bob)
        target = related(101)
        text = '{"Message":"not for viewer bob"}'
        s.tenant.fault(Status(404, text), target, token=s.bob.token)
        first = await s.get(target, s.bob)
        assert (first.status_code, first.text) == (404, text)
        for via in (0, 1):
            other = await s.get(target, s.alice, via=via)
            assert "bob" not in other.text
