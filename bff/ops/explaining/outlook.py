"""What a request would be answered, in one sentence, from what was examined: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from bff.nexudus.budget.contract import MODIFYING, Priority, Spending
from bff.session.examine import RULES, Examined, Plan, Rule

_SPENT: Final[Mapping[Priority, str]] = MappingProxyType(
    {
        Priority.INTERACTIVE: "the calls that Nexudus allows the space are",
        Priority.STRANGER: "what calls whose token is yet to be accepted may use is",
        Priority.FORWARDED: "what calls that are passed through may use is",
        Priority.BACKGROUND: "what refreshes may use is",
    }
)
_WEIGHT: Final = (Plan.SERVE, Plan.REFRESH, Plan.FALL_BACK, Plan.OPEN, Plan.FETCH)
"""The later, the more it decides what becomes of the whole answer."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Of one space, in this process: whether Nexudus would be asked, and what stands against it.

    `failing_s`: seconds until a breaker that is not closed lets a call through, `paused_s`: until
    throttled calls go on; 0 where nothing stands against calls. `patience_s`: a call that could not
    begin within that is not waited for. `windows`: of the budget. `short`: little is left of one.
    """

    breaker: str
    failing_s: float
    paused_s: float
    refreshes_paused: bool
    patience_s: float
    windows: tuple[Spending, ...] = ()
    short: bool = False

    def obstacle(self, priority: Priority, *, write: bool = False) -> str:
        """Why a call of this priority would not be made in time; empty if it would be."""
        if self.failing_s > 0:
            return f"Nexudus keeps failing and is left alone for {self.failing_s:.0f} s more"
        return self.throttle(priority, write=write)

    def throttle(self, priority: Priority, *, write: bool = False) -> str:
        """The same, where it is that Nexudus throttles the space or would if it were asked more."""
        if self.failing_s > 0:
            return ""
        if self.paused_s > self.patience_s:
            return f"Nexudus throttles the space, which pauses for {self.paused_s:.0f} s more"
        full = [each for each in self._awaited(write) if each.is_full(priority)]
        if not full:
            return ""
        all_of_it = any(each.is_full(Priority.INTERACTIVE) for each in full)
        what = _SPENT[Priority.INTERACTIVE if all_of_it else priority]
        within = f"unless there is room again within {self.patience_s:.0f} s"
        return f"{what} spent ({', '.join(map(_named, full))}), {within}"

    def proviso(self, priority: Priority) -> str:
        """On what it depends, as far as is known here, that a call is made against which nothing
        stands; empty where it does not."""
        if self.short:
            return " if the budget, of which little is left, has room"
        unheard = any(each.strangers_unheard for each in self._awaited(write=False))
        if unheard and priority is Priority.STRANGER:
            return " if other processes left room for calls whose token is yet to be accepted"
        return ""

    def _awaited(self, write: bool) -> Iterator[Spending]:
        """The windows in which a call may have to wait for longer than it would be waited for."""
        for each in self.windows:
            if each.limit.window_s > self.patience_s and (write or not each.writes_only):
                yield each


@dataclass(frozen=True, slots=True)
class Outlook:
    """`status`: None where Nexudus decides; `calls`: to Nexudus before the answer, and `behind` it,
    at most.
    """

    status: int | None
    calls: int
    rule: Rule | None
    sentence: str
    behind: int = 0

    def as_json(self) -> dict[str, object]:
        """`rule` by its number in docs/architecture.md, and the words that it begins with."""
        return {
            "status": self.status,
            "calls": self.calls,
            "behind": self.behind,
            "rule": None if self.rule is None else self.rule.value,
            "rule_text": "" if self.rule is None else RULES[self.rule],
            "sentence": self.sentence,
        }


def refused(status: int, why: str, *, by_token: bool) -> Outlook:
    """The gateway itself refuses; `by_token`: for want of one that could be right."""
    rule = Rule.PROOF if by_token else None
    return Outlook(status, 0, rule, _cited(f"It is refused with {status}: {why.rstrip('.')}", rule))


def own() -> Outlook:
    """A route that is about the gateway."""
    told = "It is the gateway's own, not a member's: neither the cache nor Nexudus has a part in it"
    return Outlook(None, 0, None, _cited(told, None))


def forwarded(method: str, conditions: Conditions, *, writes: bool, listed: str) -> Outlook:
    """Relayed; `writes`: it may change lists; `listed`: the cached list that it asks for oddly."""
    obstacle = conditions.obstacle(Priority.FORWARDED, write=method in MODIFYING)
    if obstacle:
        return Outlook(503, 0, None, f"It is refused with 503: {obstacle}.")
    if writes:
        told = "It is forwarded; unless Nexudus refuses it, all lists of its user are dropped first"
        told = f"{told}, whom one more call finds out where that is not known"
        return Outlook(None, 2, Rule.WRITES, _cited(told, Rule.WRITES))
    if listed:
        told = f"It is forwarded, because {method} of the {listed} list is asked for with a "
        return Outlook(None, 1, None, f"{told}parameter other than _shape, which is not cached.")
    return Outlook(
        None, 1, None, "It is forwarded and streamed back: only exact routes are cached."
    )


def from_finished(status: int, age_s: float, *, held: bool) -> Outlook:
    """The very bytes are kept in process; `held`: by the caller too, who asks for others only."""
    told = f"It is served from finished bytes in process, {age_s:.0f} s after they were fetched"
    if held:
        status, told = 304, f"{told}: with 304 and without them, for If-None-Match names them"
    return Outlook(status, 0, Rule.TIERS, _cited(told, Rule.TIERS))


def conditional(answer: Outlook) -> Outlook:
    """One whose bytes, and with them its validator, are yet to be made."""
    told = "A 200 becomes a 304 if If-None-Match names what comes of it."
    return replace(answer, sentence=f"{answer.sentence} {told}")


def cached(examined: Sequence[Examined], conditions: Conditions, *, whole: bool) -> Outlook:
    """An answer that is made of these documents, the one that it stands or falls with first.

    `whole`: a bootstrap, which is served without its other parts if need be.
    """
    needed = [each for each in examined if not each.hinted]
    deciding = max(needed, key=lambda each: _WEIGHT.index(each.plan))
    # What is not read for a hint is read once the first is there.
    over = _is_missing(examined[0], conditions)
    read = [each for each in examined if each.hinted or not over]
    calls = sum(_is_called(each) and not _obstacle(each, conditions) for each in read)
    behind = sum(_is_refreshed(each, conditions) for each in read)
    told = f"{_what(deciding, conditions)}: {deciding.resource.name}, {deciding.why}"
    status = _status(needed, conditions, whole=whole)
    return Outlook(status, calls, deciding.rule, _cited(told, deciding.rule), behind)


def _is_called(each: Examined) -> bool:
    return each.plan in (Plan.FETCH, Plan.FALL_BACK, Plan.OPEN)


def _is_refreshed(each: Examined, conditions: Conditions) -> bool:
    paused = conditions.refreshes_paused
    return each.plan is Plan.REFRESH and not paused and not _obstacle(each, conditions)


def _priority(each: Examined) -> Priority:
    """Of a call for it."""
    if each.plan is Plan.REFRESH:
        return Priority.BACKGROUND
    return Priority.STRANGER if each.stranger else Priority.INTERACTIVE


def _obstacle(each: Examined, conditions: Conditions) -> str:
    """Why a call for it would not be made; nothing stands in the way of one that has been."""
    return "" if each.under_way_s > 0 else conditions.obstacle(_priority(each))


def _is_missing(each: Examined, conditions: Conditions) -> bool:
    """Whether it is wanted and cannot be had; a token is not proven by a call that is not made."""
    obstacle = _obstacle(each, conditions)
    if each.plan is Plan.FALL_BACK:
        return each.proves and bool(obstacle and conditions.throttle(_priority(each)))
    return each.plan is Plan.FETCH and bool(obstacle)


def _status(examined: Sequence[Examined], conditions: Conditions, *, whole: bool) -> int | None:
    first, last = examined[0], examined[-1]
    missing = [each for each in examined if _is_missing(each, conditions)]
    if missing:
        return 503 if not whole or first in missing else 200
    # A fallback has been served by Nexudus before, but Nexudus may refuse the token by now.
    if any(_is_called(each) and not _obstacle(each, conditions) for each in examined):
        return None
    if whole:
        return 200
    return None if last.entry is None else last.entry.status


def _what(each: Examined, conditions: Conditions) -> str:
    obstacle = _obstacle(each, conditions)
    room = conditions.proviso(_priority(each))
    match each.plan:
        case Plan.SERVE:
            told = "It is served from the cache, without a call to Nexudus"
        case Plan.REFRESH if conditions.refreshes_paused:
            told = "It is served stale, and not fetched anew: operators have paused refreshes"
        case Plan.REFRESH if obstacle:
            told = f"It is served stale, and cannot be fetched anew, because {obstacle}"
        case Plan.REFRESH:
            told = f"It is served stale at once, and fetched anew behind the answer{room}"
        case Plan.FALL_BACK if _is_missing(each, conditions):
            told = f"The token cannot be proven, because {obstacle}"
        case Plan.FALL_BACK if obstacle:
            told = f"What is kept is served, old as it is, because {obstacle}"
        case Plan.FALL_BACK:
            told = "Nexudus is asked, and what is kept stands in if it fails or takes long"
        case _ if obstacle:
            told = f"It cannot be had, because {obstacle}"
        case _ if each.under_way_s > 0:
            told = f"The call that has been under way for {each.under_way_s:.1f} s is waited for"
        case _ if conditions.paused_s > 0:
            told = f"Nexudus is asked once its pause is over, in {conditions.paused_s:.1f} s"
        case _:
            told = f"Nexudus is asked{room}"
    return told


def _named(window: Spending) -> str:
    return f"{window.used} of {window.limit}{' writes' if window.writes_only else ''}"


def _cited(told: str, rule: Rule | None) -> str:
    if rule is None:
        return f"{told}."
    return f"{told} (cache rule {rule.value})." if rule else f"{told} (the table of freshness)."
