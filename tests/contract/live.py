"""The gateway in front of a simulated Nexudus, both on sockets of their own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

import httpx
import pytest

from bff.app import build
from bff.sandbox.app import Sandbox, create_app, sandbox_of
from bff.sandbox.options import SandboxOptions
from bff.settings import load
from tests.contract.contract import Contract
from tests.support.plain import PLAIN
from tests.support.serving import client, serving

MEMBER_TOKEN: Final = "member-token-of-jane-doe"
OPERATOR_TOKEN: Final = "operator-token-of-the-tests"
WEBHOOK_SECRET: Final = "webhook-secret-of-the-tests"
HOST: Final = "members.example.com"
"""The one public host of the gateway; its space is the simulated one."""

healthy = pytest.mark.asyncio(loop_scope="module")
"""For tests that use the `gateway` of their module."""

PUBLISHED: Final = 101
UNPUBLISHED: Final = 145


@dataclass(frozen=True, slots=True)
class Live:
    """`member` and `operator` present their tokens, `anyone` none; all speak to `HOST`."""

    origin: str
    space: str
    sandbox: Sandbox
    member: httpx.AsyncClient
    operator: httpx.AsyncClient
    anyone: httpx.AsyncClient


@contextlib.asynccontextmanager
async def live(settings: Mapping[str, str] | None = None) -> AsyncIterator[Live]:
    """A running gateway; `settings` by environment name, beside or instead of the usual ones."""
    simulated = create_app(SandboxOptions(throttle=False, demo_token=MEMBER_TOKEN, members=5))
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(serving(simulated))
        usual = {
            "BFF_SPACES": f"{HOST}={upstream}",
            "BFF_OPS_TOKEN": OPERATOR_TOKEN,
            "BFF_WEBHOOK_SECRET": WEBHOOK_SECRET,
            **PLAIN,
        }
        configured = load({**usual, **(settings or {})})
        app, [space] = build(configured), configured.space_table.spaces
        origin = await stack.enter_async_context(serving(app))
        member, operator, anyone = [
            await stack.enter_async_context(client(origin, token))
            for token in (MEMBER_TOKEN, OPERATOR_TOKEN, None)
        ]
        for each in (member, operator, anyone):
            each.headers["host"] = HOST
        yield Live(origin, space.name, sandbox_of(simulated), member, operator, anyone)


async def contract_of(gateway: Live) -> Contract:
    """The document as a gateway serves it."""
    return Contract((await gateway.anyone.get("/openapi.json")).json())


def problem(answer: httpx.Response) -> str:
    """The kind of problem that an answer is, without its namespace."""
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["type"]).removeprefix("urn:bff:problem:")
