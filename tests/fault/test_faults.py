"""Members notice nothing: real processes, real faults, every answer checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fleet import Terms, fleet
from tests.support.fleet_course import BOTH_FAIL, NEXUDUS_FAILS, PROCESSES_END, REDIS_FAILS
from tests.support.fleet_expected import CALM, summary, unmet
from tests.support.fleet_load import loaded
from tests.support.fleet_run import Run
from tests.support.fleet_stampede import CALLERS, gathered
from tests.support.redis_server import RedisServer
from tests.support.standing_still import processes_stood_still

SEED = 20_261_121
BETWEEN_S = 0.2
BREAKER_CLOSES_S = 0.6


@pytest.mark.timeout(400)
async def test_pitfalls_21_and_23_members_notice_nothing(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    terms = Terms()
    async with fleet(terms, own_redis, tmp_path) as opened, gathered(opened) as crowd:
        cold = await crowd.run(), await crowd.calls()
        with processes_stood_still(terms.spacing_s / 2, tmp_path) as still:
            async with loaded(opened, SEED) as load:
                run = Run(load, still)
                try:
                    await run.calm(CALM, 2.0)
                    statuses = await crowd.run()
                    await run.calm("a stampede is over", 0.5)
                    expired = statuses, await crowd.calls()
                    await run.course((*REDIS_FAILS, *PROCESSES_END), BETWEEN_S)
                    await run.calm(CALM, 2.0)
                    await run.course((*NEXUDUS_FAILS, *BOTH_FAIL), BREAKER_CLOSES_S)
                finally:
                    print(run.text(), summary(run), sep="\n")
    print(f"{CALLERS} callers of a cold key: {cold}; of an expired one: {expired}")
    assert unmet(run) == []
    assert cold == expired == ({200: CALLERS}, 1)
