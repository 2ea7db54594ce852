"""What is remembered of requests: bounded, by the latest of an id, and never a document."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bff.cache.tiered import Tier
from bff.edge.compression import Encoding
from bff.edge.exchange import Exchange
from bff.edge.respond import RepresentationKey
from bff.ops.explaining.trail import KEPT, LATEST, MOST_UNANSWERED, PROBLEMS, STRANGERS, Trail
from bff.session.reading import Outcome, Part
from bff.spaces import Space
from tests.support.fake_clock import FakeClock

DIGEST = "d" * 32
PROFILES = Part("profiles", "", 200, 1_799_999_990.0, Outcome.HIT, Tier.L2)
RELATED = Part("related", "101", 200, 1_800_000_001.0, Outcome.MISS, Tier.UPSTREAM)


def key(shape: str = "User.Id", digest: str = DIGEST) -> RepresentationKey:
    route = "/session/bootstrap"
    return RepresentationKey("acme", digest, route, "", shape, "tz=-;al=-", Encoding.BR)


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
        trail.asked(exchange(f"request-{number}", PROFILES), key())
    assert len(trail) == KEPT
    assert trail.told("request-4") is None
    assert trail.told("request-5") is not None
    trail.asked(exchange("request-5", PROFILES, status=404), key())
    for number in range(LATEST + 5):
        assert (trail.told("request-5") or {})["status"] == 404, "the latest of an id is meant"
        trail.asked(exchange(f"another-{number}", PROFILES), key())
    assert len(trail) == KEPT


def flood(trail: Trail, size: int, status: int, *parts: Part, digest: str = "") -> None:
    """So many requests; without `digest`, each with a token that was never seen."""
    for number in range(size):
        name = f"flood-{status}-{number}"
        trail.asked(exchange(name, *parts, status=status), key(digest=digest or name))


def test_what_failed_is_not_pushed_out_by_what_went_well() -> None:
    trail = Trail(FakeClock())
    trail.asked(exchange("well", PROFILES), key())
    flood(trail, PROBLEMS, 503, digest=DIGEST)
    flood(trail, 2 * KEPT, 200, PROFILES, digest="another")
    assert trail.told("well") is None
    for number in range(PROBLEMS):
        assert trail.told(f"flood-503-{number}") is not None
    assert len(trail) == KEPT + PROBLEMS


@pytest.mark.parametrize("status", [401, 503])
def test_invented_tokens_push_no_member_out(status: int) -> None:
    trail = Trail(FakeClock())
    trail.asked(exchange("well", PROFILES), key())
    trail.asked(exchange("failed", status=503), key())
    flood(trail, 2 * KEPT, status)
    assert trail.told("well") is not None
    assert trail.told("failed") is not None
    assert len(trail) <= LATEST + max(PROBLEMS, STRANGERS) + 2


def test_what_becomes_of_a_request_that_takes_its_time_decides() -> None:
    trail = Trail(FakeClock())
    trail.asked(exchange("before", PROFILES), key())
    slow = exchange("slow", status=0)
    trail.asked(slow, key())
    flood(trail, KEPT, 401)
    slow.status = 504
    flood(trail, 2 * KEPT, 200, PROFILES, digest="another")
    assert (trail.told("slow") or {})["status"] == 504


def test_what_is_never_answered_is_bounded_too() -> None:
    trail = Trail(FakeClock())
    flood(trail, 2 * MOST_UNANSWERED, 0)
    assert len(trail) <= MOST_UNANSWERED + STRANGERS


def test_all_of_it_is_names_digests_and_ages() -> None:
    found = told(exchange("request-1", PROFILES, RELATED, cache="profiles=hit:l2 related=miss"))
    assert found["digest"] == DIGEST
    assert found["process"] == "p-1"
    first, second = found["documents"]
    assert first["key"] == f"acme|k:{DIGEST}|profiles||tz%3D-%3Bal%3D-"
    assert (first["tier"], first["verdict"], first["age_s"]) == ("l2", "fresh", 10.0)
    assert second["key"] == "acme|c:101|related|101|tz%3D-%3Bal%3D-"
    assert (second["outcome"], second["verdict"], second["age_s"]) == ("miss", "fetched", 0.0)
    assert told(exchange("r"), ",".join(["Name"] * 400))["shape"] == ("Name," * 40)
    assert told(exchange("r"), "jane@example.com")["shape"] == "~other"


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
        (Outcome.STALE, 0, "stale was served, and fetched anew behind it unless"),
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


def test_what_was_not_fetched_anew_because_operators_paused_that_is_told() -> None:
    paused = False
    trail = Trail(FakeClock(), is_paused=lambda: paused)
    part = Part("profiles", "", 200, 1_799_999_990.0, Outcome.STALE, Tier.L1)
    trail.asked(exchange("request-1", part), key())
    paused = True
    trail.asked(exchange("request-2", part), key())
    before, after = (str((trail.told(f"request-{n}") or {})["sentence"]) for n in (1, 2))
    assert "fetched anew behind it unless" in before
    assert "not fetched anew behind it: operators had paused refreshes" in after


def test_what_came_to_nothing_is_told() -> None:
    assert "still" in str(told(exchange("r", status=0))["sentence"])
    gone = exchange("r", status=0)
    gone.counted = True
    assert "client went away" in str(told(gone)["sentence"])
    own = str(told(exchange("r", cache="refused", status=503))["sentence"])
    assert "Nexudus itself answered 503, which was passed on" in own
    assert "passed on" in str(told(exchange("r", cache="refused", status=401))["sentence"])
    failed = exchange("r", cache="", status=503)
    failed.problem = "overloaded"
    assert "503 (overloaded)" in str(told(failed)["sentence"])
