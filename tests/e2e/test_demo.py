"""`bff demo`, which `make run` calls: one screen, three commands that work, one Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from bff.demo import TOKEN
from bff.sandbox.seed import PASSWORD
from tests.e2e.commands import (
    HOST,
    Command,
    bff,
    children_of,
    free_port,
    is_alive,
    is_free,
    taken_port,
    until,
)

LAST_LINE = "Ctrl-C ends it all."
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="pastes commands of curl")


class Running:
    """A demo whose screen is there."""

    def __init__(self, *options: str) -> None:
        self.port, self.sandbox_port = free_port(), free_port()
        ports = ("--port", str(self.port), "--sandbox-port", str(self.sandbox_port))
        self.command = Command("demo", *ports, *options)
        self.origin = f"http://{HOST}:{self.port}"

    @property
    def pasted(self) -> list[str]:
        """The lines of the screen that are commands of a shell."""
        return re.findall(r"^(?:curl |[A-Z]+=).*$", self.command.output, re.MULTILINE)

    @property
    def parts(self) -> list[int]:
        """The process ids of the sandbox and the gateway."""
        return children_of(self.command.process.pid)

    def ended_cleanly(self) -> None:
        assert self.command.ends() == 0
        assert "Traceback" not in self.command.output
        assert is_free(self.port)
        assert is_free(self.sandbox_port)


@pytest.fixture(scope="module")
def shown() -> Iterator[Running]:
    """One demo that several tests look at; SIGTERM ends it cleanly."""
    demo = Running()
    with demo.command:
        demo.command.says(LAST_LINE)
        yield demo
        demo.command.process.terminate()
        demo.ended_cleanly()


@pytest.fixture
def demo() -> Iterator[Running]:
    """A demo of the test's own, to be ended by it."""
    demo = Running()
    with demo.command:
        demo.command.says(LAST_LINE)
        yield demo


def sh(command: str) -> tuple[str, dict[str, str], str]:
    """Status line, headers and body of what a pasted command shows."""
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=20, check=True
    )
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    status, *lines = head.split("\n")
    return status, dict(line.lower().split(": ", 1) for line in lines), body


@needs_curl
def test_the_three_commands_do_what_they_say(shown: Running) -> None:
    full, slim, again = shown.pasted

    status, headers, figures = sh(full)
    assert status == "HTTP/1.1 200 OK"
    assert headers["cache-status"].startswith("bff; fwd=uri-miss")
    size = int(headers["content-length"])
    assert re.fullmatch(rf"{size} bytes in \d+\.\d+ s\n", figures)

    status, headers, _ = sh(full)
    assert headers["cache-status"].startswith("bff; hit")

    status, headers, body = sh(slim)
    assert status == "HTTP/1.1 200 OK"
    assert headers["cache-status"].startswith("bff; hit")
    assert int(headers["content-length"]) < size / 3
    assert '"Complete":true' in body

    status, headers, body = sh(again)
    assert status == "HTTP/1.1 304 Not Modified"
    assert body == ""


async def test_the_simulated_nexudus_keeps_its_documented_throttle(shown: Running) -> None:
    url = f"http://{HOST}:{shown.sandbox_port}/api/public/businesses/current"
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        answers = await asyncio.gather(*(client.get(url) for _ in range(3)))
    assert [answer.status_code for answer in answers].count(409) >= 2


def test_the_figures_are_where_the_screen_says(shown: Running) -> None:
    found = re.search(r"(http\S+)/ops .* token (\S+)", shown.command.output)
    assert found is not None
    with httpx.Client(base_url=found[1], trust_env=False, verify=False) as client:
        assert "text/html" in client.get("/ops").headers["content-type"]
        for path in ("/metrics", "/ops/api/snapshot"):
            assert client.get(path).status_code == 401
            answer = client.get(path, headers={"authorization": f"Bearer {found[2]}"})
            assert answer.status_code == 200, path


def test_a_page_of_any_other_origin_may_call_it(shown: Running) -> None:
    """Whoever writes a portal has it on a development server of its own."""
    page = {"origin": "http://localhost:5173"}
    asked = {**page, "access-control-request-method": "GET"}
    asked["access-control-request-headers"] = "authorization,if-none-match"
    url = f"{shown.origin}/session/bootstrap"
    with httpx.Client(trust_env=False, verify=False) as client:
        allowed = client.options(url, headers=asked)
        answer = client.get(url, headers={**page, "authorization": f"Bearer {TOKEN}"})
        unknown = client.get(url, headers=page)
    assert allowed.status_code == 200, allowed.text
    assert "if-none-match" in allowed.headers["access-control-allow-headers"]
    assert (answer.status_code, unknown.status_code) == (200, 401)
    for each in (allowed, answer, unknown):
        assert each.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in each.headers  # no cookies of anybody
    assert "ETag" in answer.headers["access-control-expose-headers"]


def test_requests_are_not_logged_unless_asked_for(shown: Running) -> None:
    httpx.get(f"{shown.origin}/healthz", trust_env=False, verify=False)
    assert '"request"' not in shown.command.output
    assert "gateway |" not in shown.command.output


@pytest.mark.unmeasured
def test_ctrl_c_ends_everything_cleanly(demo: Running) -> None:
    demo.command.interrupt()
    demo.ended_cleanly()


@linux_only
def test_a_part_that_dies_ends_the_other_and_is_told(demo: Running) -> None:
    sandbox, _gateway = demo.parts
    os.kill(sandbox, signal.SIGKILL)
    assert demo.command.ends() == 1
    assert "bff: The sandbox ended with SIGKILL." in demo.command.output
    assert "Traceback" not in demo.command.output
    assert is_free(demo.port)
    until("the sandbox's port", lambda: is_free(demo.sandbox_port))


@pytest.mark.unmeasured
@linux_only
def test_nothing_outlives_a_killed_demo(demo: Running) -> None:
    processes = [*demo.parts, *(worker for part in demo.parts for worker in children_of(part))]
    assert len(processes) == 4
    demo.command.process.kill()
    until("all of them to end", lambda: not any(map(is_alive, processes)))
    assert is_free(demo.port)


def test_ctrl_c_while_it_starts_leaves_nothing() -> None:
    demo = Running("--verbose")
    with demo.command:
        demo.command.says("gateway | ")  # a line of the starting gateway
        demo.command.interrupt()
        demo.ended_cleanly()
        assert LAST_LINE not in demo.command.output


@pytest.mark.parametrize("option", ["--port", "--sandbox-port"])
def test_a_taken_port_is_told_before_anything_starts(option: str) -> None:
    ports = {"--port": free_port(), "--sandbox-port": free_port()}
    with taken_port() as port:
        ports[option] = port
        done = bff("demo", *(str(word) for pair in ports.items() for word in pair))
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(
        rf"bff: Port {port} of 127\.0\.0\.1 is taken: .* with {option}[^\n]*\.\n", done.stderr
    )


@needs_curl
def test_a_real_space_takes_the_place_of_the_simulated_one(shown: Running) -> None:
    space = f"http://{HOST}:{shown.sandbox_port}"
    demo = Running("--upstream", space)
    with demo.command:
        demo.command.says(LAST_LINE)
        assert f"in front of    {space}\n" in demo.command.output
        assert is_free(demo.sandbox_port)
        sign_in, full, _slim, _again = demo.pasted
        mine = sign_in.replace("YOUR E-MAIL", "jane.doe@example.com")
        mine = mine.replace("YOUR PASSWORD", PASSWORD)
        assert "YOUR" not in mine
        status, headers, _ = sh(f"{mine}\n{full}")
        assert status == "HTTP/1.1 200 OK"
        assert headers["cache-status"].startswith("bff; fwd=uri-miss")
        demo.command.interrupt()
        demo.ended_cleanly()
