"""A whole session document that is parsed in process, for requests that differ in shape alone."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from bff.edge.counts import Counts
from bff.edge.hot_answer import Dated, Hot, Setting, as_of
from bff.edge.respond import JSON_TYPE, Finished, RepresentationKey, encode
from bff.resources import PARTS, Resource
from bff.session.bootstrap import wanted
from bff.session.documents import Whole
from bff.shape import Shape

_ANY_SHAPE: Final = b"+"
_BEFORE: Final = b"_shape="
_PLAIN: Final = (string.ascii_letters + string.digits + "_.,@-").encode()


class HotWhole:
    """`key`: of its representations but for their shape, which is empty there."""

    __slots__ = ("_counts", "_dated", "_fetched_at", "_parts", "_whose", "key", "setting", "whole")

    def __init__(
        self, key: RepresentationKey, whole: Whole, counts: Counts, setting: Setting
    ) -> None:
        self.key: Final = key
        self.whole: Final = whole
        self.setting: Final = setting
        self._counts = counts
        self._whose = key.whose()
        self._dated = Dated(math.inf, -math.inf, ())
        readings = whole.readings
        self._parts = tuple(reading.part for reading in readings)
        self._fetched_at = min(reading.entry.fetched_at for reading in readings)

    def in_shape(self, shape: Shape, name: str, now: float) -> Hot:
        """The answer in a shape that was asked for by `name`, as the usual way makes it.

        `now`: UTC seconds.
        """
        body, left_out = self.whole.in_shape(shape)
        key = RepresentationKey(
            self.key.space, self.key.digest, self.key.route, self.key.ident,
            shape.canonical, self.key.variant, self.key.encoding,
        )  # fmt: skip
        encoded = encode(body, key.encoding, self._whose, key.shape)
        finished = Finished(
            200, JSON_TYPE, encoded.encoding, encoded.body, encoded.validator, True,
            self._fetched_at, self.whole.fresh_until, len(body), left_out,
            self._counts, self._parts,
        )  # fmt: skip
        if not self._dated.since <= now < self._dated.until:
            self._dated = as_of(now, self.setting, self._fetched_at, self.whole.fresh_until)
        return Hot(key, finished, self.setting, name, self._dated)


@lru_cache(maxsize=64)
def parts_for(roots: frozenset[str]) -> bytes:
    """The parts of the document that shapes are made of which name these members of it."""
    return parts_name(wanted(PARTS, roots))


def parts_name(parts: Sequence[Resource]) -> bytes:
    """How the name of a document with these parts goes on."""
    return _ANY_SHAPE + ",".join([part.name for part in parts]).encode()


def plain_shape(query: bytes) -> str | None:
    """The text of a `_shape` that is all of a query, and needs no decoding."""
    text = query.removeprefix(_BEFORE)
    if len(text) == len(query) or not text or text.translate(None, _PLAIN):
        return None
    return text.decode("ascii")
