"""How an answer gets from the task that reads it to whoever asked: as it comes, or whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bff.errors import BffError, UnusableAnswer
from bff.nexudus.headers import Header
from bff.nexudus.places import Place

AHEAD: Final = 3
"""Head, body and end of a small answer: its exchange ends without waiting for the reader."""
TURN: Final = 64
"""Pieces of one answer, before whatever else there is to do has its turn: to read what has arrived
waits for nothing, and it may be cut as small as one likes."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and raw headers of a response, as they came."""

    status: int
    headers: tuple[Header, ...]


class End(Enum):
    """Of a response that is whole."""

    END = "end"


Event = Head | bytes | BffError | End
"""A head, its body, and at the end how it ended, which is all where there is no head."""


class Pieces:
    """A body as it comes, AHEAD of its reader by so much: a slow one slows the upstream down."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._events: asyncio.Queue[Event] = asyncio.Queue(maxsize=AHEAD)

    async def put(self, event: Event) -> None:
        """What comes next; waits for the reader, if need be."""
        if self._events.full():
            with self._place.standing():
                await self._events.put(event)
        else:
            self._events.put_nowait(event)

    def end_with(self, error: BffError) -> None:
        """Instead of what was put and not read yet."""
        self.discard()
        self._events.put_nowait(error)

    def discard(self) -> None:
        """Nobody reads it any more."""
        while not self._events.empty():
            self._events.get_nowait()

    async def next(self) -> Head | bytes | End:
        """What was put next. Raises the error that it is."""
        event = await self._events.get()
        if isinstance(event, BffError):
            raise event
        return event


class Parcel:
    """An answer whose reader is woken once: when all of it is there, or more than `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._head: Head | None = None
        self._body = bytearray()
        self._pieces = 0
        self._ended: asyncio.Future[BffError | End] = asyncio.get_running_loop().create_future()

    async def put(self, event: Event) -> None:
        """What comes next; waits for nobody, but lets everybody have a turn."""
        if isinstance(event, Head):
            self._head = event
        elif isinstance(event, bytes):
            self._take(event)
            self._pieces += 1
            if self._pieces % TURN == 0:
                await asyncio.sleep(0)
        else:
            self._end(event)

    def end_with(self, error: BffError) -> None:
        """Instead of what was put."""
        self._end(error)

    def discard(self) -> None:
        """Nobody reads it any more."""
        self._body = bytearray()

    async def opened(self) -> tuple[Head, bytes]:
        """Head and body. Raises the error that it ended with."""
        ended = await self._ended
        if isinstance(ended, BffError):
            raise ended
        assert self._head is not None
        return self._head, bytes(self._body)

    def _take(self, piece: bytes) -> None:
        if not self._ended.done():
            self._body += piece
            if len(self._body) > self._most:
                self._end(UnusableAnswer(f"Nexudus' answer is longer than {self._most} bytes"))

    def _end(self, event: BffError | End) -> None:
        if not self._ended.done():
            if isinstance(event, BffError):
                self.discard()  # or the error keeps it, by its traceback, until garbage is searched
            self._ended.set_result(event)
