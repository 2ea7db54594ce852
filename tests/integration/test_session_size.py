"""What a session takes of Redis: everything that is stored for it, by the server's own count."""

from __future__ import annotations

import pytest

from tests.support.member_documents import NAMES
from tests.support.member_sessions import session_bytes
from tests.support.redis_server import RedisServer

UNSEEN = ("LoyaltyTier", "BrokerSince", "LockerReference")


@pytest.mark.parametrize(
    ("names", "limit"), [(NAMES, 1_500), (NAMES + UNSEEN, 1_550)], ids=["documented", "and-unseen"]
)
async def test_three_profiles_of_a_hundred_fields_take_less_than_1500_bytes(
    own_redis: RedisServer, names: tuple[str, ...], limit: int
) -> None:
    assert await session_bytes(own_redis.url, names=names) <= limit
