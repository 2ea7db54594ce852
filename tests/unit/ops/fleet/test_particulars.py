"""What a process says of itself is what its parts know now."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from bff.cache.bus import LocalBus
from bff.cache.connect import connect
from bff.cache.guarded import GuardedStore
from bff.cache.keys import KeySpace
from bff.cache.remote import RemoteStore
from bff.errors import StoreUnavailable, UpstreamDown
from bff.limits import Limit
from bff.nexudus.admission import Admission, AdmissionPolicy
from bff.nexudus.breaker import BreakerPolicy
from bff.nexudus.budget.budgets import SpaceBudgets
from bff.nexudus.budget.config import BudgetConfig
from bff.nexudus.budget.contract import Grant
from bff.ops.figures import Window
from bff.ops.fleet.particulars import Identity, Particulars, Watched
from tests.support.manual_time import ManualTime

BREAKER = BreakerPolicy(failures=1, open_s=4.0)


async def no_ledger(
    _space: str, _script: str, _names: Sequence[str], _args: Sequence[str | bytes | int]
) -> list[object]:
    raise StoreUnavailable


async def test_breaker_pause_budget_and_sharing_of_each_space() -> None:
    clock = ManualTime()
    config = BudgetConfig(calls=(Limit(120, 60.0),), writes=(Limit(60, 60.0),))
    budget = SpaceBudgets(config, ["acme", "zeta"], no_ledger, process="p", clock=clock)
    admission = Admission(budget, AdmissionPolicy(BREAKER), clock, lambda: 0.0)
    remote = RemoteStore(connect("embedded://"), KeySpace("bff"), process="p")
    watched = Watched(
        GuardedStore(remote, clock), LocalBus(), admission, lambda space: space == "zeta"
    )
    identity = Identity.here("0.1", clock)
    particulars = Particulars(identity, watched, ["acme", "zeta"], clock)
    acme, zeta = particulars.details().spaces
    assert (acme.state, acme.breaker, acme.breaker_s) == ("reachable", "closed", 0.0)
    assert (acme.per_token, zeta.per_token) == (False, True)
    assert [window.window for window in acme.windows] == ["120/m", "writes 60/m"]
    assert acme.windows[0] == Window("acme", "120/m", 0, 120)

    gate = admission._gate("acme")
    gate.failed(gate.enter(None))
    await budget.throttled("zeta", 3.0, Grant())
    assert particulars.details().spaces[0].breaker_s == 0.0
    clock.now += 2
    acme, zeta = particulars.details().spaces
    assert (acme.breaker, acme.breaker_s) == ("open", 2.0)
    assert acme.state.startswith("failing")
    assert math.isclose(zeta.paused_s, 1.0, abs_tol=0.5)
    clock.now += 3
    gate.enter(None)
    with pytest.raises(UpstreamDown):
        gate.enter(None)
    assert particulars.details().spaces[0].breaker_s == 5.0, "half open is not closed"

    details = particulars.details()
    assert (details.store, details.bus, details.version) == (True, True, "0.1")
    assert (details.pid, details.started_at) == (identity.pid, 1_000_000.0)
    watched.store.keep_away()
    assert not particulars.details().store
    await budget.aclose()
    await watched.store.aclose()
