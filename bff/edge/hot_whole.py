"""A whole session document that is parsed in process, for requests that differ in shape alone."""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from typing import Final, NamedTuple

from bff.edge.counts import Counts
from bff.edge.hot_answer import Dated, Setting, as_of
from bff.edge.respond import JSON_TYPE, Encoded, Finished, RepresentationKey, encode, of_kind
from bff.errors import ShapeError
from bff.nexudus.headers import Header
from bff.resources import PARTS, Resource
from bff.session.bootstrap import wanted
from bff.session.documents import Whole
from bff.session.reading import Part
from bff.shape import NamedShapes, Shape

Moment = tuple[float, float]
"""Now, in monotonic and in UTC seconds."""
MayUse = Callable[[Setting, float, Moment], bool]
"""Whether what is kept so, and ceases to be fresh then (UTC seconds), is good at a moment."""

ASKED: Final = b"?"
"""Before the query, in the name of a request."""
_ANY_SHAPE: Final = b"+"
"""In its place before the parts of a whole document, in the name of that."""
_BEFORE: Final = b"_shape="
_PLAIN: Final = (string.ascii_letters + string.digits + "_.,@-").encode()


class HotWhole:
    """`key`: of its representations but for their shape, which is empty there."""

    __slots__ = ("_dated", "_fetched_at", "counts", "key", "parts", "setting", "whole", "whose")

    def __init__(
        self, key: RepresentationKey, whole: Whole, counts: Counts, setting: Setting
    ) -> None:
        self.key: Final = key
        self.whole: Final = whole
        self.counts: Final = counts
        self.setting: Final = setting
        self.whose: Final = key.whose()
        self._dated = Dated(math.inf, -math.inf, ())
        readings = whole.readings
        self.parts: Final = tuple(reading.part for reading in readings)
        self._fetched_at = min(reading.entry.fetched_at for reading in readings)

    def headers(self, encoded: Encoded, now: float, *, modified: bool) -> list[Header]:
        """As those of `Hot`."""
        dated = self._dated
        if not dated.since <= now < dated.until:
            fresh_until = self.whole.fresh_until
            dated = self._dated = as_of(now, self.setting, self._fetched_at, fresh_until)
        etag = b"etag", encoded.validator.encode()
        if not modified:
            return [etag, *dated.headers]
        length = b"content-length", str(len(encoded.body)).encode()
        return [etag, *dated.headers, length, *of_kind(JSON_TYPE, encoded.encoding)]

    def finished(self, shape: Shape, counts: Counts) -> Finished:
        """To be kept."""
        body, left_out = self.whole.in_shape(shape)
        encoded = encode(body, self.key.encoding, self.whose, shape.canonical)
        return Finished(
            200, JSON_TYPE, encoded.encoding, encoded.body, encoded.validator, True,
            self._fetched_at, self.whole.fresh_until, len(body), left_out, counts, self.parts,
        )  # fmt: skip


class MadeAnswer(NamedTuple):
    """What is told of an answer that was made of `of` and is not kept. `name`: of its request.

    `shape`: what it was asked by, `canonical`: what that stands for; `size`: bytes of its body,
    `length`: before it was encoded, `left_out`: those that the shape spared before; `validator`: of
    the body.
    """

    of: HotWhole
    name: bytes
    shape: str
    canonical: str
    size: int
    length: int
    left_out: int
    validator: str

    @property
    def key(self) -> RepresentationKey:
        """Of this representation."""
        return replace(self.of.key, shape=self.canonical)

    @property
    def setting(self) -> Setting:
        """What it shares with others of the document."""
        return self.of.setting

    @property
    def parts(self) -> tuple[Part, ...]:
        """What the document was made of."""
        return self.of.parts


_Selected = tuple[HotWhole, str, bytes]
"""A document, a canonical shape, and what that selects of it."""


class HotWholes:
    """The whole documents that `names` lead to. For any thread."""

    def __init__(self, names: Mapping[bytes, object], shapes: NamedShapes, may_use: MayUse) -> None:
        self._names = names
        self._shapes = shapes
        self._may_use = may_use

    def make(self, whose: bytes, query: bytes, at: Moment) -> tuple[MadeAnswer, Encoded] | None:
        """What answers a query that is a plain shape; None where the usual way is to say."""
        text = _plain_shape(query)
        if text is None:
            return None
        selected = self._joined(whose, text, at) or self._projected(whose, text, at)
        if selected is None:
            return None
        whole, canonical, body = selected
        encoded = encode(body, whole.key.encoding, whole.whose, canonical)
        name, asked_by = whose + ASKED + query, text if text.startswith("@") else canonical
        left_out = whole.whole.size - len(body) if canonical else 0
        made = MadeAnswer(
            whole, name, asked_by, canonical, len(encoded.body), len(body), left_out,
            encoded.validator,
        )  # fmt: skip
        return made, encoded

    def _joined(self, whose: bytes, text: str, at: Moment) -> _Selected | None:
        """By paths that were all asked for before: so each is known, and in its canonical form."""
        if not self._shapes.allows(text):
            return None
        paths = frozenset(text.split(","))
        for parts in _DOCUMENTS:
            whole = self._names.get(whose + parts)
            if not isinstance(whole, HotWhole):
                continue
            joined = whole.whole.columns.joined(paths)
            if joined is None or _parts_for(joined[1]) != parts:
                continue
            if not self._may_use(whole.setting, whole.whole.fresh_until, at):
                return None
            return whole, ",".join(sorted(paths)), joined[0]
        return None

    def _projected(self, whose: bytes, text: str, at: Moment) -> _Selected | None:
        try:
            shape = self._shapes.resolve(text)
        except ShapeError:
            return None
        whole = self._of(whose, shape.tree, at)
        return None if whole is None else (whole, shape.canonical, whole.whole.columns.text(shape))

    def _of(self, whose: bytes, roots: Iterable[str], at: Moment) -> HotWhole | None:
        """The document for these members of it, if it may be used."""
        whole = self._names.get(whose + _parts_for(tuple(roots)))
        if not isinstance(whole, HotWhole):
            return None
        return whole if self._may_use(whole.setting, whole.whole.fresh_until, at) else None


@lru_cache(maxsize=64)
def _parts_for(roots: tuple[str, ...]) -> bytes:
    """The parts of the document that shapes are made of which name these members of it."""
    return parts_name(wanted(PARTS, roots))


def parts_name(parts: Sequence[Resource]) -> bytes:
    """How the name of a document with these parts goes on."""
    return _ANY_SHAPE + ",".join([part.name for part in parts]).encode()


_DOCUMENTS: Final = tuple(
    [parts_name(parts) for many in range(len(PARTS) + 1) for parts in combinations(PARTS, many)]
)
"""How the names of all documents go on, of few parts first: they have less to look through."""


def _plain_shape(query: bytes) -> str | None:
    """The text of a `_shape` that is all of a query, and needs no decoding."""
    text = query.removeprefix(_BEFORE)
    if len(text) == len(query) or not text or text.translate(None, _PLAIN):
        return None
    return text.decode("ascii")
