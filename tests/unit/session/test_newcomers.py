"""What is made of the sessions that began lately."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.cache.decide import Freshness
from bff.cache.entry import Entry
from bff.cache.tiered import Tier
from bff.resources import PROFILES
from bff.session.newcomers import IN_A_ROW, Newcomers
from bff.session.reading import Outcome, Reading


def found(outcome: Outcome, tier: Tier) -> Reading:
    return Reading(PROFILES, Entry(200, b"{}", 0.0, ()), outcome, tier, Freshness(60, 0, 0))


NEW = found(Outcome.MISS, Tier.UPSTREAM)
STORED = [found(outcome, Tier.L2) for outcome in (Outcome.HIT, Outcome.STALE, Outcome.STALE_ERROR)]
SILENT = [found(Outcome.COALESCED, Tier.UPSTREAM), found(Outcome.HIT, Tier.L1)]


@given(st.lists(st.sampled_from([NEW, *STORED, *SILENT]), max_size=30))
def test_the_next_is_expected_to_be_new_after_so_many_in_a_row(told: list[Reading]) -> None:
    newcomers = Newcomers()
    for reading in told:
        newcomers.tell([reading])
    telling = [reading is NEW for reading in told if reading not in SILENT]
    assert newcomers.expected == (len(telling) >= IN_A_ROW and all(telling[-IN_A_ROW:]))


@pytest.mark.parametrize("stored", STORED)
def test_one_that_was_stored_begins_the_row_anew(stored: Reading) -> None:
    newcomers = Newcomers()
    for _ in range(IN_A_ROW):
        assert not newcomers.expected
        newcomers.tell([NEW])
    assert newcomers.expected
    newcomers.tell([*SILENT, NEW, stored])
    assert not newcomers.expected
