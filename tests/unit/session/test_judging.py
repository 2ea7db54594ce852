"""What a document that was found may be used for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bff.cache.decide import Freshness
from bff.cache.entry import Entry, Proof
from bff.cache.tiered import Found, Tier
from bff.session.judging import accepted
from bff.session.reading import Policy

NOW = 1_800_000_000.0
POLICY = Policy(Freshness(60, 300, 3600), Freshness(30, 0, 0))
PROOF = Found(Proof(NOW - 59, 7001, (101,)), Tier.L1, expires=5.0)


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
