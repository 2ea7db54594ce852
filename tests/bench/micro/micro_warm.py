"""`make bench-micro`: answers of a warm cache through the whole application, the server aside."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from bff.shape.named import DEFAULTS
from tests.bench.micro.subjects import Measure
from tests.bench.micro.warm import PORTAL, warm
from tests.support.calls import at_once

_NUMBERS = itertools.count()


def _same() -> str:
    return PORTAL


def _new() -> str:
    """No document has such a field, and no two requests have the same shape."""
    return f"_shape={DEFAULTS['portal']},User.None{next(_NUMBERS)}"


@pytest.mark.parametrize(
    ("query", "more"),
    [
        pytest.param(_same, {}, id="warm: hot"),
        # What is new or unusual goes the usual way.
        pytest.param(_same, {"if-none-match": '"another"'}, id="warm: by the usual way"),
        pytest.param(_new, {}, id="warm: a new shape"),
    ],
)
async def test_warm(
    benchmark: Measure, counted: Measure, query: Callable[[], str], more: dict[str, str]
) -> None:
    async with warm(query, more) as ask:
        counted(ask)
        benchmark(lambda: at_once(ask()))
