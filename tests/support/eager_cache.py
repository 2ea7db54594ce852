"""nginx as an eager shared cache before the gateway before a sandbox, and two members who ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
from starlette.types import ASGIApp

from bff.app import build
from bff.sandbox.app import Sandbox, create_app, sandbox_of
from bff.sandbox.faults import Rule
from bff.sandbox.options import SandboxOptions
from bff.settings import load
from tests.support.nginx import find_nginx, nginx
from tests.support.plain import PLAIN
from tests.support.serving import client, serving

TEMPLATE: Final = Path(__file__).parents[1] / "e2e" / "nginx.conf"
APP: Final = "https://members.example.com"
OPS_TOKEN: Final = "operators-of-the-tests"
SECRET: Final = "fixture-shared-secret"
MAX_BODY: Final = 1000
JANE, CARLOS = 7001, 7002


@dataclass(frozen=True, slots=True)
class Member:
    """A member with a token; the canary stands in this member's profile only."""

    user_id: int
    coworker_id: int
    email: str
    token: str
    canary: str

    def is_in(self, answer: httpx.Response) -> bool:
        """Whether anything of this member is in an answer, headers included."""
        whole = answer.text + repr(answer.headers.raw)
        return any(secret in whole for secret in (self.canary, self.token, self.email))


@dataclass(frozen=True, slots=True)
class Call:
    """A request without its Authorization; `{id}` is the caller's own profile."""

    target: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Stage:
    """A client of nginx, the sandbox two servers behind it, and two members with new tokens."""

    client: httpx.AsyncClient
    sandbox: Sandbox
    jane: Member
    carlos: Member

    async def ask(self, call: Call, token: str | None, ident: int = 101) -> httpx.Response:
        """What nginx answers to `call`."""
        authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        return await self.client.request(
            call.method,
            call.target.replace("{id}", str(ident)),
            headers={**call.headers, **authorization},
            content=call.body,
        )

    async def ask_as(self, call: Call, member: Member) -> httpx.Response:
        """What nginx answers to `call` of a member, who must get nothing of the other one."""
        answer = await self.ask(call, member.token, member.coworker_id)
        other = self.carlos if member is self.jane else self.jane
        assert not other.is_in(answer)
        return answer

    def fail(self, *rules: Rule) -> None:
        """Nexudus answers like this from now on."""
        self.sandbox.faults.replace(rules)


@asynccontextmanager
async def eager_cache(behind: ASGIApp, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an nginx that keeps whatever it may of what `behind` answers."""
    binary = find_nginx()
    assert binary is not None
    async with (
        serving(behind) as origin,
        nginx(binary, TEMPLATE, origin, folder) as cached,
        client(cached) as opened,
    ):
        yield opened


@asynccontextmanager
async def staged(folder: Path, **variables: str) -> AsyncIterator[Stage]:
    """nginx before the gateway before a sandbox; `variables` of the gateway's own."""
    nexudus = create_app(SandboxOptions(members=0, throttle=False))
    async with serving(nexudus) as upstream:
        settings = load(
            {
                "BFF_UPSTREAM": upstream,
                "BFF_CORS_ORIGINS": APP,
                "BFF_OPS_TOKEN": OPS_TOKEN,
                "BFF_WEBHOOK_SECRET": SECRET,
                "BFF_MAX_BODY": str(MAX_BODY),
                **PLAIN,
                **variables,
            }
        )
        async with eager_cache(build(settings), folder) as opened:
            sandbox = sandbox_of(nexudus)
            jane, carlos = (signed_in(sandbox, user_id) for user_id in (JANE, CARLOS))
            yield Stage(opened, sandbox, jane, carlos)


def signed_in(sandbox: Sandbox, user_id: int) -> Member:
    """A member with a token that nobody has seen yet."""
    found = sandbox.world.member(user_id)
    assert found.current_id is not None
    canary = f"canary-of-{user_id}"
    sandbox.world.edit(found.current_id, {"BusinessArea": canary})
    token = sandbox.tokens.mint(user_id)
    return Member(user_id, found.current_id, found.email, token, canary)


def directives(answer: httpx.Response) -> set[str]:
    """The names in its Cache-Control, in lower case."""
    listed = answer.headers.get("cache-control", "").lower().split(",")
    return {directive.partition("=")[0].strip() for directive in listed if directive.strip()}


def assert_kept_out(answer: httpx.Response, method: str = "GET") -> None:
    """The answer came from the gateway, and forbids every shared cache to keep it."""
    assert answer.headers.get("x-cache", "") == ("" if method == "OPTIONS" else "MISS")
    assert directives(answer) & {"private", "no-store"}
    assert not directives(answer) & {"public", "s-maxage"}
    vary = {name.strip().lower() for name in answer.headers.get("vary", "").split(",")}
    assert vary & {"authorization", "*"}
