"""Retries, breaker and admission through real sockets: what members see, what Nexudus gets."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import httpx
import pytest

from bff.errors import Overloaded, UpstreamDown
from bff.nexudus.admission import Admission, AdmissionPolicy
from bff.nexudus.blame import Asked
from bff.nexudus.budget.contract import Priority, Urgency
from bff.nexudus.client import NexudusClient
from bff.nexudus.intent import FORWARDED, Intent, Observer
from bff.nexudus.passthrough import CLIENT_CLOSED, Outcome, Passage, Plan, ResponseCutError, forward
from bff.nexudus.retry import RetryPolicy
from bff.sandbox.effects import Reset, Status
from bff.spaces import Space
from tests.support import fair_time
from tests.support.asgi_call import AsgiCall
from tests.support.gateway import BOOTSTRAP, EDIT, PROFILES, Stage, related, stage, until
from tests.support.nexudus_client import client_and_upstream, nexudus_client
from tests.support.raw_upstream import Peer, answering, upstream
from tests.support.unlimited import Unlimited

ECHO = "/api/public/_echo"
RETRYING = {"BFF_RETRIES": "2"}
BREAKING = {"BFF_BREAKER_FAILURES": "3", "BFF_BREAKER_OPEN_S": "0.3"}
ROUTES = ("/api/public/one", "/api/public/two", "/api/public/three")
PLAN = Plan(max_body=1000, idle_s=5)


class TestRetries:
    @pytest.mark.parametrize("target", [PROFILES, related(101), ECHO])
    @pytest.mark.parametrize(
        "effect", [Status(503), Status(409, retry_after=0), Reset()], ids=["503", "409", "reset"]
    )
    async def test_a_read_is_repeated_until_it_succeeds(
        self, target: str, effect: Status | Reset
    ) -> None:
        async with stage(env=RETRYING) as s:
            s.tenant.fault(effect, target, count=2)
            if target == ECHO and isinstance(effect, Reset):
                # The answer had begun: the client has to see that it broke off.
                with pytest.raises(httpx.RemoteProtocolError):
                    await s.get(target, s.alice)
                assert s.tenant.arrivals(target) == 1
                return
            assert (await s.get(target, s.alice)).status_code == 200
            assert s.tenant.arrivals(target) == 3
            assert await s.metric("bff_upstream_calls", "2xx") >= 1

    async def test_a_throttled_space_is_left_alone_and_then_asked_again(self) -> None:
        async with stage(env=RETRYING) as s:
            s.tenant.fault(Status(409, retry_after=1), PROFILES, count=1)
            began = time.monotonic()
            listed = s.later(PROFILES, s.alice)
            await until(partial(_refused, s))
            passed = s.later(ECHO, s.bob)
            for each in (listed, passed):
                assert (await each).status_code == 200
                assert time.monotonic() - began >= 1
            assert [visit.path for visit in s.tenant.visits()].count(PROFILES) == 2

    async def test_the_last_answer_is_passed_on(self) -> None:
        async with stage(env=RETRYING) as s:
            s.tenant.fault(Status(503, body="closed", retry_after=0))
            for target in (PROFILES, ECHO):
                answer = await s.get(target, s.alice)
                assert (answer.status_code, answer.text) == (503, "closed")
                assert s.tenant.arrivals(target) == 3

    async def test_what_may_have_an_effect_is_never_repeated(self) -> None:
        async with stage(env=RETRYING) as s:
            s.tenant.fault(Status(503))
            asked = [
                ("POST", ECHO, b"{}"),
                ("POST", ECHO, None),
                ("DELETE", ECHO, None),
                ("GET", ECHO, b"{}"),
                ("GET", "/en/coworker/setCurrentProfile?coworkerId=101", None),
                ("GET", "/en/anything", None),
                ("GET", "/api/public/coworkers/202/impersonate", None),
                ("GET", "/api/sys/users/exchange?token=one-time", None),
            ]
            for method, target, body in asked:
                before = len([v for v in s.tenant.visits() if v.path != PROFILES])
                answer = await s.send(method, target, s.alice, content=body)
                assert answer.status_code == 503
                after = len([v for v in s.tenant.visits() if v.path != PROFILES])
                assert (method, target, after) == (method, target, before + 1)

    async def test_a_read_that_would_end_too_late_is_not_repeated(self) -> None:
        async with stage(env={**RETRYING, "BFF_DEADLINE_S": "2"}) as s:
            s.tenant.fault(Status(503, retry_after=2))
            for target in (PROFILES, ECHO):
                answer = await s.get(target, s.alice)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
                assert s.tenant.arrivals(target) == 1

    async def test_silence_is_not_waited_for_twice(self) -> None:
        quick = {"BFF_READ_TIMEOUT_S": "0.1", "BFF_DEADLINE_S": "2"}
        async with stage(env={**RETRYING, **quick}) as s:
            s.tenant.hold(PROFILES)
            assert (await s.get(PROFILES, s.alice)).status_code == 504
            assert s.tenant.arrivals(PROFILES) == 1

    async def test_a_refused_connection_is_tried_again(self) -> None:
        called: list[str] = []
        async with upstream(answering(b"")) as gone:
            pass
        async with nexudus_client() as client:
            admission = admission_of(client, Unlimited())
            admission.observer = Observer(called=lambda _s, _k, outcome: called.append(outcome))
            call = AsgiCall()
            with pytest.raises(UpstreamDown):
                await forward(
                    *(call.scope, call.receive, call.send),
                    passage=passage(client, gone.space, admission),
                    plan=PLAN,
                )
        assert called == ["UpstreamDown"] * 3


class TestBreaker:
    async def opened(self, s: Stage) -> None:
        """Lets calls fail on three routes."""
        s.tenant.fault(Status(503))
        for route in ROUTES:
            assert (await s.get(route, s.alice)).status_code == 503
        s.tenant.forget_visits()

    async def test_nothing_arrives_while_it_is_open(self) -> None:
        async with stage(env={**BREAKING, "BFF_BREAKER_OPEN_S": "20"}) as s:
            await s.get(BOOTSTRAP, s.alice)
            await self.opened(s)
            for method, target in (("GET", ECHO), ("PUT", EDIT), ("GET", related(202))):
                answer = await s.send(method, target, s.bob)
                assert answer.status_code == 503
                assert answer.json()["type"] == "urn:bff:problem:upstream-down"
                assert 15 <= int(answer.headers["retry-after"]) <= 20
            # Past every stale window, within that for failures.
            s.clock.advance(1000)
            stale = await s.get(BOOTSTRAP, s.alice)
            assert (stale.status_code, stale.headers["age"]) == (200, "1000")
            assert s.tenant.arrivals() == 0
            # A write that is not sent drops nothing.
            assert await s.metric("bff_invalidations", "write") == 0

    async def test_one_probe_closes_it(self) -> None:
        async with stage(env=BREAKING) as s:
            await self.opened(s)
            s.tenant.release()
            s.tenant.hold(ECHO, at="request")
            probes: list[asyncio.Task[httpx.Response]] = []

            async def arrived() -> bool:
                probes.append(s.later(ECHO, s.alice))
                await asyncio.wait({probes[-1]}, timeout=0.02)
                return s.tenant.arrivals() > 0

            await until(arrived)
            for _ in range(5):
                assert (await s.get(ECHO, s.alice)).status_code == 503
            assert s.tenant.arrivals() == 1
            s.tenant.release()
            # One of them is the probe, perhaps not the latest; the others came while it was made.
            told = Counter([(await each).status_code for each in probes])
            assert told == Counter({200: 1, 503: len(probes) - 1})
            answers = await asyncio.gather(*(s.get(ECHO, s.bob) for _ in range(5)))
            assert {answer.status_code for answer in answers} == {200}

    async def test_a_space_that_fails_does_not_close_another(self) -> None:
        async with stage(env=BREAKING, hosts=("alpha.test", "beta.test")) as s:
            alpha, beta = s.tenants
            alpha.fault(Status(503))
            for route in (*ROUTES, ECHO):
                await s.get(route, alpha.alice, headers={"host": alpha.host})
            assert alpha.arrivals() == 3
            answer = await s.get(ECHO, beta.alice, headers={"host": beta.host})
            assert answer.status_code == 200

    @pytest.mark.parametrize(
        "effect",
        [*map(Status, (500, 502, 503, 504)), Reset()],
        ids=["500", "502", "503", "504", "reset"],
    )
    async def test_nobody_closes_a_space_by_what_he_asks_for(self, effect: Status | Reset) -> None:
        async with stage(env={**BREAKING, **RETRYING}) as s:
            s.tenant.fault(effect, ECHO)
            asked = (s.later(ECHO, s.bob) for _ in range(6))
            for outcome in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(effect, Status):
                    assert isinstance(outcome, httpx.Response)
                    assert outcome.status_code == effect.status
                else:
                    assert isinstance(outcome, httpx.RemoteProtocolError)
            assert (await s.get(PROFILES, s.alice)).status_code == 200

    async def test_nor_by_an_answer_that_stalls(self) -> None:
        async def stalling(peer: Peer) -> None:
            await peer.head()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            await peer.closed()

        async with client_and_upstream(stalling) as (client, up):
            admission = admission_of(client, Unlimited(), patience_s=0.01)
            plan = Plan(max_body=1000, idle_s=0.02)
            for number in range(10):
                call = AsgiCall()
                # Nobody else was answered meanwhile, whatever the identifier is.
                way = passage(client, up.space, admission, path=f"/api/one/{number}")
                with pytest.raises(ResponseCutError):
                    await forward(call.scope, call.receive, call.send, passage=way, plan=plan)
            assert admission.standing(up.space.name).state == "closed"

    async def test_nor_keeps_it_closed(self) -> None:
        async with stage(env={**BREAKING, **RETRYING}) as s:
            await self.opened(s)
            s.tenant.release()
            s.tenant.fault(Status(503), "/api/public/one")

            async def hostile() -> None:
                while True:
                    await s.get("/api/public/one", s.bob)

            pollers = [asyncio.create_task(hostile()) for _ in range(3)]

            async def answered() -> bool:
                return (await s.get(ECHO, s.alice)).status_code == 200

            await until(answered)
            for _ in range(20):
                assert await answered()
            for poller in pollers:
                poller.cancel()

    async def test_an_upload_is_no_probe(self) -> None:
        async with stage(env=BREAKING) as s:
            await self.opened(s)
            s.tenant.release()
            # No opening is longer.
            await asyncio.sleep(0.3)
            going = asyncio.Event()

            async def trickle() -> AsyncIterator[bytes]:
                yield b"x" * 70_000
                await going.wait()

            async def sent() -> httpx.Response:
                with s.apps.one() as client:
                    url = s.gateways[0].origin + ECHO
                    return await client.post(url, content=trickle(), headers=s.bob.headers)

            async def all_refused() -> bool:
                return await s.metric("bff_upstream_refused", "breaker") == 3

            uploads = [asyncio.create_task(sent()) for _ in range(3)]
            await until(all_refused)
            assert (await s.get(PROFILES, s.alice)).status_code == 200
            going.set()
            await asyncio.wait(uploads)
            assert (await sent()).status_code == 200

    async def test_a_write_that_nexudus_breaks_off_is_no_failure_of_the_space(self) -> None:
        async def refusing(peer: Peer) -> None:
            await peer.head()
            peer.reset()

        async with client_and_upstream(refusing) as (client, up):
            admission = admission_of(client, Unlimited())
            for _ in range(10):
                call = AsgiCall("POST", parts=[b"too large"])
                with pytest.raises(UpstreamDown):
                    await forward(
                        *(call.scope, call.receive, call.send),
                        passage=passage(client, up.space, admission, "POST"),
                        plan=PLAN,
                    )
            assert admission.standing(up.space.name).state == "closed"


class TestThrottled:
    POLLED = "/api/public/polled"

    @pytest.mark.unmeasured
    @pytest.mark.parametrize("retry_after", [None, 1])
    async def test_one_throttled_path_does_not_pause_a_space_for_long(
        self, retry_after: int | None
    ) -> None:
        on = {"BFF_BUDGET": "on", "BFF_BUDGET_CALLS": "100/s,6000/m"}
        async with stage(env={**RETRYING, **on}) as s:
            s.tenant.fault(Status(409, retry_after=retry_after), self.POLLED)

            async def hostile() -> None:
                while True:
                    assert (await s.get(self.POLLED, s.bob)).status_code in (409, 503)
                    await asyncio.sleep(0.01)

            pollers = [asyncio.create_task(hostile()) for _ in range(3)]
            await until(partial(_refused, s))
            assert (await s.get(PROFILES, s.alice)).status_code == 200
            await until(partial(self._polled, s, 3))
            began = fair_time.now()
            answers = await asyncio.gather(*(s.get(PROFILES, each) for each in s.crowd(40)))
            took_s = fair_time.now() - began
            await until(partial(self._polled, s, 40))
            for poller in pollers:
                poller.cancel()
            assert [answer.status_code for answer in answers] == [200] * 40
            assert took_s < 5

    async def test_anonymous_calls_cannot_pause_it_for_as_long_as_they_are_told_to(self) -> None:
        path = "/api/public/auth/login/x"
        async with stage(env={"BFF_BUDGET": "on", "BFF_DEADLINE_S": "1"}) as s:
            s.tenant.fault(Status(429, retry_after=300), path, method="POST")
            answer = await s.send("POST", path, content=b"x=1")
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "300")
            refused = await s.get(PROFILES, s.alice)
            assert (refused.status_code, int(refused.headers["retry-after"]) <= 5) == (503, True)

    async def _polled(self, s: Stage, times: int) -> bool:
        return s.tenant.arrivals(self.POLLED) >= times


class TestWaiting:
    @pytest.mark.parametrize("finishes", [False, True])
    async def test_a_client_that_leaves_while_it_waits_ends_the_wait(self, finishes: bool) -> None:
        budget = Unlimited()
        budget.open.clear()
        async with client_and_upstream(answering(b"")) as (client, up):
            call = AsgiCall("PUT", parts=[b"x"])
            plan = Plan(max_body=1000, idle_s=5, finishes=finishes)
            way = passage(client, up.space, admission_of(client, budget), "PUT")
            task = asyncio.create_task(
                forward(call.scope, call.receive, call.send, passage=way, plan=plan)
            )
            await until(partial(_waits, budget))
            call.disconnect()
            done = await task
            assert (done.status, done.outcome) == (CLIENT_CLOSED, Outcome.NOT_SENT)
            assert (budget.waiting, up.peers) == (0, [])

    async def test_a_call_that_is_shed_was_not_sent(self) -> None:
        async def told() -> None:
            raise AssertionError("nothing was sent")

        budget = Unlimited(shed=True)
        async with client_and_upstream(answering(b"")) as (client, up):
            call = AsgiCall("PUT", parts=[b"x"])
            way = passage(client, up.space, admission_of(client, budget), "PUT")
            plan = Plan(max_body=1000, idle_s=5, on_unknown=told)
            with pytest.raises(Overloaded):
                await forward(call.scope, call.receive, call.send, passage=way, plan=plan)
            assert not call.sent


def admission_of(client: NexudusClient, budget: Unlimited, patience_s: float = 1) -> Admission:
    policy = AdmissionPolicy(retry=RetryPolicy(2, base_s=0.01), patience_s=patience_s)
    return Admission(budget, policy, client.clock, lambda: 0.5)


def passage(
    client: NexudusClient,
    space: Space,
    admission: Admission,
    method: str = "GET",
    path: str = "/api/a",
) -> Passage:
    begins_by = client.clock.monotonic() + 5
    urgency = Urgency(Priority.FORWARDED)
    intent = Intent(space.name, FORWARDED, urgency, begins_by, method, repeatable=method == "GET")
    intent = replace(intent, asked=Asked(method, path, bodied=method != "GET"))
    return Passage(client, space, lambda _call: admission.tries(intent))


async def _refused(s: Stage) -> bool:
    """As a throttle or, where Nexudus does not say when to come back, as any other refusal."""
    throttled = await s.metric("bff_upstream_calls", "throttled")
    return throttled + await s.metric("bff_upstream_calls", "4xx") > 0


async def _waits(budget: Unlimited) -> bool:
    return budget.waiting > 0
