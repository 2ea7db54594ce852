"""Named shapes: `_shape=@name` stands for reviewed text from the configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Final

from bff.errors import ShapeError
from bff.noticed import Noticed
from bff.shape.grammar import DEFAULT_LIMITS, Limits, Shape, parse, quoted

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

# A compiled shape takes up to some 130 bytes for each character of its text. Callers choose the
# text, so both numbers together are what bounds the memory, to about 18 MB.
_REMEMBERED_SHAPES: Final = 128
_REMEMBERED_CHARS: Final = 1024
_NOTICED: Final = 1024
"""Most texts are asked for once: those that are not are remembered from the second time on."""

DEFAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "portal": (
            "User.Id,User.FullName,User.Email,User.IsAdmin,"
            "DefaultBusiness.Id,DefaultBusiness.Name,DefaultBusiness.WebAddress,"
            "Profiles.Id,Profiles.FullName,Profiles.CompanyName,Profiles.Active,"
            "Profiles.IsDefaultProfile,Profiles.CoworkerType,Profiles.HasVirtualOffice,"
            "Profiles.VirtualOfficePaused,Profiles.VirtualOfficeContractId,"
            "RelatedProfiles.Id,RelatedProfiles.FullName,RelatedProfiles.AvatarUrl,"
            "RelatedProfiles.GuessedFirstName,RelatedProfiles.Position,"
            "RelatedProfiles.CompanyName,RelatedProfiles.ProfileTagsList,"
            "Bootstrap"
        ),
        "mobile": (
            "User.Id,User.FullName,"
            "DefaultBusiness.Name,DefaultBusiness.WebAddress,"
            "Profiles.Id,Profiles.FullName,Profiles.Active,Profiles.IsDefaultProfile,"
            "RelatedProfiles.Id,RelatedProfiles.FullName,RelatedProfiles.AvatarUrl,"
            "RelatedProfiles.CompanyName,"
            "Bootstrap"
        ),
    }
)
"""For the bootstrap document: `portal` is the account switcher and the related cards, `mobile` the
least that a home screen needs. Neither selects `User.AccessToken` (FACTS sections 3 and 4.1)."""


class NamedShapes:
    """The configured shapes, and the one way from a `_shape` parameter to a compiled `Shape`.

    `mapping` is name to shape text. Raises ShapeError, naming the shape, for a name that is not
    letters, digits, `-` and `_`, for malformed text, and for text that selects everything, which
    would quietly undo the review that a named shape stands for. For any thread.
    """

    __slots__ = ("_limits", "_named", "_noticed", "_remembered")

    def __init__(self, mapping: Mapping[str, str], limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._named = {f"@{name}": _compile(name, text, limits) for name, text in mapping.items()}
        self._noticed = Noticed(_NOTICED)
        self._remembered: Callable[[str], Shape] = lru_cache(_REMEMBERED_SHAPES)(
            partial(parse, limits=limits)
        )

    def resolve(self, text: str) -> Shape:
        """The named shape if `text` is `@name`, else `text` compiled; raises ShapeError."""
        reference = text.strip(" ")
        if reference.startswith("@"):
            return self._lookup(reference)
        if len(text) <= _REMEMBERED_CHARS and self._noticed.again(text):
            return self._remembered(text)
        return parse(text, self._limits)

    def allows(self, text: str) -> bool:
        """Whether ASCII `text` is as short, and of as few paths, as is read."""
        return len(text) <= self._limits.max_bytes and text.count(",") < self._limits.max_paths

    def _lookup(self, reference: str) -> Shape:
        shape = self._named.get(reference)
        if shape is None:
            known = ", ".join(sorted(self._named)) or "none is configured"
            raise ShapeError(
                f"_shape={quoted(reference)} is not a named shape: use exactly one of the"
                f" configured names ({known}), or write paths."
            )
        return shape


def _compile(name: str, text: str, limits: Limits) -> Shape:
    if not _NAME.fullmatch(name):
        raise ShapeError(
            f"named shape {quoted(name)} has an unusable name: use letters, digits, - and _ only."
        )
    try:
        shape = parse(text, limits)
    except ShapeError as fault:
        raise ShapeError(f"named shape @{name} is malformed: {fault}") from fault
    if shape.is_everything:
        raise ShapeError(f"named shape @{name} selects everything: name at least one path.")
    return shape
