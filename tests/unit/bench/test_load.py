"""What wrk prints is read, and believed only if all was well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.load import Load, read

GOOD = """\
Running 2s test @ http://127.0.0.1:18080/session/bootstrap
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.45ms  410.21us  12.90ms   90.11%
    Req/Sec    22.31k     1.51k   24.60k    75.00%
  Latency Distribution
     50%    1.41ms
     75%    1.60ms
     90%    1.81ms
     99%  980.00us
  44420 requests in 2.00s, 51.21MB read
Requests/sec:  22204.36
Transfer/sec:     25.60MB
told added: 1.5 2.5
told partial: 0
"""


def test_a_good_run_is_read() -> None:
    run = read(GOOD)
    assert (run.per_second, run.requests) == (22204.36, 44420)
    assert (run.p50_ms, run.p99_ms) == (1.41, 0.98)
    assert run.bytes_each == pytest.approx(51.21 * 2**20 / 44420)
    assert run.told == {"added": "1.5 2.5", "partial": "0"}


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("Requests/sec", "Non-2xx or 3xx responses: 3\nRequests/sec"),
        GOOD.replace(
            "Requests/sec", "  Socket errors: connect 0, read 1, write 0, timeout 0\nRequests/sec"
        ),
        GOOD.replace("44420 requests in 2.00s, 51.21MB read", "0 requests in 2.00s, 0.00B read"),
        GOOD.replace("     50%    1.41ms\n", ""),
        "unable to connect to 127.0.0.1:18080 Connection refused\n",
    ],
)
def test_a_run_in_which_anything_was_wrong_does_not_count(text: str) -> None:
    with pytest.raises(RuntimeError):
        read(text)


@pytest.mark.parametrize(("least", "most"), [(1300, 2000), (0, 1100)])
def test_answers_that_are_not_whole_do_not_count(
    least: float, most: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "wrk"
    stand_in.write_text(f"#!/bin/sh\ncat <<'END'\n{GOOD}END\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    url = "http://127.0.0.1:1/"
    assert Load(url, {}, 1, least_bytes=1200, most_bytes=1300).run().requests == 44420
    with pytest.raises(RuntimeError, match="1209 bytes are not whole"):
        Load(url, {}, 1, least_bytes=least, most_bytes=most).run()
