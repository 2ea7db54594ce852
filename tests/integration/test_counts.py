"""What `/metrics` and the journal are told, where it happens: through real sockets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest
from structlog.testing import capture_logs

from bff.observe.journal import Event, EventKind, Journal, ProblemSeen
from bff.sandbox.effects import Status
from tests.support.gateway import (
    BOOTSTRAP,
    EDIT,
    OPS_TOKEN,
    PROFILES,
    Stage,
    bearer,
    related,
    stage,
    until,
)
from tests.support.redis_server import RedisServer
from tests.support.scraping import by_label, samples, total

OF_ALICE = related(101)
NOBODYS = related(999_999)
OLD_S = 400
"""After so long both lists are stale."""


@dataclass(slots=True)
class Told:
    """What is counted between two looks."""

    stage: Stage
    _before: Counter[tuple[str, frozenset[tuple[str, str]]]]

    @classmethod
    async def of(cls, stage: Stage) -> Told:
        return cls(stage, Counter(samples(await stage.metrics())))

    async def more(self, name: str, **given: str) -> float:
        """By how much a metric has grown."""
        now = samples(await self.stage.metrics())
        return total(now, name, **given) - total(self._before, name, **given)

    async def reads(self) -> dict[str, int]:
        """Reads of cached resources by `resource tier outcome`."""
        now = Counter(samples(await self.stage.metrics()))
        now.subtract(self._before)
        return {
            " ".join(dict(labels)[each] for each in ("resource", "tier", "outcome")): int(times)
            for (name, labels), times in now.items()
            if name == "bff_cache_reads_total" and times
        }

    async def calls(self) -> dict[str, int]:
        """Calls to Nexudus by `route outcome reason`."""
        now = Counter(samples(await self.stage.metrics()))
        now.subtract(self._before)
        return {
            " ".join(dict(labels)[each] for each in ("route", "outcome", "reason")): int(times)
            for (name, labels), times in now.items()
            if name == "bff_upstream_calls_total" and times
        }


def name_of(stage: Stage) -> str:
    """The only space's."""
    return stage.tenant.origin.removeprefix("http://")


class Copied(Journal):
    """A journal as any, and what it was told in `copy`, which no reporter takes away."""

    def __init__(self) -> None:
        super().__init__()
        self.copy = Journal()

    def note(self, event: Event) -> None:
        super().note(event)
        self.copy.note(event)

    def problem(self, problem: ProblemSeen) -> None:
        super().problem(problem)
        self.copy.problem(problem)

    def shape(self, space: str, shape: str, size: int, saved: int, uses: int = 1) -> None:
        super().shape(space, shape, size, saved, uses)
        self.copy.shape(space, shape, size, saved, uses)


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """What the gateway that the test opens has told its own."""
    own = Copied()
    monkeypatch.setattr("bff.observed.Journal", lambda: own)
    yield own.copy


async def test_a_bootstrap_is_missed_then_had_from_finished_bytes_then_not_sent(
    solo: Stage,
) -> None:
    told = await Told.of(solo)
    first = await solo.get(BOOTSTRAP, solo.alice)
    assert await told.reads() == {"profiles upstream miss": 1, "related upstream miss": 1}
    assert await told.calls() == {"profiles 2xx interactive": 1, "related 2xx interactive": 1}
    assert await told.more("bff_upstream_calls_saved_total") == 0
    assert await told.more("bff_upstream_seconds_count", route="related") == 1
    assert await told.more("bff_budget_wait_seconds_count") == 2

    told = await Told.of(solo)
    assert (await solo.get(BOOTSTRAP, solo.alice)).content == first.content
    held = {"if-none-match": first.headers["etag"]}
    assert (await solo.get(BOOTSTRAP, solo.alice, headers=held)).status_code == 304
    assert await told.reads() == {"profiles l1 hit": 2, "related l1 hit": 2}
    assert await told.calls() == {}
    assert await told.more("bff_upstream_calls_saved_total", resource="related") == 2
    assert await told.more("bff_finished_hits_total", route=BOOTSTRAP, space=name_of(solo)) == 2
    assert await told.more("bff_bootstraps_cached_total", space=name_of(solo)) == 2
    assert await told.more("bff_not_modified_total", route=BOOTSTRAP) == 1
    assert await told.more("bff_bytes_saved_total", how="not_modified") == len(first.content)
    assert await told.more("bff_requests_total", route=BOOTSTRAP, status="304") == 1
    assert await told.more("bff_response_bytes_total", route=BOOTSTRAP) == len(first.content)


async def test_bytes_are_saved_by_shapes_and_by_encodings(solo: Stage, journal: Journal) -> None:
    async with stage(beside=solo) as s:
        whole = (await s.get(BOOTSTRAP, s.alice)).content
        for target, name in (
            (f"{BOOTSTRAP}?_shape=User.Id,RelatedProfiles.Id", "RelatedProfiles.Id,User.Id"),
            (f"{BOOTSTRAP}?_shape=@mobile", "@mobile"),
        ):
            for _ in ("made", "finished"):
                told = await Told.of(s)
                encoded = await s.get(target, s.alice, headers={"accept-encoding": "gzip"})
                plain = encoded.content
                left_out = len(whole) - len(plain)
                assert left_out > 0
                assert await told.more("bff_bytes_saved_total", how="shape") == left_out
                spared = len(plain) - int(encoded.headers["content-length"])
                assert await told.more("bff_bytes_saved_total", how="encoding") == spared
                assert await told.more("bff_bytes_saved_total", how="not_modified") == 0
            used = {use.shape: use for use in journal.take_shapes()}
            assert used[name].space == name_of(s)
            assert (used[name].uses, used[name].bytes, used[name].saved) == (
                2, 2 * len(plain), 2 * left_out,
            )  # fmt: skip
        head = await s.send("HEAD", f"{BOOTSTRAP}?_shape=@mobile", s.alice)
        assert head.status_code == 200
        assert journal.take_shapes() == ()


async def test_stale_answers_are_given_and_refreshed(solo: Stage) -> None:
    await solo.get(BOOTSTRAP, solo.alice)
    solo.clock.advance(OLD_S / 2)  # of both lists, only the profile list is stale by now
    told = await Told.of(solo)
    await solo.get(BOOTSTRAP, solo.alice)
    await solo.quiet()
    assert await told.reads() == {"profiles l1 stale": 1, "related l1 hit": 1}
    assert await told.calls() == {"profiles 2xx refresh": 1}
    assert await told.more("bff_upstream_calls_saved_total") == 2
    assert await told.more("bff_bootstraps_cached_total") == 1


async def test_a_nexudus_that_fails_is_an_error_or_answered_from_a_stale_copy(
    solo: Stage, journal: Journal
) -> None:
    async with stage(beside=solo) as s:
        await s.get(PROFILES, s.alice)
        s.clock.advance(OLD_S)
        s.tenant.fault(Status(503), PROFILES)
        told = await Told.of(s)
        assert (await s.get(PROFILES, s.alice)).status_code == 200
        assert (await s.get(PROFILES, s.bob)).status_code == 503
        assert await told.reads() == {
            "profiles l1 stale_error": 1, "profiles upstream error": 1,
        }  # fmt: skip
        assert await told.calls() == {"profiles 5xx interactive": 2}
        # Nexudus' own answer was passed on.
        assert [(each.status, each.type) for each in journal.take()[1]] == [(503, "")]
        s.tenant.sandbox.faults.clear()
        s.tenant.fault(Status(200, body="<p>"), PROFILES)
        failed = await s.get(PROFILES, s.bob)
        assert failed.status_code == 502
        slug = failed.json()["type"].rpartition(":")[2]
        assert await told.more("bff_problems_total", type=slug) == 1
        [seen] = journal.take()[1]
        assert (seen.type, seen.route, seen.space) == (slug, PROFILES, name_of(s))
        assert seen.request_id == failed.headers["x-request-id"]
        assert await told.calls() == {
            "profiles 5xx interactive": 2, "profiles 2xx interactive": 1,
        }  # fmt: skip


async def test_a_404_that_is_kept_is_negative(solo: Stage) -> None:
    solo.tenant.fault(Status(404), OF_ALICE)
    await solo.get(OF_ALICE, solo.alice)
    told = await Told.of(solo)
    for query in ("", "?_shape=Threads"):
        assert (await solo.get(OF_ALICE + query, solo.alice)).status_code == 404
    assert await told.reads() == {"related l1 negative": 2}
    assert await told.more("bff_upstream_calls_saved_total", resource="related") == 2


async def test_a_token_is_proven_by_a_call_of_its_own(solo: Stage) -> None:
    told = await Told.of(solo)
    await solo.get(OF_ALICE, solo.alice)
    assert await told.calls() == {"profiles 2xx proof": 1, "related 2xx interactive": 1}


async def test_a_hint_lets_both_calls_begin(solo: Stage) -> None:
    told = await Told.of(solo)
    await solo.get(f"{BOOTSTRAP}?coworkerId=101", solo.alice)
    assert await told.calls() == {"profiles 2xx prefetch": 1, "related 2xx prefetch": 1}


async def test_a_wrong_hint_costs_one_more_call(solo: Stage) -> None:
    told = await Told.of(solo)
    await solo.get(f"{BOOTSTRAP}?coworkerId=202", solo.alice)
    assert (await told.calls())["related 2xx interactive"] == 1


async def test_a_comparison_is_a_sentinel(solo: Stage) -> None:
    async with stage(beside=solo, env={"BFF_SENTINEL_RATE": "1"}) as s:
        await s.prove(s.alice, s.bob)
        await s.get(OF_ALICE, s.alice)
        told = await Told.of(s)
        await s.get(OF_ALICE, s.bob)

        async def compared() -> bool:
            return await told.more("bff_comparisons_total", outcome="same") == 1

        await until(compared)
        assert await told.calls() == {"related 2xx sentinel": 1}


@pytest.mark.parametrize("credentials", ["bearer", "cookie"])
async def test_whose_lists_a_write_changes_is_listed(solo: Stage, credentials: str) -> None:
    told = await Told.of(solo)
    headers = solo.alice.headers if credentials == "bearer" else {"cookie": "session=1"}
    if credentials == "cookie":
        solo.tenant.fault(Status(200, body="{}"), EDIT)
    await solo.send("PATCH", EDIT, headers=headers, content=b'{"FullName":"New"}')
    calls = await told.calls()
    assert calls.pop("forwarded 2xx forwarded") == 1
    [(listing, times)] = calls.items()
    assert (listing.split()[0], listing.split()[2], times) == ("profiles", "listing", 1)


async def test_a_list_asked_with_what_the_cache_does_not_understand_is_bypassed(
    solo: Stage,
) -> None:
    told = await Told.of(solo)
    for target in (f"{PROFILES}?page=2", f"{OF_ALICE}?_shape=a&x=1", "/api/other?page=2"):
        await solo.get(target, solo.alice)
    await solo.send("PUT", f"{PROFILES}?page=2", solo.alice)
    assert await told.reads() == {"profiles upstream bypass": 1, "related upstream bypass": 1}


async def test_who_joins_a_flight_makes_no_call(solo: Stage) -> None:
    told = await Told.of(solo)
    solo.tenant.hold(PROFILES)
    asking = [solo.later(PROFILES, solo.alice) for _ in range(3)]
    await solo.waiting(3)
    solo.tenant.release()
    for each in asking:
        assert (await each).status_code == 200
    assert await told.reads() == {
        "profiles upstream miss": 1, "profiles upstream coalesced": 2,
    }  # fmt: skip
    assert await told.calls() == {"profiles 2xx interactive": 1}
    assert await told.more("bff_upstream_calls_saved_total") == 2


async def test_a_throttle_is_counted_for_each_call_and_noted_for_each_pause(
    solo: Stage, journal: Journal
) -> None:
    async with stage(beside=solo, env={"BFF_BUDGET": "on"}) as s:
        told = await Told.of(s)
        await s.prove(s.alice, s.bob)
        assert await told.more("bff_throttled_total") == 0
        s.tenant.fault(Status(409, retry_after=20), PROFILES)
        for member in s.crowd(3):
            assert (await s.get(PROFILES, member)).status_code == 503
        calls = {key: n for key, n in (await told.calls()).items() if "throttled" in key}
        assert calls == {"profiles throttled interactive": 1}
        assert await told.more("bff_throttled_total", space=name_of(solo)) == 1
        assert await told.more("bff_upstream_refused_total", reason="pause", route="profiles") >= 1
        assert await told.more("bff_upstream_refused_total", reason="budget") == 0
        events = [each for each in journal.take()[0] if each.kind is EventKind.THROTTLED]
        assert [(each.space, each.text) for each in events] == [
            (name_of(s), "Nexudus throttles: it is not called for 20 s")
        ]
        now = samples(await s.metrics())
        assert 10 < total(now, "bff_paused_seconds", space=name_of(solo)) <= 20
        used = by_label(now, "bff_budget_used", "window", space=name_of(solo))
        assert used.keys() == by_label(now, "bff_budget_limit", "window").keys()
        assert used["120/m"] >= 1
        assert "writes 60/m" in used


async def test_a_breaker_that_turns_is_counted_measured_and_noted(
    solo: Stage, journal: Journal
) -> None:
    async with stage(beside=solo, env={"BFF_BREAKER_FAILURES": "2"}) as s:
        s.tenant.fault(Status(500), PROFILES)
        for _ in range(2):
            await s.get(PROFILES, s.alice)
        told = samples(await s.metrics())
        assert by_label(told, "bff_breaker_changes_total", "state") == {"open": 1}
        assert total(told, "bff_breaker_state", space=name_of(solo)) == 2
        [event] = [each for each in journal.take()[0] if each.kind is EventKind.BREAKER]
        assert event.space == name_of(s)


async def test_what_redis_takes_and_what_is_held_in_process(
    redis_url: str, journal: Journal
) -> None:
    async with stage(redis_url, env={"BFF_L1_BYTES": "20000"}) as s:
        told = await Told.of(s)
        for member in s.crowd(20):
            await s.get(BOOTSTRAP, member)
        now = samples(await s.metrics())
        assert total(now, "bff_l1_limit_bytes") == 20_000
        assert await told.more("bff_l1_evictions_total") > 0
        assert await told.more("bff_store_seconds_count", operation="save") >= 20
        await s.send("PATCH", EDIT, s.alice, content=b'{"FullName":"New"}')
        assert await told.more("bff_invalidation_seconds_count") == 1
        assert total(now, "bff_workers") == 1
        assert total(now, "bff_refreshes_paused") == 0
        [heard] = [each for each in journal.take()[0] if each.kind is EventKind.BUS]
        assert heard.text == "invalidations are heard"


async def test_lists_that_are_no_longer_shared_are_noted(solo: Stage, journal: Journal) -> None:
    async with stage(beside=solo) as s:
        for scope, per_token in (("token", 1), ("coworker", 0)):
            content = b'{"scope":"%s"}' % scope.encode()
            await s.send("POST", "/ops/api/sharing", headers=bearer(OPS_TOKEN), content=content)
            assert total(samples(await s.metrics()), "bff_related_per_token") == per_token
        texts = [each.text for each in journal.take()[0] if each.kind is EventKind.SHARING]
        assert texts == [
            "related lists are kept for each token",
            "related lists are shared between tokens again",
        ]


async def test_a_bootstrap_without_its_related_part_is_incomplete(solo: Stage) -> None:
    told = await Told.of(solo)
    solo.tenant.fault(Status(500), OF_ALICE)
    answer = await solo.get(BOOTSTRAP, solo.alice)
    assert answer.headers["bff-complete"] == "false"
    assert await told.more("bff_bootstraps_incomplete_total", space=name_of(solo)) == 1
    assert await told.more("bff_bootstraps_cached_total") == 0


async def test_redis_that_goes_and_returns_is_said_once_each(
    own_redis: RedisServer, journal: Journal
) -> None:
    env = {"BFF_REDIS_TIMEOUT_MS": "50", "BFF_STALE_PATIENCE_S": "0.1"}
    with capture_logs() as lines:
        async with stage(own_redis.url, env=env) as s:
            await s.get(BOOTSTRAP, s.alice)
            s.tenant.fault(Status(500))
            own_redis.kill()

            async def checks(store: float, bus: float) -> bool:
                await s.get(PROFILES, s.bob)
                now = samples(await s.metrics())
                told = total(now, "bff_store_available"), total(now, "bff_bus_trusted")
                return told == (store, bus)

            await until(partial(checks, 0, 0))
            told = await Told.of(s)
            assert (await s.get(BOOTSTRAP, s.alice)).status_code == 200
            assert await told.reads() == {"profiles l1 stand_in": 1, "related l1 stand_in": 1}
            assert await told.more("bff_bootstraps_cached_total") == 0
            assert total(samples(await s.metrics()), "bff_store_errors_total") >= 1
            own_redis.start()
            await until(partial(checks, 1, 1))
            events = journal.take()[0]
    heard = "invalidations are heard"
    for kind, ends in (
        (EventKind.STORE, ["Redis is away: ", "Redis is used again"]),
        (EventKind.BUS, [heard, "invalidations of other processes are not heard: ", heard]),
    ):
        texts = [each.text for each in events if each.kind is kind]
        assert all(text.startswith(end) for text, end in zip(texts, ends, strict=True))
    said = [line["event"] for line in lines]
    expected = {"store_away": 1, "store_back": 1, "bus_silent": 1, "bus_heard": 2}
    assert {name: said.count(name) for name in expected} == expected
    reasons = [line["reason"] for line in lines if line["event"] in ("store_away", "bus_silent")]
    assert len(reasons) == 2
    assert all(reasons)
