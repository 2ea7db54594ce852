"""The figures of the core, measured: `make figures`.

Starts a sandbox, a Redis of its own and the gateway as users start it (`bff serve`, one worker),
all on loopback, and prints sizes, Redis bytes per session, the latency that a cold bootstrap adds
to the upstream calls it contains, and warm requests per second beside a bare Starlette route that
returns the same bytes on the same server. Ratios come from rounds taken in turn within one run.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.bench.stage import LOAD_CORE, free_port, pinned, running
from tests.support.redis_server import RedisServer

UPSTREAM_LATENCY_MS = 20
SESSIONS = 200
ROUNDS = 5
ROUND_S = 4
CONNECTIONS = 32

BARE = """
from pathlib import Path
import os
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

BODY = Path(os.environ["BARE_BODY"]).read_bytes()
HEADERS = {"content-encoding": "br", "etag": '"x"', "cache-control": "private, no-cache",
           "vary": "Authorization, Accept-Encoding, Origin", "age": "1", "cache-status": "bff; hit"}

async def answer(request):
    return Response(BODY, headers=HEADERS, media_type="application/json")

app = Starlette(routes=[Route("/session/bootstrap", answer)])
"""


def bearer(token: str, **more: str) -> dict[str, str]:
    """Headers of one call."""
    return {"authorization": f"Bearer {token}", **more}


def minted(sandbox: str) -> list[str]:
    """One token for each ordinary member, whose active profile is in the directory or not."""
    with httpx.Client(base_url=sandbox, trust_env=False, timeout=30) as client:
        rows = client.get("/_sandbox/members").json()
        users = [row["user_id"] for row in rows if row["customer"] and row["current_id"]]
        answer = client.post("/_sandbox/tokens", json={"user_ids": users})
        answer.raise_for_status()
        return [row["token"] for row in answer.json()["tokens"]]


def sizes(gateway: str, token: str) -> dict[str, int]:
    """Bytes on the wire, bodies only; of the 304 everything."""
    found: dict[str, int] = {}
    with httpx.Client(base_url=gateway, trust_env=False) as client:
        for name, shape in (("full", ""), ("@mobile", "?_shape=@mobile")):
            for coding in ("identity", "gzip", "br", "zstd"):
                headers = bearer(token, **{"accept-encoding": coding})
                with client.stream("GET", f"/session/bootstrap{shape}", headers=headers) as answer:
                    found[f"{name} {coding}"] = len(b"".join(answer.iter_raw()))
                    etag = answer.headers["etag"]
        headers = bearer(token, **{"accept-encoding": "zstd", "if-none-match": etag})
        answer = client.get("/session/bootstrap?_shape=@mobile", headers=headers)
        assert answer.status_code == 304, answer.status_code
        found["304 head"] = len(b"HTTP/1.1 304 Not Modified\r\n\r\n") + sum(
            len(name) + len(value) + 4 for name, value in answer.headers.raw
        )
    return found


def redis_bytes_per_session(server: RedisServer, gateway: str, tokens: Sequence[str]) -> float:
    """Growth of Redis' used memory over sessions of different users, bootstrap each."""
    import redis  # noqa: PLC0415

    connection = redis.Redis.from_url(server.url)
    with httpx.Client(base_url=gateway, trust_env=False) as client:
        client.get("/session/bootstrap?_shape=User", headers=bearer(tokens[0])).raise_for_status()
        before = int(connection.info("memory")["used_memory"])
        for token in tokens[1:]:
            answer = client.get("/session/bootstrap?_shape=User", headers=bearer(token))
            answer.raise_for_status()
        after = int(connection.info("memory")["used_memory"])
    return (after - before) / (len(tokens) - 1)


@dataclass(slots=True)
class Added:
    """Milliseconds, one for each session.

    `outside`: the cold bootstrap less the same two calls made directly, both timed by one client.
    `inside`: what the gateway itself says: its total less the time that Nexudus took.
    """

    outside: list[float]
    inside: list[float]
    direct: list[float]


async def added_latency(
    gateway: str, sandbox: str, tokens: Sequence[str], concurrency: int
) -> Added:
    """What a cold bootstrap adds to its two upstream calls."""
    gate = asyncio.Semaphore(concurrency)
    found = Added([], [], [])
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with (
        httpx.AsyncClient(base_url=gateway, trust_env=False, limits=limits, timeout=30) as ours,
        httpx.AsyncClient(base_url=sandbox, trust_env=False, limits=limits, timeout=30) as theirs,
    ):

        async def one(token: str) -> None:
            async with gate:
                began = time.perf_counter()
                listed = await theirs.get("/api/public/coworkers/profiles", headers=bearer(token))
                profiles = listed.json()["Profiles"]
                active = next(p["Id"] for p in profiles if p["IsDefaultProfile"])
                path = f"/api/public/coworkers/published/{active}/related"
                await theirs.get(path, headers=bearer(token))
                direct = time.perf_counter() - began
                began = time.perf_counter()
                answer = await ours.get("/session/bootstrap", headers=bearer(token))
                took = time.perf_counter() - began
                assert answer.status_code == 200, answer.status_code
                assert "fwd=uri-miss" in answer.headers["cache-status"]
                found.outside.append((took - direct) * 1000)
                found.direct.append(direct * 1000)
                timing = answer.headers["server-timing"]
                spent = dict(re.findall(r"(\w+);dur=([0-9.]+)", timing))
                upstream = float(spent["profiles"]) + float(spent["related"])
                found.inside.append(float(spent["total"]) - upstream)

        await asyncio.gather(*(one(token) for token in tokens))
    return found


def described(values: Sequence[float]) -> str:
    """Median and 99th percentile, in words."""
    p99 = statistics.quantiles(values, n=100)[98]
    return f"{statistics.median(values):.1f} ms (median), {p99:.1f} ms (p99)"


def wrk(url: str, token: str, seconds: int) -> float | None:
    """Requests per second, or None without wrk; every answer must be a 2xx."""
    program = shutil.which("wrk")
    if program is None:
        return None
    command = [*pinned(LOAD_CORE), program, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    for name, value in bearer(token, **{"accept-encoding": "br"}).items():
        command += ["-H", f"{name}: {value}"]
    text = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text:
        raise RuntimeError(text)
    found = re.search(r"Requests/sec:\s+([0-9.]+)", text)
    assert found is not None
    return float(found[1])


def rounds(gateway: str, bare: str, token: str) -> list[tuple[float, float]]:
    """Requests per second (gateway, bare), taken in turn."""
    found: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        ours = wrk(f"{gateway}/session/bootstrap", token, ROUND_S)
        theirs = wrk(f"{bare}/session/bootstrap", token, ROUND_S)
        if ours is None or theirs is None:
            return []
        found.append((ours, theirs))
    return found


def report_throughput(folder: Path, gateway: str, token: str) -> None:
    """The warm bootstrap beside a bare Starlette route with the same bytes."""
    headers = bearer(token, **{"accept-encoding": "br"})
    with httpx.stream("GET", f"{gateway}/session/bootstrap", headers=headers) as answer:
        body = folder / "body"
        body.write_bytes(b"".join(answer.iter_raw()))
    (folder / "bare.py").write_text(BARE)
    port = free_port()
    granian = [sys.executable, "-m", "granian", "--interface", "asgi", "--no-log"]
    command = [*granian, "--port", str(port), "--working-dir", str(folder), "bare:app"]
    env = {"BARE_BODY": str(body)}
    with running(command, port, "/session/bootstrap", env) as bare:
        pairs = rounds(gateway, bare.origin, token)
    if not pairs:
        print("warm requests per second: not measured, wrk is not installed")
        return
    ratios = [ours / theirs for ours, theirs in pairs]
    print(
        f"warm bootstrap, {body.stat().st_size if body.exists() else 0} bytes (br), "
        f"{CONNECTIONS} connections, median of {ROUNDS} rounds: "
        f"{statistics.median(o for o, _ in pairs):.0f}/s beside "
        f"{statistics.median(t for _, t in pairs):.0f}/s of a bare Starlette route; "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def report_latency(gateway: str, sandbox: str, tokens: Sequence[str]) -> None:
    """What a cold bootstrap adds to its two upstream calls."""
    half = len(tokens) // 2
    for concurrency, share in ((1, tokens[:half]), (10, tokens[half:])):
        added = asyncio.run(added_latency(gateway, sandbox, share, concurrency))
        print(
            f"cold bootstrap, {len(share)} sessions, {concurrency} at once: adds "
            f"{described(added.outside)} seen from outside, {described(added.inside)} by its own "
            f"Server-Timing, to the two calls ({described(added.direct)} made directly)"
        )


def main() -> None:
    """Measure and print."""
    bff = [sys.executable, "-m", "bff"]
    sandbox_port, gateway_port = free_port(), free_port()
    sandbox_env = {
        "BFF_SANDBOX_THROTTLE": "off",
        "BFF_SANDBOX_LATENCY_MS": str(UPSTREAM_LATENCY_MS),
        "BFF_SANDBOX_MEMBERS": "1200",
    }
    with tempfile.TemporaryDirectory() as folder, RedisServer() as server:
        gateway_env = {
            "BFF_UPSTREAM": f"http://127.0.0.1:{sandbox_port}",
            "BFF_REDIS_URL": server.url,
            "BFF_SECRET": "figures-figures-figures-figures-figures",
            "BFF_LOG_LEVEL": "warning",
            # What the gateway itself costs, not the pace at which Nexudus may be called.
            "BFF_BUDGET": "off",
            "BFF_PROFILES_FRESH_S": "3600",
        }
        serve = [*bff, "serve", "--port", str(gateway_port)]
        sandbox_command = [*bff, "sandbox", "--port", str(sandbox_port)]
        with (
            running(sandbox_command, sandbox_port, "/_sandbox/healthz", sandbox_env) as sandbox,
            running(serve, gateway_port, "/healthz", gateway_env) as gateway,
        ):
            tokens = minted(sandbox.origin)
            first, stored, cold = tokens[0], tokens[1 : SESSIONS + 1], tokens[SESSIONS + 1 :]
            for name, count in sizes(gateway.origin, first).items():
                print(f"bytes, {name}: {count}")
            per_session = redis_bytes_per_session(server, gateway.origin, stored)
            print(f"Redis bytes per session, {len(stored) - 1} users: {per_session:.0f}")
            report_latency(gateway.origin, sandbox.origin, cold[: 4 * SESSIONS])
            report_throughput(Path(folder), gateway.origin, first)


if __name__ == "__main__":
    main()
