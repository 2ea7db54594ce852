"""What compose.yaml describes, run as processes: nginx, gateways, Redis and Prometheus together.

Its tests are one story, told in the order in which they stand here: the last ones take things away.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from time import monotonic

import pytest
import pytest_asyncio
import redis
from redis.exceptions import NoPermissionError

from deploy.grafana.build import expressions
from tests.deploy.expressions import selectors
from tests.deploy.places import (
    HOW_TO_GET_OPENSSL,
    HOW_TO_GET_PROMETHEUS,
    OPENSSL,
    PROMETHEUS_SERVER,
    alerts,
    rules,
)
from tests.deploy.stack import Stack, stack
from tests.deploy.traffic import JANE, PACE_S, Traffic, bad_day, good_day
from tests.e2e.commands import HOST, children_of
from tests.support.gateway import BOOTSTRAP
from tests.support.nginx import HOW_TO_GET_IT, find_nginx

pytestmark = [
    pytest.mark.skipif(find_nginx() is None, reason=HOW_TO_GET_IT),
    pytest.mark.skipif(PROMETHEUS_SERVER is None, reason=HOW_TO_GET_PROMETHEUS),
    pytest.mark.skipif(OPENSSL is None, reason=HOW_TO_GET_OPENSSL),
    pytest.mark.asyncio(loop_scope="module"),
]

PATIENCE_S = 15.0
NOT_CAUSED = {
    'bff_upstream_refused_total{reason=~"budget|pause"}': "takes a minute of the documented limits",
}
"""Selectors of alerts of which no series comes about here, and why."""
RAISED = (
    "BffBreakerOpen",
    "BffInvalidationsNotHeard",
    "BffInvalidationsPending",
    "BffRedisAway",
    "BffTargetDown",
)
"""Alerts that the bad day brings about, beside the one that needs no time to fire."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with stack(tmp_path_factory.mktemp("stack")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traffic(running: Stack) -> AsyncIterator[Traffic]:
    async with running.app() as app:
        yield Traffic(running, app)


async def missing(running: Stack, wanted: dict[str, str]) -> dict[str, str]:
    """Of expressions by what they stand for, those that have no series in the end."""
    left, began = dict(wanted), monotonic()
    while left and monotonic() - began < PATIENCE_S:
        for expr in list(left):
            if await running.query(expr):
                del left[expr]
        await asyncio.sleep(0.1 if left else 0)
    return left


async def test_members_are_served_over_tls(traffic: Traffic) -> None:
    await good_day(traffic)


async def test_prometheus_counts_what_members_asked(running: Stack, traffic: Traffic) -> None:
    """Over two gateways of two workers each, whichever worker a scrape meets."""
    asked = traffic.answered(BOOTSTRAP)
    counted = f'sum(bff_requests_total{{route="{BOOTSTRAP}"}}) == {asked}'
    assert await missing(running, {counted: ""}) == {}
    assert [each["value"][1] for each in await running.query("sum(bff_workers)")] == ["4"]


async def test_on_a_good_day_no_alert_is_even_pending(running: Stack) -> None:
    timed = "BffBootstrapsSlow|BffNexudusSlow|BffEventLoopLate|BffInvalidationsSlow"
    # Those are for this machine; and one that is late may miss a scrape.
    assert await missing(running, {f'absent(ALERTS{{alertname!~"{timed}"}})': ""}) == {}


async def test_redis_lets_the_gateways_do_what_they_do_and_no_more(running: Stack) -> None:
    used = "min(bff_store_available) == 1 and min(bff_bus_trusted) == 1"
    refused = "sum(bff_store_errors_total) > 0"
    assert await missing(running, {used: ""}) == {}
    assert await running.query(refused) == []
    with redis.Redis(host=HOST, port=running.redis_port) as stranger:
        assert stranger.ping()
        for words in (("GET", "bff:1"), ("CONFIG", "GET", "*"), ("SUBSCRIBE", "bff:1"), ("INFO",)):
            with pytest.raises(NoPermissionError):
                stranger.execute_command(*words)
    password = running.redis_password
    with redis.Redis(
        host=HOST, port=running.redis_port, username="bff", password=password
    ) as gateway:
        info = gateway.info()
        assert info["maxmemory"] == 256 * 2**20
        assert info["maxmemory_policy"] == "volatile-lru"
        assert info["connected_clients"] > 4, "the gateways are connected as this user"
        for words in (("FLUSHALL",), ("KEYS", "*"), ("SET", "other:1", "1"), ("ACL", "LIST")):
            with pytest.raises(NoPermissionError):
                gateway.execute_command(*words)
        # What is stored without an end is never evicted: let it be little.
        lasting = [key for key in gateway.scan_iter() if gateway.ttl(key) == -1]
        assert len(lasting) <= 2, lasting
        names = {key.decode().partition(":")[0] for key in gateway.scan_iter()}
        assert names == {"bff"}


async def test_operators_look_through_nginx_as_it_happens(running: Stack) -> None:
    jane = {"authorization": f"Bearer {running.operator_token}"}
    async with (
        asyncio.timeout(PATIENCE_S),
        running.app() as office,
        office.stream("GET", "/ops/api/live", headers=jane) as live,
    ):
        assert (live.status_code, live.http_version) == (200, "HTTP/2")
        pictures = 0
        async for line in live.aiter_lines():
            pictures += line == "event: snapshot"
            if pictures == 2:  # the second one comes alone, long after the first
                break
    async with running.app("127.0.0.2") as elsewhere:
        assert (await elsewhere.get("/ops/api/snapshot", headers=jane)).status_code == 403


async def test_pitfall_20_who_may_read_may_not_act(running: Stack) -> None:
    scraper = {"authorization": f"Bearer {(running.secrets / 'prometheus_token').read_text()}"}
    everything = {"everything": True}
    async with running.app() as office:
        refused = await office.post("/ops/api/purge", headers=scraper, json=everything)
        assert refused.status_code == 403
        jane = {"authorization": f"Bearer {running.operator_token}"}
        purged = await office.post("/ops/api/purge", headers=jane, json=everything)
    assert purged.json()["everywhere"] is True


async def test_a_worker_that_is_killed_is_replaced_and_counted(running: Stack) -> None:
    killed = children_of(running.gateways[1].process.pid)[0]
    os.kill(killed, signal.SIGKILL)
    replaced = "sum(instance:bff_workers_replaced:count) == 1 and sum(bff_workers) == 4"
    assert await missing(running, {replaced: ""}) == {}


async def test_a_gateway_that_is_replaced_is_noticed_by_nobody(
    running: Stack, traffic: Traffic
) -> None:
    token, over = await traffic.token(JANE), asyncio.Event()
    await traffic.ask(BOOTSTRAP, token)
    answers = []

    async def ask() -> None:
        while not over.is_set():
            answers.append((await traffic.ask(BOOTSTRAP, token)).status_code)
            await asyncio.sleep(PACE_S)

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(ask())
        assert await running.gateways[0].end() == 0
        over.set()
        await asking
    answers.append((await traffic.ask(BOOTSTRAP, token)).status_code)
    assert set(answers) == {200}


async def test_every_expression_of_the_dashboard_has_a_series(
    running: Stack, traffic: Traffic
) -> None:
    await bad_day(traffic)
    wanted = {
        expr.replace("$__rate_interval", "5m").replace("$space", ".*"): title
        for title, expr in expressions()
    }
    assert await missing(running, wanted) == {}


async def test_every_recorded_series_comes_about(running: Stack) -> None:
    wanted = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    assert await missing(running, wanted) == {}


async def test_every_alert_asks_for_what_there_is(running: Stack) -> None:
    wanted = {
        selector: name for name, rule in alerts().items() for selector in selectors(rule["expr"])
    }
    assert wanted.keys() >= NOT_CAUSED.keys()
    for selector in NOT_CAUSED:
        del wanted[selector]
    assert await missing(running, wanted) == {}
    told = (await running.prometheus.get("/api/v1/rules")).json()["data"]["groups"]
    health = {rule["name"]: rule["health"] for group in told for rule in group["rules"]}
    assert health == {rule.get("alert") or rule["record"]: "ok" for rule in rules()}


async def test_on_a_bad_day_the_right_alerts_come_up(running: Stack) -> None:
    """Pending: they fire after minutes, which promtool plays through."""
    wanted = {f'ALERTS{{alertname="{name}"}}': name for name in RAISED}
    assert await missing(running, wanted) == {}


async def test_a_list_that_differs_by_viewer_raises_its_alarm_at_once(running: Stack) -> None:
    firing = 'ALERTS{alertname="BffRelatedListsDiffer",alertstate="firing",severity="page"}'
    assert await missing(running, {firing: ""}) == {}
    (series,) = await running.query(firing)
    assert series["metric"]["space"]


async def test_pitfall_6_no_token_is_in_any_log(running: Stack, traffic: Traffic) -> None:
    secrets = {running.operator_token, running.redis_password, await traffic.token(JANE)}
    for path in running.folder.rglob("*.log"):
        text = path.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), path.name
