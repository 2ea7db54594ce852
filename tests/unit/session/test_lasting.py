"""What ends an answer that was made of readings, before its time."""

from __future__ import annotations

from bff.cache import tags
from bff.cache.decide import Freshness
from bff.cache.entry import Entry
from bff.cache.secrets import Keyring
from bff.cache.tiered import Tier
from bff.resources import PROFILES
from bff.session.lasting import tags_of
from bff.session.principal import identify
from bff.session.reading import Outcome, Reading


def test_pitfall_2_what_drops_a_token_under_any_secret_drops_what_was_made_for_it() -> None:
    principal = identify("acme", "ana", Keyring((b"n" * 32, b"o" * 32)))
    entry = Entry(200, b"{}", 0.0, ("u:5", "r:profiles"))
    reading = Reading(PROFILES, entry, Outcome.HIT, Tier.L1, Freshness(60, 0, 0))
    new, old = principal.digests
    ends = {tags.token(new), tags.token(old), tags.proof(new), tags.proof(old), *entry.tags}
    assert tags_of(principal, (reading,)) == {("acme", tag) for tag in ends}
