"""One running gateway for each module of tests in which nothing fails."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.contract.contract import Contract
from tests.contract.live import Live, contract_of, live


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Live]:
    """A gateway; its tests share its event loop (`healthy`)."""
    async with live() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def contract(gateway: Live) -> Contract:
    """The document as that gateway serves it."""
    return await contract_of(gateway)
