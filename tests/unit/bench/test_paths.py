"""Peers that cannot be measured are named, and ours is never left out."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.bench.checks import Wrong
from tests.bench.load import Load
from tests.bench.paths import Start, throughput
from tests.bench.peers import Missing
from tests.bench.results import Compared, Plan, Verdict
from tests.bench.stage import NotStarted, Server, free_port, running

TEMPLATE = """\
#!/bin/sh
for last; do :; done
cat <<END
     50%    1.00ms
     99%    2.00ms
  100 requests in 1.00s, 100.00KB read
Requests/sec:  ${last##*/}
END
"""
"""In place of wrk: as many requests a second as the path of the URL says."""


@contextlib.contextmanager
def _up(name: str) -> Iterator[Server]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        yield Server(process, name, 0.1)
    finally:
        process.kill()
        process.communicate()


def _absent() -> AbstractContextManager[Server]:
    raise Missing("nginx is not installed (Debian: nginx-light)")


@pytest.fixture(autouse=True)
def wrk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrk").write_text(TEMPLATE)
    (tmp_path / "wrk").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def _measured(starts: dict[str, Start], wrong: str = "") -> Compared:
    def right(name: str, _: str) -> None:
        if name == wrong:
            raise Wrong("answered another document")

    def load(_: str, origin: str) -> Load:
        return Load(f"http://127.0.0.1/{origin}", {}, 1)

    aims = {"slow": 1.5, "quick": 1.5, "nginx": 1.0, "odd": 1.0}
    return throughput("path", starts, (right, load), aims, Plan(3, 1))


def test_what_is_there_is_measured_and_what_is_not_is_named() -> None:
    starts: dict[str, Start] = {
        "bff": lambda: _up("200"),
        "slow": lambda: _up("100"),
        "nginx": _absent,
        "quick": lambda: _up("400"),
        "odd": lambda: _up("300"),
    }
    found = _measured(starts, wrong="odd")
    assert found.peers == ("slow", "quick")
    assert found.missing == (
        "nginx: nginx is not installed (Debian: nginx-light)",
        "odd: answered another document",
    )
    assert found.aims == {"slow": 1.5, "quick": 1.5}
    assert [found.ratio(peer).median for peer in found.peers] == [2.0, 0.5]
    assert [found.verdict(peer) for peer in found.peers] == [Verdict.REACHED, Verdict.NOT_REACHED]
    assert set(found.spent_us) == {"bff", "slow", "quick"}


def test_a_wrong_answer_of_ours_ends_the_path() -> None:
    with pytest.raises(Wrong):
        _measured({"bff": lambda: _up("200"), "slow": lambda: _up("100")}, wrong="bff")


def test_a_server_that_ends_is_not_waited_for() -> None:
    command = [sys.executable, "-c", ""]
    with pytest.raises(NotStarted), running(command, free_port(), "/"):
        raise AssertionError("it is not there")
