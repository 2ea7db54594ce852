"""The in-process tier: never above its bytes, least recently used first, dropped by tag."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Callable, Hashable

import orjson
import pytest

from bff.cache import tags
from bff.cache.entry import Entry
from bff.cache.keys import Address, Container, Scope
from bff.cache.memory import (
    _REMEMBERED_DROPS,
    ITEM_BYTES,
    MEMBER_BYTES,
    TAG_BYTES,
    TAGS_BYTES,
    Held,
    Memory,
    compact,
)

SPACE = "acme"
FOREVER = 1e12


def held(value: object = "v", cost: int = 100, expires: float = FOREVER, *on: str) -> Held:
    return Held(value, cost, expires, frozenset((SPACE, tag) for tag in on))


def tagged(*on: str) -> Held:
    return held("v", 100, FOREVER, *on)


def test_what_is_put_is_found_until_it_expires() -> None:
    memory = Memory(10_000)
    assert memory.put("a", held("v", 1, 50.0), memory.ticket())
    assert memory.get("a", 49.9) == "v"
    assert memory.get("a", 50.0) is None
    assert len(memory) == memory.used_bytes == 0


def test_an_unknown_key_is_not_found() -> None:
    assert Memory(10_000).get("a", 0) is None


def test_an_item_costs_its_payload_its_record_and_its_tags() -> None:
    memory = Memory(10_000)
    memory.put("a", held("v", 100, FOREVER, "u:1", "c:1"), 0)
    one = 100 + ITEM_BYTES + TAGS_BYTES + 2 * MEMBER_BYTES
    assert memory.used_bytes == one + 2 * TAG_BYTES
    memory.put("b", held("v", 100, FOREVER, "u:1"), 0)
    other = 100 + ITEM_BYTES + TAGS_BYTES + MEMBER_BYTES
    assert memory.used_bytes == one + other + 2 * TAG_BYTES
    memory.drop(SPACE, ["c:1"])
    assert memory.used_bytes == other + TAG_BYTES
    memory.drop(SPACE, ["u:1"])
    assert memory.used_bytes == 0


def test_items_with_the_same_tags_share_them() -> None:
    memory = Memory(10_000)
    first, *others = (held("v", 100, FOREVER, "u:1", "c:1") for _ in range(3))
    memory.put("a", first, 0)
    alone = memory.used_bytes
    for key, item in zip("bc", others, strict=True):
        memory.put(key, item, 0)
        kept = memory.held(key, 0)
        assert kept is not None
        assert kept.tags is first.tags
    assert memory.used_bytes == alone + 2 * (100 + ITEM_BYTES)
    # Whoever goes first, the others are found as before.
    assert memory.put("a", held("v", 100, FOREVER, "u:2"), 0)
    assert memory.drop(SPACE, ["c:1"]) == 2
    assert memory.drop(SPACE, ["u:2"]) == 1
    assert memory.used_bytes == 0


def test_the_least_recently_used_goes_first() -> None:
    memory = Memory(3 * (100 + ITEM_BYTES) + TAGS_BYTES)
    for key in "abc":
        memory.put(key, held(), 0)
    memory.get("a", 0)
    memory.put("d", held(), 0)
    assert [key for key in "abcd" if memory.get(key, 0)] == ["a", "c", "d"]
    assert memory.evictions == 1


def test_putting_again_counts_as_use_and_replaces() -> None:
    memory = Memory(2 * (100 + ITEM_BYTES) + TAGS_BYTES)
    memory.put("a", held("old"), 0)
    memory.put("b", held(), 0)
    memory.put("a", held("new"), 0)
    memory.put("c", held(), 0)
    assert memory.get("a", 0) == "new"
    assert memory.get("b", 0) is None
    assert len(memory) == 2


def test_an_item_larger_than_everything_is_not_kept_nor_is_the_one_it_replaces() -> None:
    memory = Memory(5_000)
    memory.put("a", held("old"), 0)
    memory.put("b", held(), 0)
    assert not memory.put("a", held("new", 5_000), 0)
    assert memory.get("a", 0) is None
    assert memory.get("b", 0) == "v"


def test_an_item_whose_tags_alone_pass_the_bound_is_not_kept() -> None:
    memory = Memory(5_000)
    assert not memory.put("a", held("v", 0, FOREVER, *(f"c:{n}" for n in range(50))), 0)
    assert memory.used_bytes == 0


def test_dropping_a_tag_drops_all_that_carry_it_in_that_space_only() -> None:
    memory = Memory(100_000)
    memory.put("a", tagged("u:1", "c:1"), 0)
    memory.put("b", tagged("u:1"), 0)
    memory.put("c", tagged("u:2"), 0)
    memory.put("d", Held("v", 1, FOREVER, frozenset({("beta", "u:1")})), 0)
    assert memory.drop(SPACE, ["u:1", "c:1", "c:9"]) == 2
    assert [key for key in "abcd" if memory.get(key, 0)] == ["c", "d"]


def test_pitfall_14_what_was_read_before_a_drop_is_not_put_after_it() -> None:
    memory = Memory(100_000)
    ticket = memory.ticket()
    memory.drop(SPACE, ["u:1"])
    assert not memory.put("a", tagged("u:1"), ticket)
    assert memory.put("a", tagged("u:1"), memory.ticket())


def test_a_drop_of_other_tags_or_another_space_refuses_nothing() -> None:
    memory = Memory(100_000)
    ticket = memory.ticket()
    memory.drop(SPACE, ["u:2"])
    memory.drop("beta", ["u:1"])
    assert memory.put("a", tagged("u:1"), ticket)


def test_a_drop_older_than_the_ticket_refuses_nothing() -> None:
    memory = Memory(100_000)
    memory.drop(SPACE, ["u:1"])
    ticket = memory.ticket()
    memory.drop(SPACE, ["u:2"])
    assert memory.put("a", tagged("u:1"), ticket)


def test_a_refused_put_leaves_what_is_there() -> None:
    memory = Memory(100_000)
    ticket = memory.ticket()
    memory.drop(SPACE, ["u:1"])
    memory.put("a", held("newer", 1, FOREVER, "u:1"), memory.ticket())
    assert not memory.put("a", held("older", 1, FOREVER, "u:1"), ticket)
    assert memory.get("a", 0) == "newer"


def test_a_ticket_older_than_all_remembered_drops_is_refused() -> None:
    memory = Memory(100_000)
    old = memory.ticket()
    memory.drop(SPACE, ["u:1"])
    still_known = memory.ticket()
    for _ in range(_REMEMBERED_DROPS):
        memory.drop(SPACE, ["u:2"])
    assert memory.overtaken(frozenset({(SPACE, "u:3")}), old)
    assert not memory.overtaken(frozenset({(SPACE, "u:3")}), still_known)
    assert memory.overtaken(frozenset({(SPACE, "u:2")}), still_known)


def test_clearing_forgets_everything_and_refuses_what_was_begun_before() -> None:
    memory = Memory(100_000)
    ticket = memory.ticket()
    memory.put("a", tagged("u:1"), ticket)
    memory.forget()
    assert memory.get("a", 0) is None
    assert len(memory) == memory.used_bytes == 0
    assert not memory.put("a", tagged("u:1"), ticket)
    assert memory.put("a", tagged("u:1"), memory.ticket())


def profile_list(number: int, size: int) -> tuple[Hashable, Held]:
    """A document of one token, as `TieredCache` holds it: four tags, one of them common."""
    on = (tags.resource("profiles"), tags.user(10**7 + number), tags.coworker(10**8 + number))
    container = Container(SPACE, Scope.TOKEN, f"{number:032d}")
    return _document(Address(container, "profiles", "", "en|"), size, on)


def related_list(number: int, size: int) -> tuple[Hashable, Held]:
    """A shared document that mentions twenty of two thousand coworkers."""
    ident = 10**8 + number
    others = (tags.coworker(10**8 + (number * 7 + step) % 2_000) for step in range(20))
    on = (tags.resource("related"), *others)
    container = Container(SPACE, Scope.COWORKER, str(ident))
    return _document(Address(container, "related", str(ident), "en|"), size, on)


def _document(address: Address, size: int, on: tuple[str, ...]) -> tuple[Hashable, Held]:
    body = os.urandom(size)
    value = Entry(200, body, 1.7e9 + size / 7, on)
    scoped = frozenset((SPACE, tag) for tag in {*on, address.container.label})
    return address.text, Held(value, len(body) + len(address.text), FOREVER + size, scoped)


@pytest.mark.unmeasured
@pytest.mark.parametrize("size", [300, 3_000])
@pytest.mark.parametrize("make", [profile_list, related_list])
def test_the_bytes_it_counts_are_the_bytes_it_takes(
    make: Callable[[int, int], tuple[Hashable, Held]], size: int
) -> None:
    memory, count = Memory(2**40), 1_000
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(count):
            key, item = make(number, size)
            memory.put(key, item, 0)
        del key, item
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(memory) == count
    assert 0.75 < memory.used_bytes / taken < 1.25


def test_compact_bytes_are_the_same_and_take_no_more_room_than_they_need() -> None:
    document = ["x" * 100] * 90
    tracemalloc.start()
    try:
        kept = compact(orjson.dumps(document))
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept == orjson.dumps(document)
    # Whoever measures coverage takes some as well; what orjson leaves beside it would be 50 KB.
    assert taken < len(kept) + 4_096


def standing(expires: float, until: float, *on: str) -> Held:
    return Held("v", 100, expires, frozenset((SPACE, tag) for tag in on), until)


def test_what_expired_may_stand_in_for_a_while_and_is_then_forgotten() -> None:
    memory = Memory(100_000)
    memory.put("a", standing(10, 50, "u:1"), memory.ticket())
    assert memory.get("a", 10) is None
    assert memory.stand_in("a", 49.9) is not None
    assert memory.stand_in("a", 50) is None
    assert memory.get("a", 50) is None
    assert len(memory) == memory.used_bytes == 0


def test_what_was_forgotten_stands_in_but_is_not_got_and_not_after_it_was_dropped() -> None:
    memory = Memory(100_000)
    memory.put("a", standing(FOREVER, 50, "u:1"), memory.ticket())
    memory.put("b", tagged("u:1"), memory.ticket())
    memory.forget()
    assert memory.get("a", 0) is None
    assert memory.stand_in("a", 0) is not None
    assert memory.stand_in("b", 0) is None
    memory.drop(SPACE, ["u:1"])
    assert memory.stand_in("a", 0) is None
    assert len(memory) == memory.used_bytes == 0


def test_what_is_gone_is_not_touched() -> None:
    memory = Memory(10_000)
    memory.put("a", held("v", 1, FOREVER), 0)
    memory.touch("b")
    memory.put("b", held("w", 1, FOREVER), 0)
    memory.touch("a")
    assert list(memory._items) == ["b", "a"]
