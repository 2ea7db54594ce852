"""When a space is not called for a while, because Nexudus fails: states and transitions. Pure.

Closed, open and half-open as in Nygard's "Release It!". What a call reports carries the epoch in
which it was let through; reports of an earlier epoch are too late to say anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

LONGEST_OPEN_S: Final = 10.0
"""A probe costs one call, and a longer opening every member the time after Nexudus is back."""
SHORTENED: Final = 0.2
"""Part by which an opening is shortened at most, so that processes do not all probe at once."""
LESSER_AFTER_S: Final = 1.0
"""How long a probe whose failure would say little leaves the way to better ones."""
GROWTH: Final = 6.0
"""How many times as long as the first opening another one is at most: whoever wants Nexudus tried
soon does not want to wait a hundred times as long because a few probes met short faults."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Opens after `failures` in a row, or when more than `rate` of the latest calls failed.

    The latest calls are those of `window_s`, if there were `least` or more. `open_s` is the first
    opening; each that follows without a success is twice as long, up to a limit. A probe counts as
    lost after `probe_s`.
    """

    failures: int = 5
    rate: float = 0.8
    open_s: float = 5.0
    probe_s: float = 10.0
    window_s: int = 10
    least: int = 20

    def opening_s(self, openings: int, chance: float) -> float:
        """How long the opening number `openings` lasts; `chance` is in [0, 1)."""
        most = max(self.open_s, min(LONGEST_OPEN_S, GROWTH * self.open_s))
        longest = min(most, self.open_s * 2.0 ** min(openings - 1, 10))
        return longest * (1 - SHORTENED * chance)


@dataclass(frozen=True, slots=True)
class Tally:
    """The calls that ended within one second of monotonic time, and how many of them failed."""

    second: int
    calls: int
    failures: int


@dataclass(frozen=True, slots=True)
class Closed:
    """Calls go through. `tallies`: one for each second of the window that had calls."""

    epoch: int = 0
    in_row: int = 0
    tallies: tuple[Tally, ...] = ()


@dataclass(frozen=True, slots=True)
class Open:
    """No call goes through before `until`, monotonic seconds; then one does, as a probe.

    A lesser one, whose failure would say little, not before `lesser_from` either.
    """

    epoch: int
    until: float
    openings: int
    lesser_from: float = 0.0


@dataclass(frozen=True, slots=True)
class HalfOpen:
    """One probe is under way; at `lost_at` another may go, and a sound one for a lesser at once."""

    epoch: int
    lost_at: float
    openings: int
    sound: bool = True


State = Closed | Open | HalfOpen


@dataclass(frozen=True, slots=True)
class Began:
    """A call goes through; only where `admits` says so."""

    sound: bool = True


@dataclass(frozen=True, slots=True)
class Succeeded:
    """Nexudus answered, be it with a refusal."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Failed:
    """No connection, a broken one, a timeout or a 5xx. `chance`: in [0, 1), for the spread."""

    epoch: int
    chance: float


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The call ended without saying anything about Nexudus: cancelled, shed or never sent."""

    epoch: int


Event = Began | Succeeded | Failed | GivenUp


def wait_s(state: State, now: float, *, sound: bool = True) -> float:
    """Seconds until a call goes through at the latest; 0 if one does now.

    `sound`: whether it would be a probe whose failure is Nexudus'.
    """
    match state:
        case Closed():
            return 0.0
        case Open():
            until = state.until if sound else max(state.until, state.lesser_from)
            return max(0.0, until - now)
        case HalfOpen():
            return 0.0 if sound and not state.sound else max(0.0, state.lost_at - now)
        case _:
            assert_never(state)


def admits(state: State, now: float, *, sound: bool = True) -> bool:
    """Whether a call goes through now."""
    return wait_s(state, now, sound=sound) == 0


def after(state: State, event: Event, now: float, policy: BreakerPolicy) -> State:
    """The state once `event` has happened at `now`, monotonic seconds."""
    match event:
        case Began():
            return _begun(state, event, now, policy)
        case Succeeded() | Failed() | GivenUp():
            return _reported(state, event, now, policy) if event.epoch == state.epoch else state
        case _:
            assert_never(event)


def _begun(state: State, event: Began, now: float, policy: BreakerPolicy) -> State:
    match state:
        case Closed():
            return state
        case Open() | HalfOpen():
            lost_at = now + policy.probe_s
            return HalfOpen(state.epoch + 1, lost_at, state.openings, event.sound)
        case _:
            assert_never(state)


def _reported(
    state: State, event: Succeeded | Failed | GivenUp, now: float, policy: BreakerPolicy
) -> State:
    match state:
        case Closed():
            return _counted(state, event, now, policy)
        case Open():
            return state  # no call goes through in the epoch of an opening
        case HalfOpen():
            return _probed(state, event, now, policy)
        case _:
            assert_never(state)


def _counted(
    state: Closed, event: Succeeded | Failed | GivenUp, now: float, policy: BreakerPolicy
) -> State:
    match event:
        case GivenUp():
            return state
        case Succeeded():
            return Closed(state.epoch, 0, _tallied(state.tallies, now, policy, failed=0))
        case Failed():
            in_row = state.in_row + 1
            tallies = _tallied(state.tallies, now, policy, failed=1)
            if in_row >= policy.failures or _too_many(tallies, policy):
                return _opened(state.epoch + 1, 1, now, event, policy)
            return Closed(state.epoch, in_row, tallies)
        case _:
            assert_never(event)


def _probed(
    state: HalfOpen, event: Succeeded | Failed | GivenUp, now: float, policy: BreakerPolicy
) -> State:
    epoch = state.epoch + 1
    match event:
        case GivenUp():
            # Whoever would say more may go at once; a dead Nexudus is still left alone.
            lesser_from = now + policy.opening_s(state.openings, 0.0)
            return Open(epoch, now, state.openings, lesser_from)
        case Succeeded():
            return Closed(epoch)
        case Failed():
            return _opened(epoch, state.openings + 1, now, event, policy)
        case _:
            assert_never(event)


def _opened(epoch: int, openings: int, now: float, event: Failed, policy: BreakerPolicy) -> Open:
    until = now + policy.opening_s(openings, event.chance)
    return Open(epoch, until, openings, until + LESSER_AFTER_S)


def _tallied(
    tallies: tuple[Tally, ...], now: float, policy: BreakerPolicy, *, failed: int
) -> tuple[Tally, ...]:
    second = int(now)
    if tallies and tallies[-1].second == second:
        latest = tallies[-1]
        return (*tallies[:-1], Tally(second, latest.calls + 1, latest.failures + failed))
    recent = [tally for tally in tallies if tally.second > second - policy.window_s]
    return (*recent, Tally(second, 1, failed))


def _too_many(tallies: tuple[Tally, ...], policy: BreakerPolicy) -> bool:
    calls = sum(tally.calls for tally in tallies)
    failures = sum(tally.failures for tally in tallies)
    return calls >= policy.least and failures > policy.rate * calls
