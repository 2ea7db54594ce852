"""Whether members are served, in one line, and why not: what operators read first. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bff.ops.figures import Level, Minute, ProcessFigures, SpaceState, Verdict, Window
from bff.ops.fleet.record import Recent

FAILING_SHARE: Final = 0.2
"""One request in five: a session makes several, so hardly a member gets through one."""
MOST_SHARE: Final = 0.5
FAILING_LEAST: Final = 5
"""Failures that it takes, so that a member alone with one broken upload is no outage."""
FAILS_SHARE: Final = 0.01
"""Worth a look: retries of apps hide fewer than one in a hundred."""
FAILS_LEAST: Final = 3
"""Also an outage, if none of the latest ten seconds went well."""
CALLS_SHARE: Final = 0.3
"""Of calls to Nexudus that fail: well above what single broken paths bring about, and below what
the breaker needs to open."""
CALLS_LEAST: Final = 3
SLOW_P50_MS: Final = 1_000.0
"""Half of the calls take longer than members wait before they are shown a stale copy (1 s)."""
SLOW_P95_MS: Final = 4_000.0
"""One call in twenty takes half of a request's deadline (10 s), or nearly so."""
SLOW_LEAST: Final = 5
"""Calls of a minute: one slow list says nothing."""
NEARLY_SPENT: Final = 0.9
"""Of a budget: above this, what is passed through waits already (its share is nine tenths)."""
COUNTED_FROM: Final = 10
"""Windows of fewer calls, such as one in 100 ms, are for spacing: they are full all the time."""
SILENT_S: Final = 6.0
"""Three tellings that did not come."""
STARTING_S: Final = 5.0
"""A process that is younger may not be heard of yet, nor hear itself."""
LAG_MS: Final = 250.0
"""Every request of such a process may be later by this: five times what Redis may take."""
WAITING_LEAST: Final = 3
"""One or two requests that wait are every day's."""
WAITING_SHARE: Final = 0.5
"""Of what was answered in ten seconds: requests wait five seconds then on average, half of their
deadline (Little's law)."""
UNANSWERED_LEAST: Final = 5
"""Of Redis, in ten seconds: fewer are a hiccup."""
MOST_NAMED: Final = 3
"""Spaces that a sentence names one by one."""

_WORDS: Final = {"d": "a day", "h": "an hour", "m": "a minute", "s": "a second"}


@dataclass(frozen=True, slots=True)
class Signs:
    """What the verdict is made of: of the asked space, or of all.

    `lately`: the last ten seconds by space, and `unanswered`: operations that Redis did not answer
    in them; `refused`: whether it answers, but takes nothing. `minutes`: the time line, the running
    one last. `states`: of spaces with a breaker or a pause; `open_s`: for how long each has not
    been closed.
    """

    fleet: bool
    bootstrap_hit_ratio: float | None
    lately: Sequence[Recent]
    minutes: Sequence[Minute]
    states: Sequence[SpaceState]
    open_s: Mapping[str, float]
    budget: Sequence[Window]
    unanswered: int
    processes: Sequence[ProcessFigures]
    at: float
    refreshes_paused: str = ""
    """By whom, where they are."""
    refused: bool = False
    whole: bool = True
    """Whether this is of all spaces: of which space the requests are that wait is not known."""


def verdict(signs: Signs) -> Verdict:
    """The level, the line and its causes, the worst first."""
    share = _failing(signs)
    if share is not None:
        who = "Members" if share >= MOST_SHARE else "Many members"
        headline = f"{who} are not served: {_percent(share)} of requests fail"
        return Verdict(Level.FAILING, headline, tuple(_causes(signs)))
    causes = (*_causes(signs), *_of_requests(signs))
    if not _answered(signs):
        return Verdict(Level.IMPAIRED if causes else Level.QUIET, _unanswered(signs), causes)
    headline = "Members are served"
    if signs.bootstrap_hit_ratio is not None:
        headline += f"; {_percent(signs.bootstrap_hit_ratio)} of bootstraps from cache"
    return Verdict(Level.IMPAIRED if causes else Level.WELL, headline, causes)


def _failing(signs: Signs) -> float | None:
    """The share of requests that fail, where that is an outage: now, or in the last minute unless
    the latest requests went well.
    """
    requests, failed = _now(signs)
    least = FAILS_LEAST if failed == requests else FAILING_LEAST
    if failed >= least and failed >= FAILING_SHARE * requests:
        return failed / requests
    if requests and not failed:
        return None
    asked, bad = _last_minute(signs)
    if bad >= FAILING_LEAST and bad >= FAILING_SHARE * asked:
        return bad / asked
    return None


def _now(signs: Signs) -> tuple[int, int]:
    return sum(each.requests for each in signs.lately), sum(each.failed for each in signs.lately)


def _last_minute(signs: Signs) -> tuple[int, int]:
    """Requests and failures of the running minute and the one before."""
    latest = signs.minutes[-2:]
    return sum(each.requests for each in latest), sum(each.failed for each in latest)


def _answered(signs: Signs) -> bool:
    return bool(_now(signs)[0] or _last_minute(signs)[0])


def _unanswered(signs: Signs) -> str:
    """The headline where no request was answered lately: was there none, or do they wait?"""
    waiting, lasting = _waiting(signs), _quiet_for(signs)
    if not waiting:
        return f"Nobody asked for anything for {lasting}"
    if signs.whole and waiting >= WAITING_LEAST:
        return f"Members wait: nothing was answered for {lasting}"
    whose = "" if signs.whole else "of all spaces "
    return f"Nothing was answered for {lasting}; {_requests(waiting, whose)}"


def _waiting(signs: Signs) -> int:
    return sum(each.waiters for each in signs.processes if _speaks(each))


def _quiet_for(signs: Signs) -> str:
    for each in reversed(signs.minutes):
        if each.requests:
            return _duration(max(60.0, signs.at - each.at - 60))
    return "an hour"


def _causes(signs: Signs) -> Iterator[str]:
    yield from _of_nexudus(signs)
    yield from _of_budgets(signs)
    yield from _of_redis(signs)
    yield from _of_processes(signs)
    if signs.refreshes_paused:
        yield f"refreshes are paused by operators ({signs.refreshes_paused})"


def _of_nexudus(signs: Signs) -> Iterator[str]:
    opened = {state.space for state in signs.states if state.breaker != "closed"}
    if opened:
        longest = max(signs.open_s.get(space, 0.0) for space in opened)
        yield (
            f"Nexudus fails ({_named(opened)}): breaker open for {_duration(longest)}; "
            "stale answers are served"
        )
    failing = {
        each.space: each
        for each in signs.lately
        if each.space not in opened
        and each.calls_failed >= max(CALLS_LEAST, CALLS_SHARE * each.calls)
    }
    if failing:
        failed = sum(each.calls_failed for each in failing.values())
        calls = sum(each.calls for each in failing.values())
        yield f"Nexudus fails ({_named(failing)}): {failed} of the last {calls} calls"
    paused = {state.space: state.paused_s for state in signs.states if state.paused_s > 0}
    if paused:
        yield f"Nexudus throttles {_named(paused)}: paused for {_duration(max(paused.values()))}"
    throttled = {
        each.space: each.throttled
        for each in signs.lately
        if each.throttled and each.space not in paused
    }
    if throttled:
        number = sum(throttled.values())
        yield f"Nexudus throttles {_named(throttled)}: {number} of the latest calls refused"
    waiting = _waiting(signs) if signs.whole else 0
    if waiting >= max(WAITING_LEAST, WAITING_SHARE * _now(signs)[0]):
        yield f"{_requests(waiting)} for Nexudus"
    slow = _slow_minutes(signs.minutes)
    if slow:
        yield f"Nexudus slow for {slow} min"


def _slow_minutes(minutes: Sequence[Minute]) -> int:
    """How many minutes in a row, up to now, Nexudus was slow; those with few calls say nothing.

    With few in this minute and the one before, it is not known to be slow any more.
    """
    slow = 0
    for at, each in enumerate(reversed(minutes)):
        p50_ms, p95_ms = each.upstream.p50_ms, each.upstream.p95_ms
        if each.calls < SLOW_LEAST or p50_ms is None or p95_ms is None:
            if not slow and at >= 1:
                return 0
            continue
        if p50_ms < SLOW_P50_MS and p95_ms < SLOW_P95_MS:
            return slow
        slow = at + 1
    return slow


def _of_budgets(signs: Signs) -> Iterator[str]:
    refused = {each.space: each.refused for each in signs.lately if each.refused}
    if refused:
        number = sum(refused.values())
        yield f"budget of {_named(refused)} is spent: {_calls(number)} not made in time"
    for each in signs.budget:
        nearly = each.limit >= COUNTED_FROM and each.used >= NEARLY_SPENT * each.limit
        if nearly and each.space not in refused:
            yield (
                f"budget of {each.space} nearly spent: "
                f"{each.used} of {each.limit} {_window(each.window)}"
            )


def _of_redis(signs: Signs) -> Iterator[str]:
    if not signs.fleet and signs.refused:
        yield "Redis takes no figures (full, or read-only): these are of one process"
        return
    if not signs.fleet:
        yield "Redis is away: each process uses its own cache, and these figures are of one"
        return
    fresh = [each for each in signs.processes if _speaks(each)]
    away = sum(not each.store for each in fresh)
    if away:
        yield f"Redis is away for {away} of {len(fresh)} processes: each uses its own cache"
    elif signs.unanswered >= UNANSWERED_LEAST:
        yield f"Redis is slow: {signs.unanswered} operations were not answered in time"
    settled = [each for each in fresh if signs.at - each.started_at >= STARTING_S]
    deaf = sum(not each.bus for each in settled)
    if deaf:
        yield f"invalidations are not heard by {_processes(deaf)}"


def _of_processes(signs: Signs) -> Iterator[str]:
    silent = [each.seen_s for each in signs.processes if is_silent(each)]
    if silent:
        has = "has" if len(silent) == 1 else "have"
        yield f"{_processes(len(silent))} {has} not reported for {_duration(max(silent))}"
    late = [each.loop_lag_ms for each in signs.processes if _speaks(each)]
    slow = sum(lag_ms >= LAG_MS for lag_ms in late)
    if slow:
        yield f"{_processes(slow)} late by up to {max(late):.0f} ms: too much work for the machine"


def _of_requests(signs: Signs) -> Iterator[str]:
    requests, failed = _last_minute(signs)
    if failed >= FAILS_LEAST and failed >= FAILS_SHARE * requests:
        yield f"{_percent(failed / requests)} of requests fail"


def is_silent(process: ProcessFigures) -> bool:
    """Whether a process should have said something and did not."""
    return not process.stopping and process.seen_s >= SILENT_S


def _speaks(process: ProcessFigures) -> bool:
    return not process.stopping and process.seen_s < SILENT_S


def _named(spaces: Iterable[str]) -> str:
    names = sorted(spaces)
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"


def _processes(number: int) -> str:
    return "1 process" if number == 1 else f"{number} processes"


def _requests(number: int, whose: str = "") -> str:
    return f"1 request {whose}waits" if number == 1 else f"{number} requests {whose}wait"


def _calls(number: int) -> str:
    return "1 call was" if number == 1 else f"{number} calls were"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{math.ceil(seconds)} s"
    return f"{seconds // 60:.0f} min" if seconds < 7_200 else f"{seconds // 3_600:.0f} h"


def _window(text: str) -> str:
    """`a minute` for `120/m`, `of writes a day` for `writes 5000/d`."""
    kind, _, limit = text.rpartition(" ")
    per = limit.partition("/")[2]
    number = per.rstrip("dhms")
    words = _WORDS.get(per, f"in {number} {per.removeprefix(number)}")
    return f"of {kind} {words}" if kind else words


def _percent(share: float) -> str:
    """Never 100% or 0% of what is not quite all or none."""
    percent = share * 100
    if 0 < percent < 0.1:
        return "less than 0.1%"
    if 99.9 < percent < 100:
        return "more than 99.9%"
    return f"{percent:.1f}%".replace(".0%", "%")
