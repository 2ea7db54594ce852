"""How long an answer that was made of readings may be kept, and what ends it before its time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bff.cache import tags
from bff.cache.decide import Freshness
from bff.cache.entry import Entry
from bff.cache.secrets import Keyring
from bff.cache.tiered import Tier
from bff.resources import PROFILES, RELATED
from bff.session.lasting import fresh_until, is_fresh, tags_of
from bff.session.principal import identify
from bff.session.reading import Outcome, Reading

KEYS = Keyring((b"n" * 32, b"o" * 32))
ANA = identify("acme", "ana", KEYS)
LISTED = Reading(
    PROFILES, Entry(200, b"{}", 100.0, ("u:5", "r:profiles")), Outcome.HIT, Tier.L1,
    Freshness(60, 300, 3600),
)  # fmt: skip
SHARED = Reading(
    RELATED, Entry(200, b"{}", 90.0, ("c:5", "r:related")), Outcome.HIT, Tier.L1,
    Freshness(300, 1800, 86400),
)  # fmt: skip


@pytest.mark.parametrize("readings", [(LISTED, SHARED), (SHARED, LISTED)])
def test_pitfall_22_an_answer_is_fresh_until_the_first_of_its_parts_is_not(
    readings: tuple[Reading, ...],
) -> None:
    assert fresh_until(ANA, readings) == 160.0


def test_pitfall_2_an_answer_is_fresh_until_its_caller_has_to_be_proven_anew() -> None:
    assert fresh_until(ANA, (SHARED,)) == 390.0
    assert fresh_until(ANA, (replace(SHARED, proven_until=150.0),)) == 150.0
    assert fresh_until(ANA, (LISTED, replace(SHARED, proven_until=150.0))) == 150.0


def test_an_answer_is_fresh_no_longer_than_the_token_it_was_made_for() -> None:
    assert fresh_until(replace(ANA, expires_at=120.0), (LISTED, SHARED)) == 120.0
    assert fresh_until(replace(ANA, expires_at=500.0), (LISTED, SHARED)) == 160.0


@pytest.mark.parametrize("outcome", Outcome)
def test_what_is_stale_or_not_stored_is_not_kept(outcome: Outcome) -> None:
    stale = outcome in (Outcome.STALE, Outcome.STALE_ERROR)
    assert is_fresh(replace(LISTED, outcome=outcome)) is not stale
    assert not is_fresh(replace(LISTED, outcome=outcome, stored=False))


@pytest.mark.parametrize("readings", [(LISTED, SHARED), (SHARED, LISTED)])
def test_pitfall_22_what_drops_any_part_drops_what_was_made_of_it(
    readings: tuple[Reading, ...],
) -> None:
    parts = {("acme", tag) for tag in ("u:5", "r:profiles", "c:5", "r:related")}
    assert parts <= tags_of(ANA, readings)


def test_pitfall_2_what_drops_a_token_under_any_secret_drops_what_was_made_for_it() -> None:
    principal = identify("acme", "ana", Keyring((b"n" * 32, b"o" * 32)))
    entry = Entry(200, b"{}", 0.0, ("u:5", "r:profiles"))
    reading = Reading(PROFILES, entry, Outcome.HIT, Tier.L1, Freshness(60, 0, 0))
    new, old = principal.digests
    ends = {tags.token(new), tags.token(old), tags.proof(new), tags.proof(old), *entry.tags}
    assert tags_of(principal, (reading,)) == {("acme", tag) for tag in ends}
