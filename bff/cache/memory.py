"""The in-process tier: bounded in bytes, least recently used goes first, dropped by tag.

Order within the process is a counter, not a clock. Whoever is about to read something takes a
`ticket`; what it read may be put only if nothing that concerns it was dropped after that ticket.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace

ITEM_BYTES = 560
"""What one item costs beside its payload: record, place in the order; the tests measure it."""
TAGS_BYTES = 250
"""What the tags cost that items carry, once for all items that carry the same ones."""
MEMBER_BYTES = 285
"""What each of them costs: its text, and their place under it."""
TAG_BYTES = 150
"""What each tag costs that any item carries: its place in the index."""
_REMEMBERED_DROPS = 4096

Tags = frozenset[tuple[str, str]]
"""Pairs of a space's name and a tag."""


def _nothing() -> None:
    return None


def compact(body: bytes) -> bytes:
    """The same bytes, without the room beside them that orjson and zstandard leave in theirs.

    It may be several times what they take, and nobody sees it: what is kept is passed through here.
    """
    return bytes(memoryview(body))


@dataclass(frozen=True, slots=True)
class Held:
    """One item: `cost` of its payload in bytes, `expires` in monotonic seconds.

    `tags` include the space's name. Until `stands_in_until` it may stand in for what cannot be had,
    though it expired or what happened to it since may not have been heard. `seal`: names the stored
    form that it was opened from, None if it was not.
    """

    value: object
    cost: int
    expires: float
    tags: Tags
    stands_in_until: float = -math.inf
    seal: bytes | None = None


class Memory:
    """A byte-bounded map of immutable values. Not thread-safe: one event loop owns it.

    `on_evicted` hears of each item that goes for want of room. `names`: what `attach` put there, to
    be read by any thread.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.evictions = 0
        self.on_evicted: Callable[[], None] = _nothing
        self.names: dict[bytes, object] = {}
        self._items: OrderedDict[Hashable, Held] = OrderedDict()
        self._named: dict[Hashable, tuple[tuple[bytes, int], ...]] = {}
        self._items_bytes = 0
        # Items that are made of the same documents carry the same tags: those are kept, and found
        # under each of them, once for all of these items.
        self._by_tags: dict[Tags, set[Hashable]] = {}
        self._by_tag: dict[tuple[str, str], set[Tags]] = {}
        self._sequence = 0
        self._floor = 0
        self._drops: deque[tuple[int, Tags]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def used_bytes(self) -> int:
        """What all items and their index take; never above `max_bytes` between calls."""
        return self._items_bytes + TAG_BYTES * len(self._by_tag)

    def ticket(self) -> int:
        """Marks the moment before a read whose result may be put later."""
        return self._sequence

    def get(self, key: Hashable, now: float) -> object | None:
        """The value put under `key`, unless it expired by `now` (monotonic s) or was dropped."""
        held = self.held(key, now)
        return None if held is None else held.value

    def held(self, key: Hashable, now: float) -> Held | None:
        """As `get`, with all that was put."""
        held = self._items.get(key)
        if held is None:
            return None
        if now >= held.expires:
            if now >= held.stands_in_until:
                self._remove(key)
            return None
        self._items.move_to_end(key)
        return held

    def peek(self, key: Hashable) -> Held | None:
        """What is kept under `key`, expired or not; it leaves no trace, unlike a read."""
        return self._items.get(key)

    def keeps(self, key: Hashable, value: object) -> bool:
        """Whether this very value is what is kept under `key`, expired or not."""
        held = self._items.get(key)
        return held is not None and held.value is value

    def stand_in(self, key: Hashable, now: float) -> Held | None:
        """What was put under `key` and not dropped, though it may have been forgotten since."""
        held = self._items.get(key)
        return held if held is not None and now < held.stands_in_until else None

    def put(self, key: Hashable, held: Held, ticket: int) -> bool:
        """Keep a value unless something among its tags was dropped after `ticket`."""
        if self.overtaken(held.tags, ticket):
            return False
        kept = self._items.get(key)
        if kept is not None and kept.value is held.value and _same_place(kept, held):
            self._items[key] = held
            self._items.move_to_end(key)
            return True
        self._remove(key)
        alone = _bytes_of(held) + _bytes_of_tags(held.tags) + TAG_BYTES * len(held.tags)
        if alone > self.max_bytes:
            return False
        self._items[key] = self._under_tags(key, held)
        self._items_bytes += _bytes_of(held)
        self._make_room()
        return True

    def attach(self, key: Hashable, name: bytes, value: object, cost: int) -> bool:
        """Find `value` in `names` for as long as the item under `key` is kept, at `cost` bytes.

        False where there is no such item, or the name is in use or empty.
        """
        if key not in self._items or not name or name in self.names:
            return False
        self.names[name] = value
        self._named[key] = (*self._named.get(key, ()), (name, cost))
        self._items_bytes += cost
        self._items.move_to_end(key)
        self._make_room()
        return True

    def names_of(self, key: Hashable) -> int:
        """How many names lead to the item under `key`."""
        return len(self._named.get(key, ()))

    def touch(self, key: Hashable) -> None:
        """The item under `key`, if it is there, was used just now."""
        if key in self._items:
            self._items.move_to_end(key)

    def overtaken(self, tags: Tags, ticket: int) -> bool:
        """Whether any of `tags` was dropped after `ticket`; unsure counts as yes."""
        if ticket < self._floor:
            return True
        for sequence, dropped in reversed(self._drops):
            if sequence <= ticket:
                return False
            if not dropped.isdisjoint(tags):
                return True
        return False

    def drop(self, space: str, tags: Iterable[str]) -> int:
        """Remove everything that carries one of `tags` in `space`; returns how many items."""
        dropped = frozenset((space, tag) for tag in tags)
        self._sequence += 1
        self._drops.append((self._sequence, dropped))
        if len(self._drops) > _REMEMBERED_DROPS:
            self._floor = self._drops.popleft()[0]
        found = {tags for tag in dropped for tags in self._by_tag.get(tag, ())}
        keys = [key for tags in found for key in self._by_tags[tags]]
        return sum(self._remove(key) for key in keys)

    def forget(self) -> None:
        """Let nothing be got that was put before now, nor put what was begun before.

        What may stand in stays, for `stand_in` only.
        """
        self._sequence += 1
        self._floor = self._sequence
        self._drops.clear()
        for key, held in list(self._items.items()):
            if held.stands_in_until > -math.inf:
                self._items[key] = replace(held, expires=-math.inf)
            else:
                self._remove(key)

    def _make_room(self) -> None:
        while self.used_bytes > self.max_bytes:
            self._remove(next(iter(self._items)))
            self.evictions += 1
            self.on_evicted()

    def _remove(self, key: Hashable) -> bool:
        held = self._items.pop(key, None)
        if held is None:
            return False
        for name, cost in self._named.pop(key, ()):
            del self.names[name]
            self._items_bytes -= cost
        self._items_bytes -= _bytes_of(held)
        keys = self._by_tags[held.tags]
        keys.discard(key)
        if not keys:
            self._forget_tags(held.tags)
        return True

    def _under_tags(self, key: Hashable, held: Held) -> Held:
        """The item, now in the index, with the very tags of those that carry the same."""
        keys = self._by_tags.setdefault(held.tags, set())
        if keys:
            tags = self._items[next(iter(keys))].tags
            held = held if held.tags is tags else replace(held, tags=tags)
        else:
            self._items_bytes += _bytes_of_tags(held.tags)
            for tag in held.tags:
                self._by_tag.setdefault(tag, set()).add(held.tags)
        keys.add(key)
        return held

    def _forget_tags(self, tags: Tags) -> None:
        """No item carries them any more."""
        del self._by_tags[tags]
        self._items_bytes -= _bytes_of_tags(tags)
        for tag in tags:
            found = self._by_tag[tag]
            found.discard(tags)
            if not found:
                del self._by_tag[tag]


def _same_place(one: Held, other: Held) -> bool:
    return one.cost == other.cost and one.tags == other.tags


def _bytes_of(held: Held) -> int:
    """What one item takes, its tags aside."""
    return held.cost + ITEM_BYTES


def _bytes_of_tags(tags: Tags) -> int:
    """What the tags of an item take, their places in the index aside."""
    return TAGS_BYTES + MEMBER_BYTES * len(tags)
