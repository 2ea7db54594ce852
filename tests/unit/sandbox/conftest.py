from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.unit.sandbox.space import Space


@pytest.fixture
async def make_space() -> AsyncIterator[Callable[..., Space]]:
    """Builds sandboxes with the given options; their clients are closed afterwards."""
    async with AsyncExitStack() as stack:

        def make(**options: Any) -> Space:
            space = Space(**options)
            stack.push_async_callback(space.client.aclose)
            return space

        yield make


@pytest.fixture
async def space(make_space: Callable[..., Space]) -> Space:
    """The ten named members only, unthrottled."""
    return make_space()
