"""Readiness: what everybody is told, what operators are told, and what takes a process out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson
import pytest
from pydantic import SecretStr
from starlette.requests import Request
from starlette.types import Scope

from bff import serve_hosted
from bff.cache.bus import LocalBus
from bff.cache.flight import Flights
from bff.cache.guarded import GuardedStore
from bff.cache.invalidation import Invalidator
from bff.cache.memory import Memory
from bff.cache.store import Store
from bff.edge import exchange as exchanges
from bff.ops import health
from bff.ops.access.operators import Operator, Operators, Role
from bff.ops.health import Health, Upstreams, counted
from tests.support.fake_clock import FakeClock

TOKEN = "operator-of-these-tests"
STATES = {
    "acme": "reachable",
    "beta": "failing since 12 s: not called",
    "gamma": "paused for 3 s",
    "delta": "not called yet",
    "omega": "failing since 1 s: not called",
}


class Known:
    """Spaces in these states."""

    def __init__(self, states: Mapping[str, str]) -> None:
        self._states = states

    def states(self) -> Mapping[str, str]:
        return self._states


def made(upstreams: Upstreams | None = None, ops_token: str = TOKEN) -> Health:
    """With a store that nobody has called yet."""
    store = GuardedStore(cast(Store, object()), FakeClock())
    invalidator = Invalidator(store, Memory(0), Flights(), lambda _space, _cause, _reach: None)
    operators = [Operator("carl", Role.READ, SecretStr(ops_token))] if ops_token else []
    return Health(store, LocalBus(), invalidator, upstreams, Operators(operators))


async def asked(
    readiness: Health, authorization: str = "", state: Mapping[str, object] | None = None
) -> tuple[int, dict[str, Any]]:
    """Status and checks of `/readyz`."""
    headers = [(b"authorization", authorization.encode())] if authorization else []
    scope: Scope = {"type": "http", "headers": headers}
    if state is not None:
        scope["state"] = dict(state)
    exchanges.begin(scope, headers, 0)
    answer = await readiness.readyz(Request(scope))
    checks = orjson.loads(answer.body)["checks"]
    assert isinstance(checks, dict)
    return answer.status_code, checks


async def test_ready_is_what_serves_and_is_not_about_to_stop() -> None:
    readiness = made()
    assert (await asked(readiness))[0] == 503
    with readiness.serving():
        assert (await asked(readiness))[0] == 200
        assert (await asked(readiness, state={}))[0] == 200
        status, checks = await asked(readiness, state={serve_hosted.STOPPING: True})
        assert (status, checks["serving"]) == (503, False)
    assert (await asked(readiness))[0] == 503


def test_the_server_and_the_probe_mean_the_same_state() -> None:
    """They may not import each other."""
    assert health.STOPPING == serve_hosted.STOPPING


async def test_nexudus_takes_nobody_out() -> None:
    readiness = made(Known(dict.fromkeys(STATES, "failing since 600 s: not called")))
    with readiness.serving():
        status, checks = await asked(readiness)
    assert status == 200
    assert checks["nexudus"] == "0 of 5 spaces reachable, 5 failing"


@pytest.mark.parametrize(
    ("ops_token", "authorization", "is_told"),
    [
        (TOKEN, f"Bearer {TOKEN}", True),
        (TOKEN, "", False),
        (TOKEN, "Bearer another-token", False),
        (TOKEN, f"Bearer {TOKEN} ", True),
        (TOKEN, f"Basic {TOKEN}", False),
        (TOKEN, "Bearer \xff", False),
        ("", "Bearer ", False),
        ("", "", False),
    ],
)
async def test_names_of_spaces_are_for_operators(
    ops_token: str, authorization: str, is_told: bool
) -> None:
    """They are tenants; a probe has no token, and a wrong one is not refused."""
    _, checks = await asked(made(Known(STATES), ops_token), authorization)
    assert checks["nexudus"] == "1 of 5 spaces reachable, 2 failing, 1 not called yet, 1 paused"
    assert checks.get("spaces") == (STATES if is_told else None)
    assert ("acme" in orjson.dumps(checks).decode()) is is_told


async def test_nothing_is_said_where_nothing_is_known() -> None:
    _, checks = await asked(made(), f"Bearer {TOKEN}")
    assert checks.keys() == {"serving", "store", "invalidations", "invalidations_pending"}


def test_a_count_of_one_space() -> None:
    assert counted({"acme": "reachable"}) == "1 of 1 spaces reachable"
