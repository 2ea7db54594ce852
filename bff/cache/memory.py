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
MEMBER_BYTES = 250
"""What each tag of an item costs: its text, and the item's place under it."""
TAG_BYTES = 150
"""What each tag costs that any item carries: its place in the index."""
_REMEMBERED_DROPS = 4096


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Held:
    """One item: `cost` of its payload in bytes, `expires` in monotonic seconds.

    `tags` include the space's name. Until `stands_in_until` it may stand in for what cannot be had,
    though it expired or what happened to it since may not have been heard.
    """

    value: object
    cost: int
    expires: float
    tags: frozenset[tuple[str, str]]
    stands_in_until: float = -math.inf


class Memory:
    """A byte-bounded map of immutable values. Not thread-safe: one event loop owns it.

    `on_evicted` hears of each item that goes for want of room.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.evictions = 0
        self.on_evicted: Callable[[], None] = _nothing
        self._items: OrderedDict[Hashable, Held] = OrderedDict()
        self._items_bytes = 0
        self._by_tag: dict[tuple[str, str], set[Hashable]] = {}
        self._sequence = 0
        self._floor = 0
        self._drops: deque[tuple[int, frozenset[tuple[str, str]]]] = deque()

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

    def stand_in(self, key: Hashable, now: float) -> Held | None:
        """What was put under `key` and not dropped, though it may have been forgotten since."""
        held = self._items.get(key)
        return held if held is not None and now < held.stands_in_until else None

    def put(self, key: Hashable, held: Held, ticket: int) -> bool:
        """Keep a value unless something among its tags was dropped after `ticket`."""
        if self.overtaken(held.tags, ticket):
            return False
        self._remove(key)
        if _bytes_of(held) + TAG_BYTES * len(held.tags) > self.max_bytes:
            return False
        self._items[key] = held
        self._items_bytes += _bytes_of(held)
        for tag in held.tags:
            self._by_tag.setdefault(tag, set()).add(key)
        while self.used_bytes > self.max_bytes:
            self._remove(next(iter(self._items)))
            self.evictions += 1
            self.on_evicted()
        return True

    def overtaken(self, tags: frozenset[tuple[str, str]], ticket: int) -> bool:
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
        keys = [key for tag in dropped for key in self._by_tag.get(tag, ())]
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

    def _remove(self, key: Hashable) -> bool:
        held = self._items.pop(key, None)
        if held is None:
            return False
        self._items_bytes -= _bytes_of(held)
        for tag in held.tags:
            keys = self._by_tag[tag]
            keys.discard(key)
            if not keys:
                del self._by_tag[tag]
        return True


def _bytes_of(held: Held) -> int:
    """What one item takes, the index of its tags aside."""
    return held.cost + ITEM_BYTES + MEMBER_BYTES * len(held.tags)
