"""How much work something is, told without a clock: the calls that it makes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from types import CoroutineType, FrameType


class Suspended(Exception):
    """What was counted waited for something, so others ran in between and were counted too."""


def calls_of(subject: Callable[[], object]) -> int:
    """How many calls `subject()` makes, of Python functions and of those written in C.

    Itself is one of them. A coroutine that it returns is run to its end, which it must reach
    without waiting, else Suspended is raised. The same code makes the same number, on one version
    of Python; call it once before, so that what is made on first use is not counted.
    """
    count = 0

    def heard(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    ours = 1  # the call that ends the counting
    before = sys.getprofile()
    sys.setprofile(heard)
    try:
        result = subject()
        if type(result) is CoroutineType:
            ours += 2  # `at_once` and what it calls; the coroutine itself counts when it begins
            at_once(result)
    finally:
        sys.setprofile(before)
    return count - ours


def at_once(coroutine: Coroutine[object, None, object]) -> None:
    """Run a coroutine to its end without an event loop. Raises Suspended if it waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise Suspended
