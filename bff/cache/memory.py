"""The in-process tier: bounded in bytes, least recently used goes first, dropped by tag.

Order within the process is a counter, not a clock. Whoever is about to read something takes a
`ticket`; what it read may be put only if nothing that concerns it was dropped after that ticket.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

ITEM_BYTES = 560
"""What one item costs beside its payload: record, place in the order; the tests measure it."""
MEMBER_BYTES = 250
"""What each tag of an item costs: its text, and the item's place under it."""
TAG_BYTES = 150
"""What each tag costs that any item carries: its place in the index."""
_REMEMBERED_DROPS = 4096


@dataclass(frozen=True, slots=True)
class Held:
    """One item: `cost` of its payload in bytes, `expires` in monotonic seconds.

    `tags` include the space's name.
    """

    value: object
    cost: int
    expires: float
    tags: frozenset[tuple[str, str]]


class Memory:
    """A byte-bounded map of immutable values. Not thread-safe: one event loop owns it."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.evictions = 0
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
        held = self._items.get(key)
        if held is None:
            return None
        if now >= held.expires:
            self._remove(key)
            return None
        self._items.move_to_end(key)
        return held.value

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

    def clear(self) -> None:
        """Forget everything, and refuse whatever was begun before now."""
        self._sequence += 1
        self._floor = self._sequence
        self._drops.clear()
        self._items.clear()
        self._by_tag.clear()
        self._items_bytes = 0

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
