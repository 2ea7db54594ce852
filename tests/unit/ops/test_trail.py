"""What is remembered of requests: bounded, by the latest of an id, and never a document."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bff.cache.tiered import Tier
from bff.edge.compression import Encoding
from bff.edge.exchange import Exchange
from bff.edge.respond import RepresentationKey
from bff.ops.trail import KEPT, Alone, Trail
from bff.session.reading import Outcome, Part
from bff.spaces import Space
from tests.support.fake_clock import FakeClock

DIGEST = "d" * 32
PROFILES = Part("profiles", "", 200, 1_799_999_990.0, Outcome.HIT, Tier.L2)
RELATED = Part("related", "101", 200, 1_800_000_001.0, Outcome.MISS, Tier.UPSTREAM)


def key(shape: str = "User.Id") -> RepresentationKey:
    route = "/session/bootstrap"
    return RepresentationKey("acme", DIGEST, route, "", shape, "tz=-;al=-", Encoding.BR)


def exchange(name: str, *parts: Part, cache: str = "x", status: int = 200) -> Exchange:
    return Exchange(
        name, 0.0, Space.parse("acme"), "/session/bootstrap", cache, parts=parts, status=status
    )


def told(one: Exchange, shape: str = "User.Id") -> dict[str, Any]:
    trail = Trail(FakeClock(), "p-1")
    trail.asked(one, key(shape))
    found = trail.told(one.request_id)
    assert found is not None
    assert orjson.loads(orjson.dumps(found)) == found
    return found


def test_the_latest_are_kept() -> None:
    trail = Trail(FakeClock())
    for number in range(KEPT + 5):
        trail.asked(exchange(f"request-{number}"), key())
    assert len(trail) == KEPT
    assert trail.told("request-4") is None
    assert trail.told("request-5") is not None
    trail.asked(exchange("request-5", status=404), key())
    trail.asked(exchange("another"), key())
    found = trail.told("request-5")
    assert found is not None
    assert found["status"] == 404
    assert len(trail) == KEPT


def test_all_of_it_is_names_digests_and_ages() -> None:
    found = told(exchange("request-1", PROFILES, RELATED, cache="profiles=hit:l2 related=miss"))
    assert found["digest"] == DIGEST
    assert found["process"] == "p-1"
    first, second = found["documents"]
    assert first["key"] == f"acme|k:{DIGEST}|profiles||tz%3D-%3Bal%3D-"
    assert (first["tier"], first["verdict"], first["age_s"]) == ("l2", "fresh", 10.0)
    assert second["key"] == "acme|c:101|related|101|tz%3D-%3Bal%3D-"
    assert (second["outcome"], second["verdict"], second["age_s"]) == ("miss", "fetched", 0.0)
    assert told(exchange("r"), "x" * 4_000)["shape"] == "x" * 200


def test_a_space_that_keeps_lists_for_each_token_has_other_keys() -> None:
    trail = Trail(FakeClock(), is_per_token=lambda space: space == "acme")
    trail.asked(exchange("request-1", RELATED), key())
    found: dict[str, Any] | None = trail.told("request-1")
    assert found is not None
    [document] = found["documents"]
    assert document["key"].startswith(f"acme|k:{DIGEST}|related|101|")


def test_finished_bytes_are_a_hit_however_they_were_made() -> None:
    found = told(exchange("request-1", RELATED, cache="hit:l1"))
    assert found["documents"][0]["outcome"] == "hit"
    assert found["rule"] == 6


@pytest.mark.parametrize(
    ("outcome", "rule", "words"),
    [
        (Outcome.HIT, 0, "fresh"),
        (Outcome.STALE, 0, "stale was served"),
        (Outcome.STALE_ERROR, 0, "stood in"),
        (Outcome.MISS, 8, "was asked"),
        (Outcome.COALESCED, 5, "waited for"),
    ],
)
def test_the_rule_that_decided_is_named(outcome: Outcome, rule: int, words: str) -> None:
    part = Part("profiles", "", 200, 1_799_999_990.0, outcome, Tier.L1)
    found = told(exchange("request-1", part))
    assert found["rule"] == rule
    assert words in str(found["sentence"])


def test_what_came_to_nothing_is_told() -> None:
    assert "still" in str(told(exchange("r", status=0))["sentence"])
    assert "passed on" in str(told(exchange("r", cache="refused", status=401))["sentence"])
    failed = exchange("r", cache="", status=503)
    failed.problem = "overloaded"
    assert "503 (overloaded)" in str(told(failed)["sentence"])


async def test_a_process_alone_has_nobody_to_ask() -> None:
    assert await Alone().ask("request-1") is None
