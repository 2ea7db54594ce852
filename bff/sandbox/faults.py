"""Fault rules: which requests are hit, how often, and by which effect."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Annotated, cast

from pydantic import Field, TypeAdapter

from bff.sandbox.effects import Effect
from bff.sandbox.forms import strict


@strict
@dataclass(frozen=True, slots=True)
class Match:
    """Requests that a rule is about; what is not given matches all. Paths are decoded ones."""

    method: str | None = None
    path_prefix: str | None = None
    path_regex: re.Pattern[str] | None = None
    token: str | None = None

    def accepts(self, method: str, path: str, token: str) -> bool:
        """The regex is searched for anywhere in the path."""
        return (
            (self.method is None or self.method.upper() == method)
            and (self.path_prefix is None or path.startswith(self.path_prefix))
            and (self.path_regex is None or self.path_regex.search(path) is not None)
            and (self.token is None or self.token == token)
        )


@strict
@dataclass(frozen=True, slots=True)
class Rule:
    """Hits matching requests with probability `rate`, `count` times at most."""

    effect: Effect
    match: Match = field(default_factory=Match)
    rate: Annotated[float, Field(ge=0, le=1)] = 1.0
    count: Annotated[int, Field(ge=1)] | None = None


@dataclass(slots=True)
class _Armed:
    rule: Rule
    applied: int = 0

    @property
    def spent(self) -> bool:
        return self.rule.count is not None and self.applied >= self.rule.count


class Faults:
    """The rules in force. Every matching rule applies, in order."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._armed: list[_Armed] = []

    def replace(self, rules: Iterable[Rule]) -> None:
        """Puts these rules in place of all others."""
        self._armed = [_Armed(rule) for rule in rules]

    def add(self, rule: Rule) -> None:
        """Appends one rule."""
        self._armed.append(_Armed(rule))

    def clear(self) -> None:
        """Removes every rule."""
        self._armed = []

    def choose(self, method: str, path: str, token: str) -> tuple[Effect, ...]:
        """The effects on this request, which uses up one of each rule's `count`."""
        if not self._armed:
            return ()
        hit = [armed for armed in self._armed if self._hits(armed, method, path, token)]
        for armed in hit:
            armed.applied += 1
        return tuple(armed.rule.effect for armed in hit)

    def report(self) -> list[dict[str, object]]:
        """Every rule as JSON, with how many requests it has hit."""
        rules = [armed.rule for armed in self._armed]
        dumped = cast(list[dict[str, object]], _rules().dump_python(rules, mode="json"))
        return [
            {**rule, "applied": armed.applied}
            for rule, armed in zip(dumped, self._armed, strict=True)
        ]

    def _hits(self, armed: _Armed, method: str, path: str, token: str) -> bool:
        rule = armed.rule
        return (
            not armed.spent
            and rule.match.accepts(method, path, token)
            and (rule.rate >= 1 or self._rng.random() < rule.rate)
        )


@cache
def _rules() -> TypeAdapter[list[Rule]]:
    return TypeAdapter(list[Rule])


def rules_from_json(body: bytes) -> list[Rule]:
    """Reads a JSON list of rules. Raises ValueError, which names everything that is wrong."""
    return _rules().validate_json(body)
