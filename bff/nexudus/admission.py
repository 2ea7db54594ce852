"""What stands before every call to Nexudus: the space's breaker, then its budget.

And behind it: what became of the call is told to both, and may be worth another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from bff.clock import Clock
from bff.errors import Overloaded, UpstreamDown, UpstreamError, UpstreamTimeout
from bff.nexudus.acceptance import Acceptances, accepts_token
from bff.nexudus.breaker import BreakerPolicy
from bff.nexudus.budget.contract import MODIFYING, Budget, Grant, Priority
from bff.nexudus.budget.refusals import reason_of
from bff.nexudus.case import Case
from bff.nexudus.gate import BreakerStanding, Gate, Pass
from bff.nexudus.headers import RawHeaders
from bff.nexudus.intent import Intent, Observer
from bff.nexudus.retry import Cause, Mishap, Prospects, RetryPolicy, mishap_of, next_delay

ABANDONED: Final = "abandoned"
CUT: Final = "cut"
THROTTLED: Final = "throttled"
FORWARDED_PAUSE_S: Final = 5.0
"""Anybody can be throttled on a path of their choice; that pauses the space for so long at most."""
# What anybody can bring about by what they send.
_OF_THE_CALL: Final = frozenset((500, 501))


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """`patience_s`: a timeout after less than that says nothing about Nexudus."""

    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    patience_s: float = 1.0


class Admission:
    """Of all spaces, for one process. `chance` gives numbers in [0, 1); wiring sets `observer`."""

    def __init__(
        self,
        budget: Budget,
        policy: AdmissionPolicy,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self.budget: Final = budget
        self.policy: Final = policy
        self.clock: Final = clock
        self.chance: Final = chance
        self.acceptances: Final = Acceptances()
        self.observer = Observer()
        self._gates: dict[str, Gate] = {}

    def call(self, intent: Intent, *, counts: bool = True) -> Attempt:
        """One call to Nexudus, to be made inside. Leaving tells what became of it.

        `counts`: whether a failure does, unless it is a probe's.

        To enter raises UpstreamDown while the breaker is open and Overloaded where the budget has
        nothing in time, both with `retry_after_s`: the call is not to be made.
        """
        return Attempt(self, self._gate(intent.space), intent, counts=counts)

    def tries(self, intent: Intent) -> Tries:
        """The call and its repetitions."""
        return Tries(self, intent)

    def admits(self, intent: Intent) -> bool:
        """Whether the breaker would let the call through now."""
        return self._gate(intent.space).admits(intent.asked)

    def standing(self, space: str) -> BreakerStanding:
        """The breaker, for operators."""
        return self._gate(space).standing

    def _gate(self, space: str) -> Gate:
        if (gate := self._gates.get(space)) is None:
            gate = Gate(
                self.policy.breaker,
                self.clock,
                self.chance,
                lambda state: self.observer.turned(space, state),
            )
            self._gates[space] = gate
        return gate

    def enter(self, gate: Gate, intent: Intent) -> Pass:
        """The breaker's leave for one call; as `call`."""
        try:
            return gate.enter(intent.asked)
        except UpstreamDown:
            self.observer.refused(intent.space, intent.purpose, "breaker")
            raise

    async def spend(self, gate: Gate, intent: Intent) -> Grant:
        """The budget's leave for one call; as `call`."""
        began = self.clock.monotonic()
        write, within_s = intent.method in MODIFYING, max(0.0, intent.until - began)
        try:
            return await gate.while_closed(
                self.budget.spend(intent.space, intent.urgency, write=write, within_s=within_s)
            )
        except UpstreamError as error:
            reason = reason_of(error, self.budget.standing(intent.space))
            self.observer.refused(intent.space, intent.purpose, reason)
            raise
        finally:
            self.observer.waited(intent.urgency.priority, self.clock.monotonic() - began)


class Attempt:
    """One call that may be made, within the block, and its Departure: see `Admission.call`.

    `mishap`: what went wrong with it, if another may do better.
    """

    def __init__(
        self, admission: Admission, gate: Gate, intent: Intent, *, counts: bool = True
    ) -> None:
        self.mishap: Mishap | None = None
        self._admission = admission
        self._gate = gate
        self._intent = intent
        self._counts = counts
        self._case: Case
        self._began: float | None = None
        self._turn_at = 0.0
        self._status: int | None = None
        self._throttled = False
        self._grant = Grant()

    async def __aenter__(self) -> Attempt:
        admission, gate, intent = self._admission, self._gate, self._intent
        entered = admission.enter(gate, intent)
        self._case = Case(gate, entered, intent.asked, admission.clock, counts=self._counts)
        try:
            if entered.is_probe or self._is_members():
                # Everybody waits for what a probe says.
                intent.urgency.raise_to(Priority.INTERACTIVE)
            self._use(await admission.spend(gate, intent))
        except BaseException as error:
            self._end(error)
            raise
        self._began = self._turn_at
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(error)

    @property
    def is_due(self) -> bool:
        """Whether its turn lasts still."""
        return self._grant.lasts(self._admission.clock.monotonic())

    async def renewed(self) -> None:
        """Returns when it is its turn again. Raises as `Admission.call`."""
        while not self.is_due:
            self._grant.returned(self._admission.clock.monotonic())
            self._use(await self._admission.spend(self._gate, self._intent))

    def gone(self) -> None:
        """It has been sent, or never will be."""
        self._grant.sent(self._admission.clock.monotonic())

    @property
    def made(self) -> bool:
        """Whether both breaker and budget admitted it."""
        return self._began is not None

    @property
    def has_failed(self) -> bool:
        """Whether it speaks against Nexudus."""
        return self.made and self._case.has_failed

    async def answered(self, status: int, headers: RawHeaders) -> None:
        """Nexudus' answer, as soon as its head is there."""
        self._status = status
        known = not self._intent.purpose.forwards
        if known and accepts_token(status, headers):
            now = self._admission.clock.monotonic()
            self._admission.acceptances.accepted(self._intent.bearer, now)
        elif status == 401 or 200 <= status < 300:  # a page comes where a token is missed, too
            self._admission.acceptances.refused(self._intent.bearer)
        self.mishap = mishap_of(status, headers, self._admission.clock.wall(), known=known)
        self._throttled = self.mishap is not None and self.mishap.cause is Cause.THROTTLED
        if status in _OF_THE_CALL and not known:
            self.excuse()
        elif status >= 500:
            self._case.failed_on_path()
        elif self._case.entered.is_probe:
            # Everybody waits for it, and its body may take minutes. Of other calls the body counts,
            # or a Nexudus that breaks off every answer would count as well.
            self._succeeded()
        if self.mishap is not None and self._throttled:
            self._admission.observer.throttled(self._intent.space)
            await self._pause(self.mishap.retry_after_s)

    def excuse(self) -> None:
        """Whatever becomes of the call, its client may have brought it about."""
        self._case.given_up()

    def _end(self, error: BaseException | None) -> None:
        """The call is over, or was never made."""
        self.gone()
        self._tell(error)
        if isinstance(error, UpstreamDown) and self.made:
            self.mishap = Mishap(Cause.NO_ANSWER)
        if self.made:
            self._report(self._outcome(error))

    def _is_members(self) -> bool:
        """Whether its token, taken for a stranger's for want of a proof, was accepted lately."""
        intent, now = self._intent, self._admission.clock.monotonic()
        stranger = intent.urgency.priority is Priority.STRANGER
        return stranger and self._admission.acceptances.stands(intent.bearer, now)

    def _use(self, grant: Grant) -> None:
        self._grant, now = grant, self._admission.clock.monotonic()
        self._turn_at = now
        self._admission.acceptances.begins(self._intent.bearer, grant, now)

    async def _pause(self, pause_s: float) -> None:
        if self._intent.purpose.forwards:
            general = self._case.is_general()
            if not general or pause_s > FORWARDED_PAUSE_S:
                self.mishap = None  # nothing would hold another back for as long as it is to wait
            if not general:
                return
            pause_s = min(pause_s, FORWARDED_PAUSE_S)
        space, budget = self._intent.space, self._admission.budget
        paused = budget.standing(space).paused_s > 0
        await budget.throttled(space, pause_s, self._grant)
        if not paused:
            self._admission.observer.paused(space, pause_s)

    def _report(self, outcome: str) -> None:
        observer, purpose = self._admission.observer, self._intent.purpose
        observer.called(self._intent.space, purpose, outcome)
        if outcome != ABANDONED:
            observer.took(purpose, self._admission.clock.monotonic() - self._turn_at)

    def _tell(self, error: BaseException | None) -> None:
        case = self._case
        match error:
            case _ if self._began is None:
                case.given_up()
            case UpstreamDown():
                (case.failed if self._status is None else case.failed_on_path)()
            case UpstreamTimeout():
                took_s = self._admission.clock.monotonic() - self._began
                patient = took_s >= self._admission.policy.patience_s
                (case.failed_on_path if patient else case.given_up)()
            case Overloaded():
                case.given_up()
            case UpstreamError():
                self._succeeded()  # unusable, yet an answer
            case _ if self._status is None:
                case.given_up()
            case _:
                self._succeeded()

    def _succeeded(self) -> None:
        self._case.succeeded(None if self._throttled else self._began)

    def _outcome(self, error: BaseException | None) -> str:
        if self._throttled:
            return THROTTLED
        if isinstance(error, UpstreamDown | UpstreamTimeout) and self._status is not None:
            return CUT
        if isinstance(error, UpstreamError):
            return type(error).__name__
        if self._status is None:
            return ABANDONED
        return f"{self._status // 100}xx"


class Tries:
    """One call, which may be made several times. `attempt`, and then `delay` until the next one."""

    def __init__(self, admission: Admission, intent: Intent) -> None:
        self.intent: Final = intent
        self._admission = admission
        self._latest: Attempt | None = None
        self._has_failed = False
        self._made = 0

    @property
    def left_s(self) -> float:
        """Seconds within which an attempt has to begin."""
        return self.intent.until - self._admission.clock.monotonic()

    def attempt(self) -> Attempt:
        """As `Admission.call`."""
        # What one caller meets counts once, however often it is tried.
        self._has_failed |= self._latest is not None and self._latest.has_failed
        self._made += 1
        self._latest = self._admission.call(self.intent, counts=not self._has_failed)
        return self._latest

    def delay(self) -> float | None:
        """Seconds until the call is to be made again, or None: what the latest brought is final."""
        latest, space = self._latest, self.intent.space
        if not self.intent.repeatable or latest is None or latest.mishap is None:
            return None
        if not self._admission.admits(self.intent):
            return None
        prospects = Prospects(
            retried=self._made - 1,
            left_s=self.left_s,
            short=self._admission.budget.is_short(space),
            background=self.intent.urgency.priority is Priority.BACKGROUND,
        )
        policy, chance = self._admission.policy.retry, self._admission.chance()
        delay_s = next_delay(policy, latest.mishap, prospects, chance)
        if delay_s is not None:
            cause = latest.mishap.cause.value
            self._admission.observer.retried(space, self.intent.purpose, cause)
        return delay_s
