"""Draws docs/ops-*.png: `python -m tests.e2e.screenshots`. The page is real, its fleet invented."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.middleware import Middleware

from bff.clock import SystemClock
from bff.edge.middleware import ExchangeMiddleware
from bff.observe import logs
from bff.observe.metrics import Metrics
from bff.ops.access.operators import Operator, Operators, Role
from bff.ops.figures import Snapshot
from bff.ops.page.assets import Assets
from bff.ops.page.live import Live
from tests.support.ops_figures import SPACES, healthy, outage
from tests.support.ops_page import chromium, console
from tests.support.serving import serving

DOCS: Final = Path(__file__).parents[2] / "docs"
TOKEN: Final = "operator-of-the-screenshots"
DESK: Final = {"width": 1280, "height": 800}
PHONE: Final = {"width": 360, "height": 780}
PICTURES: Final[tuple[tuple[str, Callable[[], Snapshot], dict[str, Any]], ...]] = (
    ("healthy", healthy, {"viewport": DESK, "color_scheme": "light"}),
    ("outage", outage, {"viewport": DESK, "color_scheme": "light"}),
    ("dark", outage, {"viewport": DESK, "color_scheme": "dark"}),
    ("phone", outage, {"viewport": PHONE, "device_scale_factor": 2, "is_mobile": True}),
)


class Invented:
    """The same figures for ever."""

    def __init__(self, made: Callable[[], Snapshot]) -> None:
        self._made = made

    async def of(self, space: str) -> Snapshot:
        return self._made()


def application(made: Callable[[], Snapshot]) -> Starlette:
    """The page and its figures, without a gateway."""
    clock = SystemClock()
    operators = Operators([Operator("jane", Role.ACT, SecretStr(TOKEN))])
    live = Live(Invented(made), SPACES, clock)
    return Starlette(
        routes=[*Assets().routes(), *live.routes(operators), *operators.routes()],
        middleware=[Middleware(ExchangeMiddleware, clock, Metrics())],
    )


async def draw() -> None:
    """Every picture, one after the other."""
    logs.configure("error", "json")
    async with chromium() as browser:
        for name, made, look in PICTURES:
            context = {"timezone_id": "UTC", "locale": "en-GB", "reduced_motion": "reduce", **look}
            async with (
                serving(application(made)) as url,
                console(browser, url, **context) as ops,
            ):
                await ops.enter(TOKEN)
                await ops.page.evaluate("document.activeElement.blur()")
                await ops.says("connection-text", "live")
                await ops.page.screenshot(path=DOCS / f"ops-{name}.png", full_page=made is healthy)


if __name__ == "__main__":
    asyncio.run(draw())
