"""What a document that was found may be used for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bff.cache.decide import Freshness, Verdict
from bff.cache.entry import Entry, Proof
from bff.cache.tiered import Found, Tier
from bff.nexudus.headers import Variants
from bff.resources import PROFILES, RELATED, Resource
from bff.session.judging import accepted, judged
from bff.session.principal import Principal
from bff.session.reading import Ask, Caller, Outcome, Policy

NOW = 1_800_000_000.0
POLICY = Policy(Freshness(60, 300, 3600), Freshness(30, 0, 0))
PROOF = Found(Proof(NOW - 59, 7001, (101,)), Tier.L1, expires=5.0)
LIST = Found(Entry(200, b"{}", NOW - 59, ("u:7001",)), Tier.L2, expires=9.0)


def ask(resource: Resource = PROFILES, until: float | None = None) -> Ask:
    principal = Principal("acme", "ana", ("d" * 32,), until)
    return Ask(Caller(principal, Variants()), resource, "")


def aged(list_s: float, proof_s: float) -> tuple[Found, Found]:
    entry = Entry(200, b"{}", NOW - list_s, ("u:7001",))
    return replace(LIST, value=entry), replace(PROOF, value=Proof(NOW - proof_s, 7001, (101,)))


def test_a_fresh_proof_says_when_the_token_was_accepted_and_how_long_that_may_be_gone_by() -> None:
    assert accepted(PROOF, POLICY, NOW, None) == (NOW - 59, 5.0)
    assert accepted(PROOF, POLICY, NOW, NOW + 1) == (NOW - 59, 5.0)


@pytest.mark.parametrize(
    "proof",
    [
        None,
        replace(PROOF, value=Proof(NOW - 60, 7001, (101,))),
        replace(PROOF, stands_in=True),
        replace(PROOF, value=Entry(200, b"{}", NOW, ())),
    ],
    ids=["none", "too old", "stands in", "no proof"],
)
def test_pitfall_2_nothing_else_proves_a_token(proof: Found | None) -> None:
    assert accepted(proof, POLICY, NOW, None) is None


def test_pitfall_2_no_proof_outlives_its_token() -> None:
    assert accepted(PROOF, POLICY, NOW, NOW) is None


def test_a_list_that_is_fresh_is_a_hit_from_where_it_was_found() -> None:
    verdict, reading = judged(ask(), LIST, PROOF, POLICY, NOW)
    assert verdict is Verdict.FRESH
    assert reading is not None
    assert (reading.entry, reading.outcome, reading.tier) == (LIST.value, Outcome.HIT, Tier.L2)
    assert not reading.stands_in


@pytest.mark.parametrize(("of_list", "of_proof"), [(9.0, 5.0), (5.0, 9.0)])
def test_pitfall_22_a_list_is_gone_by_no_longer_than_its_copy_and_that_of_its_proof(
    of_list: float, of_proof: float
) -> None:
    found, proof = replace(LIST, expires=of_list), replace(PROOF, expires=of_proof)
    _, reading = judged(ask(), found, proof, POLICY, NOW)
    assert reading is not None
    assert reading.expires == 5.0


@pytest.mark.parametrize(
    ("list_s", "proof_s", "verdict"),
    [
        (59, 60, Verdict.STALE),
        (60, 59, Verdict.STALE),
        (59, 360, Verdict.LAPSED),
        (360, 59, Verdict.LAPSED),
        (59, 3660, Verdict.DEAD),
        (3660, 59, Verdict.DEAD),
    ],
)
def test_pitfall_2_a_list_is_good_for_what_the_older_of_it_and_its_proof_is(
    list_s: float, proof_s: float, verdict: Verdict
) -> None:
    told, reading = judged(ask(), *aged(list_s, proof_s), POLICY, NOW)
    assert told is verdict
    assert (reading is None) is (verdict is Verdict.DEAD)


@pytest.mark.parametrize(
    "proof", [None, replace(PROOF, value=LIST.value)], ids=["none", "no proof"]
)
def test_pitfall_2_a_list_whose_proof_was_withdrawn_is_good_for_nothing(
    proof: Found | None,
) -> None:
    assert judged(ask(), LIST, proof, POLICY, NOW) == (Verdict.DEAD, None)


def test_a_list_that_others_share_has_no_proof_beside_it() -> None:
    verdict, reading = judged(ask(RELATED), LIST, None, POLICY, NOW)
    assert verdict is Verdict.FRESH
    assert reading is not None
    assert reading.expires == LIST.expires


@pytest.mark.parametrize("resource", [PROFILES, RELATED], ids=lambda resource: resource.name)
def test_nothing_is_shown_to_a_token_past_its_end(resource: Resource) -> None:
    assert judged(ask(resource, NOW), LIST, PROOF, POLICY, NOW) == (Verdict.DEAD, None)
    assert judged(ask(resource, NOW + 1), LIST, PROOF, POLICY, NOW)[0] is Verdict.FRESH


@pytest.mark.parametrize(
    ("found", "proof"),
    [(replace(LIST, stands_in=True), PROOF), (LIST, replace(PROOF, stands_in=True))],
    ids=["the list", "the proof"],
)
def test_what_stands_in_is_shown_only_if_nexudus_fails_and_says_so(
    found: Found, proof: Found
) -> None:
    verdict, reading = judged(ask(), found, proof, POLICY, NOW)
    assert verdict is Verdict.LAPSED
    assert reading is not None
    assert reading.stands_in
