"""What is said on the bus is read as it was meant, also by and from other versions."""

from __future__ import annotations

import orjson
import pytest

from bff.cache.lineage import Step
from bff.cache.messages import ONLY_NODE, Ack, Beat, Dropped, OfFlight, announce, read

TAGS = frozenset({"u:1", "c:7"})


def announced(**more: object) -> bytes:
    members = orjson.loads(announce("m1", "peer", "acme", TAGS))
    return orjson.dumps({**members, **more})


@pytest.mark.parametrize("said", [Beat(1.5, "n"), Ack("m1", "peer")])
def test_what_is_said_is_what_is_read(said: Beat | Ack) -> None:
    assert read(said.encode()) == said


def test_an_invalidation_tells_how_the_store_saw_it() -> None:
    read_back = read(announced(before=5, stamp=9))
    assert read_back == Dropped("m1", "peer", "acme", TAGS, Step(5, 9))


@pytest.mark.parametrize("more", [{}, {"stamp": 9}, {"before": "5", "stamp": "9"}, {"since": 5}])
def test_one_of_another_version_is_one_all_the_same(more: dict[str, object]) -> None:
    assert read(announced(**more)) == Dropped("m1", "peer", "acme", TAGS, None)


def test_an_earlier_version_finds_all_that_it_looks_for() -> None:
    match orjson.loads(announced(before=5, stamp=9)):
        case {"id": "m1", "from": "peer", "space": "acme", "tags": list(tags)}:
            assert set(tags) == TAGS
        case _:
            pytest.fail("it would take that for a message of unknown form")


def test_a_heartbeat_without_a_node_is_of_the_only_one() -> None:
    assert read(b'{"beat":1.5}') == Beat(1.5, ONLY_NODE)


def test_what_is_said_of_flights_is_passed_on() -> None:
    assert read(b'{"flight":{"space":"acme"}}') == OfFlight({"space": "acme"})


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"id":"m1"}', b'{"flight":1}', b'{"ack":1}'])
def test_anything_else_may_mean_anything(data: bytes) -> None:
    assert read(data) is None
