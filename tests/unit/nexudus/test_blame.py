"""What is told apart, and how much is remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.nexudus.blame import MOST, Asked, Blame, route_of

PATHS = st.text(max_size=30).map(lambda text: f"/{text}")


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("/api/public/a", "/api/public/b", False),
        ("/api/public/a/7", "/API/Public/%61/8", True),
        ("/api/public/a./", "/api/public/a", True),
        ("/api/public/a/b/c/d", "/api/public/a/b/c/e", True),
        ("/api/public/a/b", "/api/public/a/c", False),
        ("/en/user/me", "/pt-br/user/me", True),
        ("/en/user/me", "/en/user/you", False),
        (f"/api/{'x' * 40}", f"/api/{'y' * 50}", True),
    ],
)
def test_paths_of_one_route(one: str, other: str, alike: bool) -> None:
    assert (route_of(one) == route_of(other)) is alike
    blame = Blame(10)
    assert blame.failed(Asked("GET", one), 0)
    assert blame.is_sound(Asked("GET", other)) is not alike
    assert blame.failed(Asked("GET", other), 0) is not alike


@given(PATHS)
def test_any_path_has_a_route_and_fails_for_the_first_time_once(path: str) -> None:
    blame, asked = Blame(10), Asked("GET", path)
    assert [blame.failed(asked, 0), blame.failed(asked, 99)] == [True, False]


def test_a_failure_is_forgotten_once_time_has_passed_and_something_succeeded() -> None:
    blame, asked = Blame(10), Asked("GET", "/api/a")
    blame.failed(asked, 0)
    assert not blame.failed(asked, 50)
    blame.answered(None, 0, 60)
    assert not blame.failed(asked, 60)
    blame.answered(None, 0, 70.1)
    assert blame.failed(asked, 71)


@pytest.mark.parametrize(
    ("asked", "sound"),
    [
        (None, True),
        (Asked("HEAD", "/api/a"), True),
        (Asked("GET", "/api/a", bodied=True), False),
        (Asked("POST", "/api/a"), False),
    ],
)
def test_whose_failure_is_nexudus(asked: Asked | None, sound: bool) -> None:
    assert Blame(10).is_sound(asked) is sound


def test_limits_differ_by_method_and_path() -> None:
    blame = Blame(10)
    post, get, other = (Asked(*each) for each in (("POST", "/a"), ("GET", "/a"), ("POST", "/b")))
    assert blame.throttled(post, 0)
    blame.answered(Asked("POST", "/%41/"), 1, 1)
    assert blame.throttled(post, 1), "it was itself that was answered"
    blame.answered(get, 1, 1)
    assert not blame.throttled(post, 2)
    assert blame.throttled(get, 2)
    assert blame.throttled(other, 2)


def test_a_call_begun_before_says_nothing() -> None:
    blame, asked = Blame(10), Asked("GET", "/a")
    blame.throttled(asked, 5)
    blame.answered(None, 4, 6)
    assert blame.throttled(asked, 7)
    blame.answered(None, 5, 6)
    assert not blame.throttled(asked, 7)


def test_memory_is_bounded_and_the_rarest_goes_first() -> None:
    blame = Blame(10)
    paths = [Asked("GET", f"/api/{chr(0x4E00 + number)}") for number in range(MOST)]
    for asked in (*paths, paths[0]):
        blame.failed(asked, 0)
        blame.throttled(asked, 0)
    blame.answered(None, 1, 1)
    one_more = Asked("GET", "/api/more")
    assert blame.failed(one_more, 0)
    assert blame.throttled(one_more, 1)
    assert [blame.failed(paths[0], 0), blame.failed(paths[1], 0)] == [False, True]
    assert [blame.throttled(paths[0], 1), blame.throttled(paths[1], 1)] == [False, True]
