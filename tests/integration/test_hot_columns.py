"""Shapes joined of what stands written of real-sized profiles, beside the plain model of a shape.

Three profiles of a member have some hundred fields each, and not the same ones, in one order.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import orjson
import pytest

from bff.app import build
from bff.edge.gateway import Gateway
from bff.edge.hot import HotAnswers
from bff.sandbox.app import create_app, sandbox_of
from bff.sandbox.options import SandboxOptions
from bff.settings import load
from bff.shape import Columns
from tests.bench.micro.subjects import JANE
from tests.reference.shape_model import select
from tests.support.asgi_call import AsgiCall
from tests.support.gateway import BOOTSTRAP, PROFILES, related
from tests.support.serving import serving


@dataclass(frozen=True, slots=True)
class Jane:
    """A member that a gateway knows; `truth`: all that Nexudus says of her."""

    gateway: Gateway
    hot: HotAnswers
    token: str
    truth: dict[str, object]

    def request(self, shape: str) -> AsgiCall:
        headers = [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer " + self.token.encode())]
        return AsgiCall("GET", BOOTSTRAP.encode(), b"_shape=" + shape.encode(), headers)

    async def ask(self, shape: str) -> bytes:
        made = self.request(shape)
        await self.gateway(made.scope, made.receive, made.send)
        assert made.status == 200
        return made.body

    def find(self, shape: str) -> object:
        found = self.hot.find(self.request(shape).scope)
        return None if found is None else found[1]["body"]


@pytest.fixture
async def jane() -> AsyncIterator[Jane]:
    sandbox = create_app(SandboxOptions(members=0, throttle=False))
    token = sandbox_of(sandbox).tokens.mint(JANE)
    async with serving(sandbox) as origin:
        truth = await _truth(origin, token)
        gateway = build(
            load({"BFF_UPSTREAM": origin, "BFF_BUDGET": "off", "BFF_SENTINEL_RATE": "0"})
        )
        async with gateway.router.lifespan_context(gateway):
            assert gateway.hot is not None
            yield Jane(gateway, gateway.hot, token, truth)


async def _truth(origin: str, token: str) -> dict[str, object]:
    given = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=origin, headers=given, trust_env=False) as client:
        profiles = (await client.get(PROFILES)).raise_for_status().json()
        active = next(each["Id"] for each in profiles["Profiles"] if each["IsDefaultProfile"])
        cards = (await client.get(related(active))).raise_for_status().json()
    told = {"CoworkerId": active, "Complete": True, "Problems": []}
    return {**profiles, **cards, "Bootstrap": told}


def _names(rows: object) -> tuple[list[str], list[str]]:
    """Fields that all of them have, and those that only some have."""
    assert isinstance(rows, list)
    every = list(dict.fromkeys(name for row in rows for name in row))
    shared = [name for name in every if all(name in row for row in rows)]
    return shared, [name for name in every if name not in shared]


async def test_profiles_are_joined_as_the_model_selects_them(
    jane: Jane, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, own = _names(jane.truth["Profiles"])
    assert len(shared) > 40
    assert len(own) > 5
    paths = [f"Profiles.{name}" for name in (*shared[:12], *own[:6])]
    paths += [f"RelatedProfiles.{name}" for name in ("Id", "FullName", "AvatarUrl")]
    everything = ",".join(paths)
    for more in ("", ",User.Id", ",User.Email"):
        await jane.ask(everything + more)
    joined: list[object] = []
    join = Columns.joined

    def heard(columns: Columns, asked: frozenset[str]) -> object:
        joined.append(join(columns, asked))
        return joined[-1]

    monkeypatch.setattr(Columns, "joined", heard)
    for step in range(1, 40):
        some = [path for at, path in enumerate(paths) if (at * step) % 7 < 3]
        shape = ",".join([*some[step % 5 :], *some[: step % 5], paths[-1]])
        assert jane.find(shape) == orjson.dumps(select(jane.truth, shape)), shape
    assert len(joined) == 39
    assert None not in joined


async def test_pitfall_9_nothing_is_joined_while_invalidations_are_not_heard(
    jane: Jane, monkeypatch: pytest.MonkeyPatch
) -> None:
    for more in ("", ",User.Id", ",User.Email"):
        await jane.ask("Profiles.Id,Profiles.FullName" + more)
    assert jane.find("Profiles.FullName,Profiles.Id") is not None
    monkeypatch.setattr(jane.hot, "_trusted_until", lambda: -math.inf)
    assert jane.find("Profiles.FullName,Profiles.Id") is None


async def test_a_shape_is_joined_of_the_document_of_its_own_parts_only(jane: Jane) -> None:
    """What else a larger one was made of has an age of its own, and is not what was asked for."""
    of_both = "Profiles.Id,Profiles.FullName,RelatedProfiles.Id"
    for more in ("", ",User.Id", ",User.Email"):
        await jane.ask(of_both + more)
    assert jane.find("RelatedProfiles.Id,Profiles.Id") is not None
    assert jane.find("Profiles.Id,Profiles.FullName") is None
    for more in ("", ",User.Id", ",User.Email"):
        await jane.ask("Profiles.Id,Profiles.FullName" + more)
    assert jane.find("Profiles.FullName,Profiles.Id") is not None
