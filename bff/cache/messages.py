"""What is said on the bus, as bytes and as values, and who is told.

Other versions may say more than is known here: that is passed over. Of an invalidation that an
earlier one published it is not told how the store saw it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import orjson

from bff.cache.lineage import Step

ONLY_NODE = ""


@dataclass(frozen=True, slots=True)
class Beat:
    """A process's own heartbeat, `sent` at its monotonic seconds, by way of a node."""

    sent: float
    node: str

    def encode(self) -> bytes:
        return orjson.dumps({"beat": self.sent, "node": self.node})


@dataclass(frozen=True, slots=True)
class Ack:
    """`peer` has applied an invalidation."""

    message_id: str
    peer: str

    def encode(self) -> bytes:
        return orjson.dumps({"ack": self.message_id, "from": self.peer})


@dataclass(frozen=True, slots=True)
class OfFlight:
    """Something about a flight, for whoever leads it or waits for it."""

    members: dict[str, object]


@dataclass(frozen=True, slots=True)
class Dropped:
    """An invalidation by `sender`. `step`: as the store saw it, which `invalidate.lua` adds."""

    message_id: str
    sender: str
    space: str
    tags: frozenset[str]
    step: Step | None


def announce(message_id: str, sender: str, space: str, tags: Iterable[str]) -> bytes:
    """A JSON object that is not empty: the script puts `before` and `stamp` at its end."""
    return orjson.dumps({"id": message_id, "from": sender, "space": space, "tags": sorted(tags)})


def read(data: bytes) -> Beat | Ack | OfFlight | Dropped | None:
    """None for what has another form: it may have meant anything."""
    try:
        message: object = orjson.loads(data)
    except ValueError:
        return None
    match message:
        case {"beat": int() | float() as sent, **rest}:
            return Beat(sent, str(rest.get("node", ONLY_NODE)))
        case {"ack": str(message_id), "from": str(peer)}:
            return Ack(message_id, peer)
        case {"flight": dict(members)}:
            return OfFlight(members)
        case {
            "id": str(sent_id),
            "from": str(peer),
            "space": str(space),
            "tags": list(tags),
            **rest,
        }:
            return Dropped(sent_id, peer, space, frozenset(map(str, tags)), _step(rest))
    return None


def _step(members: dict[object, object]) -> Step | None:
    match members:
        case {"before": int(before), "stamp": int(stamp)}:
            return Step(before, stamp)
    return None


@dataclass(frozen=True, slots=True)
class Listener:
    """What the bus calls: `apply(space, tags)` for a message, `lost()` when it may have missed.

    `stands()`: from now on all is heard. `passed(space, step)`: an invalidation by another, as the
    store saw it; if that shows that the store forgot others, True, and `mended()` returns once
    these are seen to.
    """

    apply: Callable[[str, frozenset[str]], None]
    lost: Callable[[], None]
    stands: Callable[[], None]
    passed: Callable[[str, Step], bool]
    mended: Callable[[], Awaitable[None]]
