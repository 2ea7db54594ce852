"""The bootstrap document as a whole: members of several answers side by side. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import orjson

from bff.resources import Resource
from bff.session.part_problem import PartProblem

OWN_MEMBER: Final = "Bootstrap"


class Side(NamedTuple):
    """What one answer brings to the document: members, and the text of an object of just those."""

    members: Mapping[str, object]
    text: bytes


class Merged(NamedTuple):
    """The whole document, and the texts of objects that have its members one after another."""

    members: Mapping[str, object]
    texts: Sequence[bytes]

    @property
    def size(self) -> int:
        """Bytes of the text: of each object there is a comma instead of two braces."""
        return sum(map(len, self.texts)) - len(self.texts) + 1

    def text(self) -> bytes:
        """Of the whole, which most shapes leave unwritten."""
        return b"{%b}" % b",".join([text[1:-1] for text in self.texts])


@lru_cache(maxsize=64)
def absent(text: bytes) -> Side:
    """What stands for a document that a session has not."""
    members = orjson.loads(text)
    return Side(members, orjson.dumps(members))


def told(active: int | None, problems: Sequence[PartProblem]) -> Side:
    """What the gateway itself says of a session."""
    own = {
        "CoworkerId": active,
        "Complete": not problems,
        "Problems": [problem.as_json() for problem in problems],
    }
    members = {OWN_MEMBER: own}
    return Side(members, orjson.dumps(members))


def merge(listed: Side, brought: Sequence[tuple[Resource, Side]], own: Side) -> Merged:
    """A part brings its own members, and others that the profile list has not."""
    merged = dict(listed.members)
    merged.pop(OWN_MEMBER, None)
    for resource, side in brought:
        for name, value in side.members.items():
            if name in resource.members or name not in listed.members:
                merged[name] = value
    merged |= own.members
    sides = [listed, *(side for _, side in brought), own]
    if len(merged) < sum(len(side.members) for side in sides):
        return Merged(merged, [orjson.dumps(merged)])  # a name stands in several
    return Merged(merged, [side.text for side in sides if side.members])
