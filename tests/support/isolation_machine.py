"""Two members, two spaces, two gateways, anything in any order; every answer is checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.support import isolation_events as events
from tests.support.isolation_answers import Route
from tests.support.isolation_asks import (
    LATEST,
    PARTS,
    Again,
    Ask,
    Leap,
    Operation,
    Stranger,
    Write,
    agains,
    asks,
    faults,
    gateways,
    numbers,
    perhaps_later,
    spaces,
    subjects,
    thens,
    writes,
)
from tests.support.isolation_calls import Caller
from tests.support.isolation_model import OWNERS, SPACES, Truth
from tests.support.isolation_play import Play
from tests.support.isolation_stage import Stage

Then = Again | Leap | Write

MAX_PENDING: Final = 2


class IsolationMachine(RuleBasedStateMachine):
    """One example: a fresh truth on a stage that is used again.

    `then`: what follows at once, such as the last read once more. What needs several steps in a row
    to matter is one rule: chance alone would hardly ever put them together.
    """

    stage: Stage

    def __init__(self) -> None:
        super().__init__()
        stage = self.stage
        self.play = Play(stage, Truth(stage.place.windows, next(stage.examples)))
        self.last = Ask()

    @initialize()
    def begin(self) -> None:
        self.play.begin()

    def teardown(self) -> None:
        self.play.end()

    @rule(ask=asks(), then=thens)
    def read(self, ask: Ask, then: list[Then]) -> None:
        self._read(ask)
        self._then(then)

    @rule(again=agains)
    def read_again(self, again: Again) -> None:
        self._then([again])

    @rule(
        ask=asks(),
        others=st.lists(asks() | agains, min_size=1, max_size=4),
        write=st.none() | writes(),
    )
    def read_together(self, ask: Ask, others: list[Ask | Again], write: Write | None) -> None:
        """All at once, perhaps around a write."""
        self.last = ask
        several = [ask, *(each.of(ask) if isinstance(each, Again) else each for each in others)]
        self.play.call([(self.play.caller(each.login), each) for each in several], write)

    @rule(ask=asks(), meanwhile=st.none() | writes(), leave=st.booleans(), then=thens)
    def read_slowly(
        self, ask: Ask, meanwhile: Write | None, then: list[Then], *, leave: bool
    ) -> None:
        """Its answer from Nexudus is held on the way, while other things happen.

        Its caller may leave: the call to Nexudus is held all the same.
        """
        # What is still held is for time to say, so that no precondition may ask for it: an example
        # would be another one when it is played again.
        if len(self.play.pending) >= MAX_PENDING:
            self._let_go()
        self.last = ask
        self.play.read_slowly(self.play.caller(ask.login), ask)
        if leave:
            self.play.leave()
        if meanwhile is not None:
            self.play.call([], meanwhile)
        self._then(then)

    @rule(then=thens)
    def let_go(self, then: list[Then]) -> None:
        """What is held, if anything."""
        self._let_go()
        self._then(then)

    @rule(stranger=st.sampled_from(Stranger), space=spaces, again=agains, number=numbers)
    def read_as_stranger(
        self, stranger: Stranger, space: str | None, again: Again, number: int
    ) -> None:
        """Nobody is shown anything, whatever is cached and whatever validator is sent."""
        where, authorization = self.play.space(space), stranger.value
        if stranger is Stranger.FOREIGN:
            elsewhere = [each for each in self.play.callers if each.space != where]
            authorization = elsewhere[number % len(elsewhere)].authorization
        ask = replace(again.of(self.last), validators=(number,))
        self.play.call([(Caller(where, authorization), ask)])

    @rule(write=writes(), then=thens)
    def write(self, write: Write, then: list[Then]) -> None:
        self.play.call([], write)
        self._then(then)

    @rule(
        ask=asks(),
        like=st.none() | writes(),
        hook=st.none() | gateways,
        leap=perhaps_later,
        then=thens,
    )
    def outdate(
        self, ask: Ask, like: Write | None, hook: int | None, leap: Leap | None, then: list[Then]
    ) -> None:
        """What was just read is changed in Nexudus; a webhook may tell of it, time may pass."""
        self._read(ask)
        space, changed = self.play.space(None), self._subject(LATEST)
        if like is None:
            events.switch_elsewhere(self.play, space, 145 if changed == 101 else 101, hook)
        else:
            events.edit_elsewhere(self.play, space, changed, like.shown, hook)
        self._then([*([] if leap is None else [leap]), Again(), *then])

    @rule(
        space=spaces,
        user=st.sampled_from((7001, 7002)),
        twin=st.booleans(),
        then=thens,
    )
    def log_in(self, space: str | None, user: int, then: list[Then], *, twin: bool) -> None:
        """A new token; a twin's text is the other member's token in the other space."""
        self.play.tick()
        where = self.play.space(space)
        token = self.play.log_in(where, user, None)
        if twin:
            [other] = [each for each in SPACES if each != where]
            self.play.log_in(other, {7001: 7002, 7002: 7001}[user], None, token)
        self._then(then)

    @rule(ask=asks(), lifetime=st.none() | numbers, leap=perhaps_later, then=thens)
    def end_token(
        self, ask: Ask, lifetime: int | None, leap: Leap | None, then: list[Then]
    ) -> None:
        """A token that was just used is revoked, or has said when it ends; time may pass."""
        self._read(ask)
        space, user = self.play.space(None), self.play.last_user
        if lifetime is None:
            events.revoke(self.play, LATEST)
        else:
            known = self.stage.place.lifetimes
            self.play.log_in(space, user, known[lifetime % len(known)])
            self._then([Again()])
        self._then([*([] if leap is None else [leap]), Again(), *then])
        self.play.log_in(space, user, None)

    @rule(number=numbers, then=thens)
    def let_time_pass(self, number: int, then: list[Then]) -> None:
        self._then([Leap(number), *then])

    @rule(
        space=spaces,
        fault=faults,
        part=st.sampled_from(tuple(PARTS)),
        lasting=st.booleans(),
        then=thens,
    )
    def fail(
        self, space: str | None, fault: str, part: str, then: list[Then], *, lasting: bool
    ) -> None:
        events.fail(self.play, self.play.space(space), fault, part)
        self._then(then)
        if not lasting:
            events.mend(self.play)

    @precondition(lambda self: self.play.failing)
    @rule(then=thens)
    def mend(self, then: list[Then]) -> None:
        events.mend(self.play)
        self._then(then)

    @rule(
        what=st.sampled_from(Operation),
        gateway=gateways,
        space=spaces,
        coworker=subjects,
        then=thens,
    )
    def operate(
        self,
        what: Operation,
        gateway: int,
        space: str | None,
        coworker: int,
        then: list[Then],
    ) -> None:
        events.operate(self.play, what, gateway, self.play.space(space), self._subject(coworker))
        self._then(then)

    def _read(self, ask: Ask) -> None:
        self.last = ask
        self.play.call([(self.play.caller(ask.login), ask)])

    def _let_go(self) -> None:
        self.play.tick()
        self.play.let_go()
        self.play.collect()

    def _then(self, then: list[Then]) -> None:
        for each in then:
            match each:
                case Again():
                    self._read(each.of(self.last))
                case Leap():
                    events.advance(self.play, each.number)
                case Write():
                    self.play.call([], each)

    def _subject(self, coworker: int) -> int:
        """Whose data the last read showed, for LATEST."""
        if coworker != LATEST:
            return coworker
        if self.last.route is Route.RELATED and self.last.coworker in OWNERS:
            return self.last.coworker
        return self.play.current()


def machine_on(stage: Stage) -> type[IsolationMachine]:
    """The machine, to be run on a stage that is set."""
    return type("Machine", (IsolationMachine,), {"stage": stage})
