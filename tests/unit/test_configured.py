"""Settings as rooms take them, where that is more than another name."""

from __future__ import annotations

import pytest

from bff import configured
from bff.nexudus.client import verified_tls
from bff.settings import load

LOOPBACK = "http://127.0.0.1:8090"


@pytest.mark.parametrize(
    "variables",
    [
        {"BFF_UPSTREAM": "acme"},
        {"BFF_UPSTREAM": "https://127.0.0.1:8090"},
        {"BFF_SPACES": f"a.example.com={LOOPBACK},b.example.com=beta"},
    ],
)
def test_whoever_is_called_encrypted_is_verified(variables: dict[str, str]) -> None:
    assert configured.tls(load(variables)) is verified_tls


def test_on_loopback_alone_no_authority_is_loaded() -> None:
    assert configured.tls(load({"BFF_UPSTREAM": LOOPBACK}))() is None


@pytest.mark.parametrize(
    ("timeout_ms", "deadline_s", "store_s"), [("50", "10", 0.05), ("10000", "3", 1.5)]
)
def test_pitfall_23_whoever_waits_for_redis_leaves_nexudus_half_of_the_deadline(
    timeout_ms: str, deadline_s: str, store_s: float
) -> None:
    waits = {"BFF_REDIS_TIMEOUT_MS": timeout_ms, "BFF_DEADLINE_S": deadline_s}
    assert configured.store_s(load({"BFF_UPSTREAM": LOOPBACK, **waits})) == store_s
