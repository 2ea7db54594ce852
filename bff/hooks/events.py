"""What a webhook body says about whom: ids, and nothing else of the personal data it carries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

MAX_ITEMS = 1_000

_MAX_ID = 2**63 - 1
# `int` also takes digits of other scripts, which the weaker of the two signatures does not cover.
_DIGITS = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Affected:
    """Whose cached data an event makes old.

    `understood` is false when the body, or a part of it, was not of the documented form.
    """

    users: frozenset[int] = frozenset()
    coworkers: frozenset[int] = frozenset()
    understood: bool = True

    @property
    def empty(self) -> bool:
        """Whether nobody is affected, as far as was understood."""
        return not (self.users or self.coworkers)


def parse_events(raw: bytes) -> Affected:
    """The ids in a webhook body: a JSON array of flat entities, or one entity (FACTS section 9).

    A coworker record gives its `Id` and `UserId`, any other entity its `CoworkerId`, whatever has
    neither nothing. Reads `MAX_ITEMS` entities. What is not JSON or not an entity is passed over
    with `understood=False`; never raises.
    """
    try:
        document: object = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return Affected(understood=False)
    items = document if isinstance(document, list) else [document]
    users: set[int] = set()
    coworkers: set[int] = set()
    understood = len(items) <= MAX_ITEMS
    for item in items[:MAX_ITEMS]:
        if not isinstance(item, dict):
            understood = False
            continue
        coworkers |= _identifier(item, "CoworkerId")
        if _is_coworker(item):
            coworkers |= _identifier(item, "Id")
            users |= _identifier(item, "UserId")
    return Affected(frozenset(users), frozenset(coworkers), understood)


def _is_coworker(item: Mapping[str, object]) -> bool:
    # The body names no entity (FACTS section 9): a coworker is known by fields that no other has.
    return "CoworkerType" in item or {"FullName", "UserId"} <= item.keys()


def _identifier(item: Mapping[str, object], field: str) -> frozenset[int]:
    """The positive 64-bit id in `field`, which may be a string of digits (FACTS section 7)."""
    value = item.get(field)
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_ID:
        return frozenset({value})
    return frozenset()
