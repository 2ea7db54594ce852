"""How a sandbox is set up: in code, or by `BFF_SANDBOX_…` variables."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bff.clock import Clock, SystemClock
from bff.sandbox.auth import Entropy
from bff.sandbox.latency import DistributionLike, distribution_of
from bff.sandbox.throttle import DOCUMENTED_LIMITS, Limit

PREFIX = "BFF_SANDBOX_"
_SPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class OptionsError(ValueError):
    """Some options are unusable; the message names all of them."""


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """Members and their fields follow from `seed` alone; tokens come from `entropy`.

    `members` is added to the ten named ones. `latency_ms` is a constant, a pair of bounds, text
    as `distribution_of` reads it, or a distribution. `demo_token` is Jane Doe's from the start.
    """

    space: str = "nexudushq"
    seed: int = 7
    members: int = 500
    throttle: bool = True
    limits: tuple[Limit, ...] = DOCUMENTED_LIMITS
    latency_ms: DistributionLike = (0, 0)
    demo_token: str | None = None
    jwt_tokens: bool = False
    clock: Clock = field(default_factory=SystemClock)
    entropy: Entropy = secrets.token_bytes

    def __post_init__(self) -> None:
        if not _SPACE.fullmatch(self.space):
            raise OptionsError(f"space: {self.space!r} is not a bare subdomain")
        if not 0 <= self.members <= 100_000:
            raise OptionsError(f"members: {self.members} is not within 0-100000")
        distribution_of(self.latency_ms)


def options_from_env(environ: Mapping[str, str]) -> SandboxOptions:
    """Reads SPACE, SEED, MEMBERS, THROTTLE, LATENCY_MS, DEMO_TOKEN and JWT after `BFF_SANDBOX_`.

    Raises OptionsError, which names every variable that is unusable; others are not looked at.
    """
    readers: dict[str, tuple[str, Callable[[str], object]]] = {
        "SPACE": ("space", str),
        "SEED": ("seed", int),
        "MEMBERS": ("members", int),
        "THROTTLE": ("throttle", _switch),
        "LATENCY_MS": ("latency_ms", distribution_of),
        "DEMO_TOKEN": ("demo_token", str),
        "JWT": ("jwt_tokens", _switch),
    }
    read: dict[str, object] = {}
    faults: list[str] = []
    for name, (option, reader) in readers.items():
        text = environ.get(PREFIX + name, "")
        if not text:
            continue
        try:
            read[option] = reader(text)
        except ValueError as error:
            faults.append(f"{PREFIX}{name}: {error}")
    if faults:
        raise OptionsError("; ".join(faults))
    return SandboxOptions(**read)  # type: ignore[arg-type]  # each reader gives its field's type


def _switch(text: str) -> bool:
    switches = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
    try:
        return switches[text.strip().lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither on nor off") from None
