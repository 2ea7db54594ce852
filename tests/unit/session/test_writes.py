"""Which calls are writes, and whom a switch names."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.session.writes import changes_profiles, named_coworker

MUTATING = ["POST", "PUT", "PATCH", "DELETE"]
READING = ["GET", "HEAD", "OPTIONS", "PROPFIND"]
WRITTEN = [
    "/api/public/coworker/profile",
    "/api/public/coworkers/profiles",
    "/api/public/coworkers/profiles/current",
    "/api/public/coworkers/published/101/related",
    "/en/profile",
    "/pt-br/profile/avatar",
]
SWITCHES = ["/en/coworker/setCurrentProfile", "/de-at/coworker/setcurrentprofile/"]
OTHERS = [
    "/api/public/bookings",
    "/api/public/billing/coworkers",
    "/api/token",
    "/en/bookings/my",
    "/en/coworker/profiles",
    "/en/coworker/setCurrentProfile/x",
    "/x/api/public/coworker",
    "/eng/profile",
    "/api/public/cowork",
    "/profile",
]


@pytest.mark.parametrize("path", WRITTEN)
def test_a_mutation_of_profiles_is_a_write_and_a_read_is_none(path: str) -> None:
    assert all(changes_profiles(method, path) for method in MUTATING)
    assert not any(changes_profiles(method, path) for method in READING)


@pytest.mark.parametrize("path", SWITCHES)
def test_the_legacy_switch_is_one_by_any_method(path: str) -> None:
    assert all(changes_profiles(method, path) for method in MUTATING + READING)


@pytest.mark.parametrize("path", OTHERS)
def test_other_calls_are_none(path: str) -> None:
    assert not any(changes_profiles(method, path) for method in MUTATING + READING)


@given(st.sampled_from(WRITTEN + SWITCHES), st.randoms(use_true_random=False))
def test_no_writing_of_a_path_hides_a_write(path: str, draw: Random) -> None:
    """Any letter in the other case, or percent-encoded."""
    hidden = "".join(
        f"%{ord(letter):02x}"
        if letter != "/" and draw.random() < 0.2
        else letter.upper()
        if draw.random() < 0.5
        else letter
        for letter in path
    )
    assert changes_profiles("PUT", hidden)


@pytest.mark.parametrize(
    ("query", "coworker"),
    [
        ("coworkerId=145", 145),
        ("CoworkerID=145&x=1", 145),
        ("coworkerId=%31%34%35", 145),
        ("coworkerId=9223372036854775807", 2**63 - 1),
        ("coworkerId=145&coworkerId=146", None),
        ("coworkerId=145&COWORKERID=146", None),
        ("coworkerId=", None),
        ("coworkerId=abc", None),
        ("coworkerId=-1", None),
        ("coworkerId=1.5", None),
        ("coworkerId=9223372036854775808", None),
        ("coworker=145", None),
        ("", None),
    ],
)
def test_a_switch_names_its_coworker_once(query: str, coworker: int | None) -> None:
    assert named_coworker(query) == coworker


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_any_query_can_be_looked_at(query: str) -> None:
    named_coworker(query)
