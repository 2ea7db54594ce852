"""Calls are counted, and nothing else is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest

from tests.support.calls import Suspended, calls_of


def _nothing() -> int:
    return 0


def _three() -> int:
    return _nothing() + len("")


def _passed_on(subject: Callable[[], object]) -> object:
    return subject()


async def _awaited() -> None:
    _nothing()
    await _within()


async def _within() -> None:
    len("")


@pytest.mark.parametrize(
    ("subject", "calls"),
    [
        (_nothing, 1),
        (_three, 3),
        (lambda: [_nothing() for _ in range(10)], 12),
        (_awaited, 4),
        (lambda: _passed_on(_awaited), 6),
    ],
)
def test_calls_of_python_and_of_c_are_counted(subject: Callable[[], object], calls: int) -> None:
    assert [calls_of(subject) for _ in range(3)] == [calls] * 3


def test_one_call_more_is_one_more() -> None:
    assert calls_of(lambda: (_three(), _nothing())) - calls_of(_three) == 2


def test_what_waits_cannot_be_counted() -> None:
    with pytest.raises(Suspended):
        calls_of(_waiting)


async def _waiting() -> None:
    await asyncio.sleep(0)


def test_counting_ends_with_what_fails() -> None:
    before = sys.getprofile()

    def failing() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        calls_of(failing)
    assert sys.getprofile() is before
