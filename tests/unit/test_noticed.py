"""What was asked for before."""

from __future__ import annotations

from bff.noticed import Noticed


def test_a_key_is_noticed_from_its_second_time_on() -> None:
    noticed = Noticed()
    assert [noticed.again(key) for key in ("a", "b", "a", ("a", 1), "a")] == [
        *(False, False, True, False, True)
    ]


def test_what_is_remembered_is_bounded() -> None:
    noticed = Noticed(most=2)
    for _ in range(3):
        assert not any(noticed.again(key) for key in "abc")
    assert noticed.again("c")
