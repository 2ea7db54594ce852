"""A sandbox in the test's own event loop, the client that talks to it, and time under control."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import orjson

from bff.sandbox.app import Sandbox, create_app, sandbox_of
from bff.sandbox.options import SandboxOptions

FIXTURES = Path(__file__).parents[2] / "fixtures" / "nexudus"
PROFILES = "/api/public/coworkers/profiles"
CURRENT = "/api/public/coworkers/profiles/current"
PUBLISHED = "/api/public/coworkers/published"
ECHO = "/api/public/_echo"

JANE, CARLOS, ADMIN, NO_PROFILE, OTHER_PLACE, SUSPENDED = 7001, 7002, 7004, 7007, 7008, 7009


def fixture(name: str) -> Any:
    """A documented answer."""
    return orjson.loads((FIXTURES / name).read_bytes())


def shape_lines() -> list[str]:
    """Every `_shape` value that was seen in use."""
    return (FIXTURES / "shapes.txt").read_text().splitlines()


class ManualClock:
    """Time that passes when told to, or when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.slept: list[float] = []

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.now += delay_s
        await asyncio.sleep(0)


class Space:
    """One sandbox. `demo` is a token of Jane Doe's that is valid from the start."""

    demo = "demo-token"

    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock()
        defaults = {"members": 0, "throttle": False, "clock": self.clock, "demo_token": self.demo}
        self.app = create_app(SandboxOptions(**{**defaults, **options}))
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="https://nexudushq.test"
        )

    @property
    def sandbox(self) -> Sandbox:
        return sandbox_of(self.app)

    def token(self, user_id: int) -> str:
        return self.sandbox.tokens.mint(user_id)

    async def call(
        self, method: str, url: str, token: str | None = demo, **kwargs: Any
    ) -> httpx.Response:
        headers = {"Accept": "application/json", **kwargs.pop("headers", {})}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self.client.request(method, url, headers=headers, **kwargs)

    async def get(self, url: str, token: str | None = demo, **kwargs: Any) -> httpx.Response:
        return await self.call("GET", url, token, **kwargs)

    async def sign_in(
        self, email: str = "jane.doe@example.com", password: str = "demo", **form: str
    ) -> httpx.Response:
        client_id = form.pop("client_id", None)
        form = {"grant_type": "password", "username": email, "password": password, **form}
        headers = {} if client_id is None else {"client_id": client_id}
        return await self.client.post("/api/token", data=form, headers=headers)

    async def refresh(self, refresh_token: str, client_id: str | None = None) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        headers = {} if client_id is None else {"client_id": client_id}
        return await self.client.post("/api/token", data=form, headers=headers)


def is_empty(response: httpx.Response) -> bool:
    """Whether an answer has no body and says so, as the documented errors do."""
    return response.content == b"" and response.headers["content-length"] == "0"
