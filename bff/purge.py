"""`bff purge`: one call of the operators' API, and what came of it in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bff.operating import ask, not_a_gateway

PATH: Final = "/ops/api/purge"


@dataclass(frozen=True, slots=True)
class Purged:
    """`everywhere`: no process serves the old copies any more; `stored`: Redis has dropped them.

    `space`: the names of all of them, if it was more than one.
    """

    space: str
    what: str
    stored: bool
    everywhere: bool


def purge(origin: str, ops_token: str, asked: Mapping[str, object]) -> Purged:
    """Ask the gateway at `origin` (a URL) to drop what `asked` names, as its API reads it.

    Raises CommandFailed, with the gateway's own words where it has any.
    """
    match ask(origin, ops_token, PATH, asked):
        case {
            "space": str(space),
            "purged": str(what),
            "stored": bool(stored),
            "everywhere": bool(everywhere),
            **others,
        }:
            spaces = others.get("spaces")
            named = ", ".join(map(str, spaces)) if isinstance(spaces, list) else ""
            return Purged(space or named, what, stored, everywhere)
    raise not_a_gateway(origin)
