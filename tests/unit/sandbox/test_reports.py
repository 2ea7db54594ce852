"""What a sandbox tells of those who ask too much, or the same thing twice at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bff.sandbox.auth import token_digest
from tests.unit.sandbox.space import CARLOS, CURRENT, PROFILES, PUBLISHED, Space

MakeSpace = Callable[..., Space]
C = "/_sandbox"


async def test_each_window_tells_what_it_admitted_and_refused(make_space: MakeSpace) -> None:
    space = make_space(throttle=True)
    limits = [{"calls": 2, "window_s": 10}, {"calls": 1, "window_s": 60, "writes_only": True}]
    body = {"enabled": True, "limits": limits}
    assert (await space.call("PUT", f"{C}/throttle", None, json=body)).status_code == 200
    statuses = [(await space.get(PROFILES)).status_code for _ in range(3)]
    space.clock.now += 10
    for _ in range(2):
        answer = await space.call("PUT", CURRENT, params={"coworkerId": 145})
        statuses.append(answer.status_code)
    assert statuses == [200, 200, 409, 200, 409]
    told = (await space.get(f"{C}/throttle", None)).json()
    assert (told["enabled"], told["refused"]) == (True, 2)
    calls, writes = told["windows"]
    assert (calls["calls"], calls["used"], calls["peak"], calls["refused"]) == (2, 1, 2, 1)
    assert (writes["writes_only"], writes["used"], writes["refused"]) == (True, 1, 1)


async def test_reads_of_the_same_at_once_are_told(space: Space) -> None:
    carlos, related = space.token(CARLOS), f"{PUBLISHED}/101/related"
    rule = {"effect": {"kind": "hang"}}
    await space.call("PUT", f"{C}/faults", None, json=[rule])
    asked = [
        space.get(related),
        space.get(related, carlos),
        space.get(related, carlos, headers={"accept-language": "es"}),
        space.get(related, carlos),
        space.get(PROFILES, carlos),
        space.call("PUT", CURRENT, params={"coworkerId": 145}),
    ]
    reading = []
    for number, each in enumerate(asked, 1):
        reading.append(asyncio.create_task(each))
        await space.sandbox.holds.wait_held(number)
        space.clock.now += 1
    await space.call("DELETE", f"{C}/faults", None)
    await asyncio.gather(*reading)
    await space.get(related)
    overlaps = (await space.get(f"{C}/calls", None)).json()["overlaps"]
    seen = [(each["token"], each["same_token"], each["other_tokens"]) for each in overlaps]
    own = token_digest(carlos)
    assert seen == [(own, 0, 1), (own, 1, 1)]
    assert {each["path"] for each in overlaps} == {related}
    began = space.clock.now - len(asked)
    times = [(each["at"] - began, each["since"] - began) for each in overlaps]
    assert times == [(1, 0), (3, 0)]
    assert [each["own_since"] for each in overlaps] == [None, began + 1]
    await space.call("DELETE", f"{C}/calls", None)
    assert (await space.get(f"{C}/calls", None)).json()["overlaps"] == []
