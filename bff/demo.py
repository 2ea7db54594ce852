"""`bff demo`: a gateway before a simulated Nexudus or a real space, each a process of its own."""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bff.children import Child, Part, Say, Signals, all_ready, any_ended, first, running
from bff.serve import free_address
from bff.terminal import CommandFailed

HOST: Final = "127.0.0.1"
TOKEN: Final = "demo-jane"  # noqa: S105 - of a member who does not exist
LATENCY_MS: Final = "150-250"
"""As a real space answers; it also keeps the two calls of a bootstrap 100 ms apart."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What to run. `upstream`: the origin of a real space; empty for the simulated one."""

    port: int
    sandbox_port: int
    upstream: str = ""
    verbose: bool = False
    ops_token: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)

    @property
    def origin(self) -> str:
        """Of the gateway."""
        return f"http://{HOST}:{self.port}"

    @property
    def nexudus(self) -> str:
        """The origin that the gateway stands before."""
        return self.upstream or f"http://{HOST}:{self.sandbox_port}"


async def run(demo: Demo, out: Say, err: Say) -> None:
    """Returns after SIGINT, SIGTERM or SIGHUP, with every process ended.

    Raises CommandFailed if a port is taken, or a process does not get ready or ends by itself.
    """
    free_address(HOST, demo.port, "--port (make run PORT=9000)")
    if not demo.upstream:
        free_address(HOST, demo.sandbox_port, "--sandbox-port (make run SANDBOX_PORT=9001)")
    signals = Signals()
    with signals.heard():
        async with contextlib.AsyncExitStack() as stack:
            children = [
                await stack.enter_async_context(
                    running(part, signals.hurry, err, echo=demo.verbose)
                )
                for part in parts(demo)
            ]
            try:
                await first(signals.stop.wait(), _ready_and_running(demo, children, out))
            except CommandFailed:
                if not signals.stop.is_set():  # who ends everything may end the children first
                    raise
            err("Ending.")


async def _ready_and_running(demo: Demo, children: Sequence[Child], out: Say) -> None:
    await all_ready(children)
    for child in children:
        child.echo = True
    out(screen(demo))
    await any_ended(children)


def parts(demo: Demo) -> list[Part]:
    """The processes, in the order in which they start."""
    gateway = Part(
        "gateway",
        ("serve", "--host", HOST, "--port", str(demo.port)),
        {
            "BFF_UPSTREAM": demo.nexudus,
            "BFF_OPS_TOKEN": demo.ops_token,
            # Pages of a development server may call; who has a token is answered, as with curl.
            "BFF_CORS_ORIGINS": "*",
            "BFF_LOG_LEVEL": "info" if demo.verbose else "warning",
            "BFF_LOG_FORMAT": "console" if sys.stderr.isatty() else "json",
        },
        f"{demo.origin}/readyz",
    )
    if demo.upstream:
        return [gateway]
    sandbox = Part(
        "sandbox",
        ("sandbox", "--host", HOST, "--port", str(demo.sandbox_port)),
        {"BFF_SANDBOX_DEMO_TOKEN": TOKEN, "BFF_SANDBOX_LATENCY_MS": LATENCY_MS},
        f"{demo.nexudus}/_sandbox/healthz",
    )
    return [sandbox, gateway]


def screen(demo: Demo) -> str:
    """What is shown once everything runs: where, the token, three commands, the figures."""
    token = "$TOKEN" if demo.upstream else TOKEN
    header = f'"Authorization: Bearer {token}"'
    full = f"{demo.origin}/session/bootstrap"
    slim = f"'{full}?_shape=@mobile'"
    nexudus = demo.upstream or f"{demo.nexudus}, a simulated Nexudus with its documented throttle"
    return f"""
The gateway    {demo.origin}
in front of    {nexudus}
{_how_to_get_a_token(demo) if demo.upstream else f"member token   {TOKEN} (Jane Doe's)"}

Paste these, one after the other:

1. The whole start of a session in one answer. First from Nexudus, again from the cache:
   see cache-status and the time.

curl -sS -D - -o /dev/null -w '%{{size_download}} bytes in %{{time_total}} s\\n' -H {header} {full}

2. Only what a phone needs of it:

curl -sSi -w '\\n' -H {header} {slim}

3. The same with the ETag that the phone now holds: 304, and no body.

A={header} U={slim}; curl -sSi -H "$A" -H "If-None-Match: $(curl -sSI -H "$A" "$U" \
| grep -i '^etag:' | cut -c7- | tr -d '\\r')" "$U"

For operators  {demo.origin}/ops in a browser, with the token {demo.ops_token}
Ctrl-C ends it all.
"""


def _how_to_get_a_token(demo: Demo) -> str:
    return f"""\
member token   sign in through the gateway, with your own e-mail address and password:

TOKEN=$(curl -sS -d grant_type=password --data-urlencode 'username=YOUR E-MAIL' \
--data-urlencode 'password=YOUR PASSWORD' {demo.origin}/api/token \
| sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')"""
