"""One example of the machine: its truth, its callers, what is under way; it acts and checks."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from hypothesis import note

from tests.support import isolation_calls as calls
from tests.support.isolation_answers import (
    Answer,
    Issued,
    Request,
    Terms,
    check,
    check_write,
)
from tests.support.isolation_asks import (
    LATEST,
    Ask,
    Write,
)
from tests.support.isolation_calls import Caller
from tests.support.isolation_model import SPACES, Grant, Json, Truth, canaries
from tests.support.isolation_stage import Stage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pending:
    """A read under way, and its terms when it began."""

    ask: Ask
    request: Request
    terms: Terms
    task: asyncio.Task[Answer]


@dataclass(slots=True)
class Trouble:
    """Of one space: whether its answers fail or are held, and since which step they are not."""

    rules: list[Json] = field(default_factory=list)
    failing: bool = False
    holding: bool = False
    calm_since: int = 0

    def since(self, step: int) -> bool:
        """Whether a read begun in `step` may have met it."""
        return self.failing or self.holding or self.calm_since >= step


@dataclass(slots=True)
class Play:
    """Acts on the stage, keeps the truth in step, checks every answer."""

    stage: Stage
    truth: Truth
    issued: Issued = field(default_factory=Issued)
    callers: list[Caller] = field(default_factory=list)
    last_login: int = 0
    pending: list[Pending] = field(default_factory=list)
    trouble: dict[str, Trouble] = field(
        default_factory=lambda: {space: Trouble() for space in SPACES}
    )
    told: list[str] = field(default_factory=list)

    def tick(self) -> None:
        """What happens from here on comes after everything before."""
        self.truth.step += 1

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the stage."""
        return self.stage.run(work)

    @property
    def holding(self) -> bool:
        return any(each.holding for each in self.trouble.values())

    @property
    def failing(self) -> bool:
        return any(each.rules for each in self.trouble.values())

    def begin(self) -> None:
        """Both members have two tokens in each space, and nothing is cached."""
        self.stage.time.rewind()
        self.do(calls.reset(self.stage, self.truth))
        self.stage.forget_stored()
        self.truth.begin()
        for space in SPACES:
            for user in (7001, 7002, 7001, 7002):
                self.log_in(space, user, None)

    def end(self) -> None:
        """Nothing is left under way."""
        self.let_go()
        self.do(calls.finished(each.task for each in self.pending))

    # --- callers ---

    def log_in(self, space: str, user: int, ttl_s: float | None, text: str = "") -> str:
        """A token of `text`, or a new one: a JWT if it is to end by itself."""
        exp = None if ttl_s is None else self.stage.time.wall() + ttl_s
        token = text or self._token(exp)
        form: Json = {"user_id": user, "text": token}
        if ttl_s is not None:
            form["ttl_s"] = ttl_s
        self.do(self.stage.control(space, "POST", "tokens", form))
        self.truth.grants[space, token] = Grant(space, user, exp)
        self.last_login = len(self.callers)
        self.callers.append(Caller(space, f"Bearer {token}"))
        return token

    def _token(self, exp: float | None) -> str:
        name = f"token-{self.truth.example}-{len(self.callers)}"
        if exp is None:
            return f"{name}-opaque"
        parts = (b"{}", orjson.dumps({"exp": exp, "jti": name}), b"signature")
        return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)

    def caller(self, number: int) -> Caller:
        """The token of a number; the last one again for LATEST."""
        if number != LATEST:
            self.last_login = number % len(self.callers)
        return self.callers[self.last_login]

    @property
    def last_user(self) -> int:
        """Whose token the last caller has."""
        caller = self.callers[self.last_login]
        return self.truth.grants[caller.space, caller.token or ""].user

    def current(self) -> int:
        """The active profile of the last caller, as it truly is."""
        return self.truth.replicas[self.space(None)].current(self.last_user)

    def space(self, named: str | None) -> str:
        """The space that is named, or that of the last caller."""
        return named or self.callers[self.last_login].space

    # --- reads and writes through the gateways ---

    def call(self, reads: Sequence[tuple[Caller, Ask]], write: Write | None = None) -> None:
        """Everything at once; then every answer that is there is checked."""
        self.tick()
        begun = [self._begin(caller, ask) for caller, ask in reads]
        self.pending += begun
        written = None if write is None else self._begin_write(write)
        tasks = [each.task for each in begun]
        self._patiently(tasks if written is None else [*tasks, written[0]])
        if write is not None and written is not None:
            self._settle_write(write, *written)
        self.collect()

    def read_slowly(self, caller: Caller, ask: Ask) -> None:
        """A read whose call to Nexudus has its answer, which is held on its way to the gateway."""
        self.tick()
        trouble = self.trouble[caller.space]
        self.put_rules(caller.space, [*trouble.rules, calls.hold_of(caller)])
        pending = self._begin(caller, ask)
        self.pending.append(pending)
        already = trouble.holding
        trouble.holding = self.do(
            calls.start_held(self.stage, caller, pending.task, already=already)
        )
        self.put_rules(caller.space, trouble.rules)
        self.stage.tally["held"] += trouble.holding
        self.tell(f"{ask} as {caller.token} in {caller.space}, held: {trouble.holding}")
        self.collect()

    def leave(self) -> None:
        """Whoever waits for a held call goes away; the call stays."""
        self.do(calls.left(each.task for each in self.pending))
        self.stage.tally["left"] += len(self.pending)
        self.pending.clear()

    def let_go(self) -> None:
        """Every held call goes on, and comes to its end."""
        for space, trouble in self.trouble.items():
            if trouble.holding:
                self.tell(f"let go in {space}")
                self.do(self.stage.control(space, "POST", "release"))
                self.do(self.stage.idle(space))
                trouble.holding = False
                trouble.calm_since = self.truth.step

    def collect(self) -> None:
        """Check the reads that have their answers."""
        done = [each for each in self.pending if each.task.done()]
        self.pending = [each for each in self.pending if not each.task.done()]
        for each in done:
            self._check(each)

    def _begin(self, caller: Caller, ask: Ask) -> Pending:
        request = calls.request_of(caller, ask, self.issued)
        terms = Terms(self.truth.moment(self.stage.time.wall()), troubled=False)
        task = self._task(calls.read(self.stage, caller, ask, request))
        return Pending(ask, request, terms, task)

    def tell(self, text: str) -> None:
        """For whoever reads a failure."""
        self.told.append(f"{self.truth.step}: {text}")
        note(text)

    def _task(self, work: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        async def begin() -> asyncio.Task[Answer]:
            return asyncio.create_task(work)

        return self.do(begin())

    def _patiently(self, tasks: Iterable[asyncio.Task[Answer]]) -> None:
        """Wait for all; what is held is let go when it keeps them waiting."""
        waiting = self.do(calls.finished(tasks, calls.PATIENCE_S if self.holding else None))
        if waiting:
            self.let_go()
            self.do(calls.finished(waiting))

    def _check(self, read: Pending) -> None:
        answer, request, began = read.task.result(), read.request, read.terms.began
        status, tally = answer.headers.get("cache-status", ""), self.stage.tally
        self.tell(f"{read.ask} as {request.token} in {request.space}: {answer.status} {status}")
        self.tell(f"  {answer.body[:400]!r}")
        tally[f"status {answer.status}"] += 1
        for word in ("detail=l1", "detail=l2", "collapsed", "stale-if-error", "ttl=-"):
            tally[word] += word in status
        troubled = answer.slow or self.trouble[request.space].since(began.step)
        try:
            check(self.truth, self.issued, request, answer, Terms(began, troubled))
        except AssertionError as error:
            self.stage.failures.append("\n".join([*self.told, repr(error)]))
            raise
        self._note_refusal(request.space, request.token, answer)

    def _note_refusal(self, space: str, token: str | None, answer: Answer) -> None:
        grant = self.truth.grants.get((space, token or ""))
        if answer.status == 401 and grant is not None and grant.revoked_at is not None:
            grant.refused_in = grant.refused_in or self.truth.step

    def _begin_write(self, write: Write) -> tuple[asyncio.Task[Answer], Caller, Grant, Json]:
        caller = self.caller(write.login)
        assert caller.token is not None
        grant = self.truth.grants[caller.space, caller.token]
        current = self.truth.replicas[caller.space].current(grant.user)
        fields = {**canaries(caller.space, current, self.truth.new_mark()), **write.shown}
        return self._task(calls.write(self.stage, caller, write, fields)), caller, grant, fields

    def _settle_write(
        self, write: Write, task: asyncio.Task[Answer], caller: Caller, grant: Grant, fields: Json
    ) -> None:
        """From the answer of a write on, what it drops is not shown any more."""
        answer, space, replica = task.result(), caller.space, self.truth.replicas[caller.space]
        self.tell(f"{write} as {caller.token} in {space}: {answer.status} {answer.body[:100]!r}")
        self.stage.tally[f"write {answer.status}"] += 1
        troubled = answer.slow or self.trouble[space].since(self.truth.step)
        check_write(grant, answer, troubled=troubled)
        self._note_refusal(space, caller.token, answer)
        before = replica.current(grant.user)
        done = self.do(calls.happened(self.stage, space, write, before, fields))
        if done and write.verb.switches:
            self.truth.switch(space, grant.user, write.coworker, self.stage.time.wall())
        elif done:
            self.truth.edit(space, before, fields, self.stage.time.wall())
        if answer.slow or self.trouble[space].failing:
            return  # who wrote may not be known, and Nexudus cannot be asked (ADR 0005)
        if done or (grant.accepted(answer.ended) and 0 < answer.status < 400):
            own = replica.world.member(grant.user).coworker_ids
            self.truth.drop(space, [grant.user], own)

    def put_rules(self, space: str, rules: list[Json]) -> None:
        """From now on, a space fails by these rules."""
        self.do(self.stage.control(space, "PUT", "faults", rules))
