"""A whole session document that is parsed in process, for requests that differ in shape alone."""

from __future__ import annotations

import re
from typing import Final

from bff.edge.compression import Encoding, compress, worth_compressing
from bff.edge.counts import Counts
from bff.edge.hot_answer import Hot, Setting
from bff.edge.respond import JSON_TYPE, Finished, RepresentationKey, validator_of
from bff.session.bootstrap import in_shape
from bff.session.documents import Whole
from bff.shape import Shape

_PLAIN: Final = re.compile(rb"_shape=([A-Za-z0-9_.,@-]+)")


class HotWhole:
    """`key`: of its representations but for their shape, which is empty there."""

    __slots__ = ("_counts", "_fetched_at", "_parts", "_stale_at", "key", "setting", "whole")

    def __init__(
        self, key: RepresentationKey, whole: Whole, counts: Counts, setting: Setting
    ) -> None:
        self.key: Final = key
        self.whole: Final = whole
        self.setting: Final = setting
        self._counts = counts
        readings = whole.readings
        self._parts = tuple(reading.part for reading in readings)
        self._fetched_at = min(reading.entry.fetched_at for reading in readings)
        self._stale_at = whole.fresh_until

    def in_shape(self, shape: Shape, name: str) -> Hot:
        """The answer in a shape that was asked for by `name`, as the usual way makes it."""
        document = in_shape(self.whole, shape)
        body = document.body
        key = RepresentationKey(
            self.key.space, self.key.digest, self.key.route, self.key.ident,
            shape.canonical, self.key.variant, self.key.encoding,
        )  # fmt: skip
        encoding = key.encoding if worth_compressing(body) else Encoding.IDENTITY
        finished = Finished(
            200, JSON_TYPE, encoding, compress(body, encoding), validator_of(key, body, encoding),
            True, self._fetched_at, self.whole.fresh_until, len(body), document.left_out,
            self._counts, self._parts,
        )  # fmt: skip
        return Hot(key, finished, self.setting, name, self._stale_at)


def plain_shape(query: bytes) -> str | None:
    """The text of a `_shape` that is all of a query, and needs no decoding."""
    found = _PLAIN.fullmatch(query)
    return found[1].decode("ascii") if found else None
