"""A receiver in its world, closed when the test ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bff.hooks import WebhookReceiver
from tests.unit.hooks.world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def receiver(world: World) -> AsyncIterator[WebhookReceiver]:
    opened = world.receiver()
    yield opened
    await opened.aclose()
