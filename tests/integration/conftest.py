"""Stages of the usual sizes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.gateway import EMBEDDED, Stage, stage


@pytest.fixture
async def solo() -> AsyncIterator[Stage]:
    """One gateway, its cache within itself."""
    async with stage(EMBEDDED) as opened:
        yield opened


@pytest.fixture
async def pair(redis_url: str) -> AsyncIterator[Stage]:
    """Two gateways over one Redis."""
    async with stage(redis_url, gateways=2) as opened:
        yield opened
