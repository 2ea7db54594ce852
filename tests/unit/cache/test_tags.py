"""Tags are single words, and their first letters mean what the table says."""

from __future__ import annotations

import pytest

from bff.cache import tags
from bff.cache.keys import Container, Scope
from bff.cache.store import header

HOSTILE = "a b\nc\t|%é\ud800"


def test_each_kind_of_tag_has_its_letter() -> None:
    assert tags.token("d") == "k:d"
    assert tags.proof("d") == "p:d"
    assert tags.user(5) == "u:5"
    assert tags.coworker(7) == "c:7"
    assert tags.resource("profiles") == "r:profiles"


def test_the_tag_of_a_token_or_coworker_is_its_containers_label() -> None:
    assert tags.token(HOSTILE) == Container("s", Scope.TOKEN, HOSTILE).label
    assert tags.coworker(7) == Container("s", Scope.COWORKER, "7").label


@pytest.mark.parametrize("make", [tags.token, tags.proof, tags.resource])
def test_pitfall_5_no_tag_can_hold_a_delimiter_of_the_header(make: object) -> None:
    assert callable(make)
    tag = make(HOSTILE)
    assert header(1, [tag, "u:1"]) == f"1 {tag} u:1\n".encode("ascii")
    assert tag.split() == [tag]


@pytest.mark.parametrize("tag", ["u:1", "c:1", "r:profiles"])
def test_users_coworkers_and_resources_have_generations(tag: str) -> None:
    assert tags.is_generation(tag)


@pytest.mark.parametrize("tag", ["k:d", "p:d", "d:related", "", "u", "ux:1"])
def test_nothing_else_has(tag: str) -> None:
    assert not tags.is_generation(tag)


def test_every_tag_of_the_table_drops_something_and_news_drops_nothing() -> None:
    made = (tags.token("d"), tags.proof("d"), tags.user(1), tags.coworker(1), tags.resource("x"))
    assert all(tag.startswith(tags.DROPPING) for tag in made)
    assert not "d:related".startswith(tags.DROPPING)
