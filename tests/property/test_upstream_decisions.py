"""Whether Nexudus is called, and called again: what holds whatever happens."""

from __future__ import annotations

from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bff.nexudus.breaker import (
    LESSER_AFTER_S,
    LONGEST_OPEN_S,
    Began,
    BreakerPolicy,
    Closed,
    Event,
    Failed,
    GivenUp,
    HalfOpen,
    Open,
    State,
    Succeeded,
    admits,
    after,
    wait_s,
)
from bff.nexudus.retry import (
    BACKGROUND_RETRIES,
    LONGEST_PAUSE_S,
    SHORTEST_PAUSE_S,
    Cause,
    Mishap,
    Prospects,
    RetryPolicy,
    mishap_of,
    next_delay,
    retry_after_s,
)

CHANCES = st.floats(0, 1, exclude_max=True)
WAITS = st.floats(0, 1000)
MISHAPS = st.builds(Mishap, st.sampled_from(Cause), WAITS)
POLICIES = st.builds(RetryPolicy, st.integers(0, 10), st.floats(0, 5), st.floats(0, 5))
PROSPECTS = st.builds(
    Prospects, st.integers(0, 12), st.floats(-10, 1000), st.booleans(), st.booleans()
)
POLICY: Final = BreakerPolicy(failures=3, rate=0.6, open_s=2, probe_s=4, window_s=3, least=5)


class Breaker(RuleBasedStateMachine):
    """Callers come whenever they are let in, and report late, in any order or never."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.state: State = Closed()
        self.under_way: list[int] = []

    def happens(self, event: Event) -> None:
        before = self.state
        self.state = after(before, event, self.now, POLICY)
        assert self.state.epoch >= before.epoch
        assert (type(self.state) is type(before)) or self.state.epoch == before.epoch + 1
        if isinstance(self.state, Open) and isinstance(before, Closed):
            assert isinstance(event, Failed), "only a failure opens it"
        if isinstance(self.state, Closed) and isinstance(before, HalfOpen):
            assert isinstance(event, Succeeded), "only a success closes it"
        if isinstance(before, Open):
            assert not isinstance(self.state, Closed), "it closes by a probe only"

    @rule(step=st.floats(0, 5))
    def time_passes(self, step: float) -> None:
        self.now += step

    @rule(sound=st.booleans())
    def a_call_comes(self, sound: bool) -> None:
        if not admits(self.state, self.now, sound=sound):
            return
        self.happens(Began(sound))
        self.under_way.append(self.state.epoch)
        if not isinstance(self.state, Closed):
            assert not admits(self.state, self.now, sound=False), "one probe at a time"
            assert sound is not admits(self.state, self.now), "and one for a lesser"

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), chance=CHANCES)
    def a_call_ends(self, data: st.DataObject, chance: float) -> None:
        epoch = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        ends: list[Event] = [Succeeded(epoch), Failed(epoch, chance), GivenUp(epoch)]
        self.happens(data.draw(st.sampled_from(ends)))

    @invariant()
    def it_is_never_stuck(self) -> None:
        wait = wait_s(self.state, self.now)
        assert 0 <= wait <= max(LONGEST_OPEN_S, POLICY.probe_s)
        assert admits(self.state, self.now + wait + 1e-6)
        lesser = wait_s(self.state, self.now, sound=False)
        assert wait <= lesser <= max(LONGEST_OPEN_S + LESSER_AFTER_S, POLICY.probe_s)
        assert admits(self.state, self.now + lesser + 1e-6, sound=False)

    @invariant()
    def its_memory_is_bounded(self) -> None:
        if isinstance(self.state, Closed):
            assert len(self.state.tallies) <= POLICY.window_s
            assert self.state.in_row < POLICY.failures


TestBreaker = Breaker.TestCase
TestBreaker.settings = settings(max_examples=60, stateful_step_count=40)


@given(POLICIES, MISHAPS, PROSPECTS, CHANCES)
def test_a_call_made_again_is_within_all_its_bounds(
    policy: RetryPolicy, mishap: Mishap, prospects: Prospects, chance: float
) -> None:
    delay_s = next_delay(policy, mishap, prospects, chance)
    if delay_s is None:
        return
    assert prospects.retried < policy.retries
    assert not prospects.short or mishap.cause is Cause.THROTTLED
    assert not (prospects.background and prospects.retried >= BACKGROUND_RETRIES)
    assert 0 <= delay_s < prospects.left_s
    assert mishap.cause is Cause.NO_ANSWER or mishap.retry_after_s < prospects.left_s
    if mishap.cause is Cause.UNAVAILABLE:
        assert delay_s >= mishap.retry_after_s
    if mishap.cause is Cause.NO_ANSWER:
        assert delay_s <= policy.cap_s


@given(POLICIES, MISHAPS, PROSPECTS, CHANCES, st.floats(0, 100))
def test_more_time_never_forbids_a_repetition(
    policy: RetryPolicy, mishap: Mishap, prospects: Prospects, chance: float, more_s: float
) -> None:
    longer = Prospects(
        prospects.retried, prospects.left_s + more_s, prospects.short, prospects.background
    )
    delay_s = next_delay(policy, mishap, prospects, chance)
    assert delay_s is None or next_delay(policy, mishap, longer, chance) == delay_s


@given(
    st.integers(200, 599), st.lists(st.binary() | st.from_regex(rb"[0-9]+")), WAITS, st.booleans()
)
def test_whatever_nexudus_says_a_pause_is_bounded(
    status: int, values: list[bytes], wall: float, known: bool
) -> None:
    headers = [(b"Retry-After", value) for value in values]
    told = retry_after_s(headers, wall)
    assert told is None or told >= 0
    mishap = mishap_of(status, headers, wall, known=known)
    if mishap is not None and mishap.cause is Cause.THROTTLED:
        assert SHORTEST_PAUSE_S <= mishap.retry_after_s <= LONGEST_PAUSE_S
