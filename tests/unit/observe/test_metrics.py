"""One catalogue, counted in one process or in several, cheaply."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import timeit
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from bff.observe.catalogue import CATALOGUE, LATENCY_BUCKETS_S, Kind
from bff.observe.metrics import Metrics
from bff.observe.shared_files import DIRECTORY
from bff.observe.together import Together
from tests.support.scraping import samples, total

seconds = st.floats(0, 20) | st.sampled_from(LATENCY_BUCKETS_S)


def test_what_is_counted_is_what_is_scraped() -> None:
    metrics = Metrics()
    metrics.count("bff_requests", "/session/bootstrap", "acme", "200")
    metrics.counter("bff_requests", "/session/bootstrap", "acme", "200").add(2)
    metrics.request("/session/bootstrap", "acme", 200, 0.2, 700)
    counted, scraped = metrics.counted(), samples(metrics.render().decode())
    assert counted["bff_requests", ("/session/bootstrap", "acme", "200")] == 4
    assert total(scraped, "bff_requests_total", status="200", space="acme") == 4
    assert counted["bff_response_bytes", ("/session/bootstrap", "acme")] == 700
    assert total(scraped, "bff_request_seconds_count", route="/session/bootstrap") == 1


@given(st.lists(st.tuples(st.sampled_from(["load", "save"]), seconds)))
def test_own_histograms_are_those_that_are_scraped(observed: list[tuple[str, float]]) -> None:
    metrics = Metrics()
    for operation, took_s in observed:
        metrics.observe("bff_store_seconds", took_s, operation)
    told = {
        (name, labels): value
        for (name, labels), value in metrics.counted().items()
        if name.startswith("bff_store_seconds")
    }
    scraped = {}
    for (name, labels), value in samples(metrics.render().decode()).items():
        if name.startswith("bff_store_seconds"):
            given = dict(labels)
            last = (given["le"],) if "le" in given else ()
            scraped[name, (given["operation"], *last)] = value
    assert told == pytest.approx(scraped)


def test_counts_are_written_together_but_for_what_was_answered() -> None:
    metrics = Metrics()
    metrics.request("/a", "acme", 200, 0.1, 9)
    metrics.count("bff_throttled", "acme")

    def seen(name: str) -> float:
        return total(samples(generate_latest(metrics._registry).decode()), name)

    assert seen("bff_requests_total") == 1
    assert seen("bff_throttled_total") == seen("bff_request_seconds_count") == 0
    for _ in range(2):
        metrics.flush()
        assert (seen("bff_throttled_total"), seen("bff_response_bytes_total")) == (1, 9)
        assert (seen("bff_request_seconds_count"), seen("bff_request_seconds_sum")) == (1, 0.1)
    metrics.count("bff_throttled", "acme", by=2)
    metrics.observe("bff_request_seconds", 0.2, "/a", "acme")
    metrics.flush()
    assert (seen("bff_throttled_total"), seen("bff_request_seconds_count")) == (3, 2)


def test_what_has_no_labels_is_nought_before_it_happens() -> None:
    metrics = Metrics()
    plain = {row.name for row in CATALOGUE if row.kind is Kind.COUNTER and not row.labels}
    assert plain
    assert {name for (name, labels) in metrics.counted() if not labels} >= plain
    assert "bff_l1_evictions_total 0.0" in metrics.render().decode()


def test_gauges_are_as_they_were_set_last() -> None:
    metrics = Metrics()
    metrics.refresh = lambda: metrics.set("bff_flights", 3)
    metrics.set("bff_breaker_state", 2, "acme")
    metrics.set("bff_breaker_state", 1, "acme")
    assert metrics.measured() == {("bff_flights", ()): 3, ("bff_breaker_state", ("acme",)): 1}
    assert 'bff_breaker_state{space="acme"} 1.0' in metrics.render().decode()


def test_a_label_too_few_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="label count"):
        Metrics().count("bff_requests", "/session/bootstrap")


def test_own_values_of_two_thousand_series_are_told_in_two_milliseconds() -> None:
    metrics = Metrics()
    for number in range(1_600):
        metrics.count("bff_requests", f"r{number}", "acme", "200")
    for number in range(24):
        metrics.observe("bff_store_seconds", 0.1, f"o{number}")
    assert len(metrics.counted()) > 2_000
    assert min(timeit.repeat(metrics.counted, number=1, repeat=20)) < 0.002


_CHILD = """
import os, sys
from bff.observe.metrics import Metrics
metrics = Metrics()
metrics.count("bff_requests", "/a", "acme", "200", by=2)
metrics.observe("bff_store_seconds", 0.3, "load")
for name, value in (("bff_flights", 5), ("bff_store_available", 1), ("bff_loop_lag_seconds", 0.5)):
    metrics.set(name, value)
metrics.flush()
own = os.fork()
if not own:
    # A process of its own from here on, which has written nothing yet.
    metrics.count("bff_requests", "/a", "acme", "200", by=3)
    for name, value in (("bff_flights", 7), ("bff_store_available", 0)):
        metrics.set(name, value)
    metrics.set("bff_loop_lag_seconds", 0.1)
    print(metrics.render().decode(), flush=True)
    os._exit(0)
os.waitpid(own, 0)
print("--", flush=True)
print(metrics.render().decode(), flush=True)
print("--", metrics.counted()["bff_requests", ("/a", "acme", "200")], flush=True)
"""


def test_processes_that_share_a_directory_count_together(tmp_path: Path) -> None:
    directory = tmp_path / "made at need"
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        env={**os.environ, DIRECTORY: str(directory)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    both, after, own = done.stdout.split("--")
    scraped = samples(both)
    assert total(scraped, "bff_requests_total") == 5
    assert total(scraped, "bff_store_seconds_count") == 1
    assert total(scraped, "bff_flights") == 12
    assert total(scraped, "bff_store_available") == 0
    assert total(scraped, "bff_loop_lag_seconds") == 0.5
    # The other is gone: what it counted stays, and what it measured goes.
    scraped = samples(after)
    assert total(scraped, "bff_requests_total") == 5
    assert total(scraped, "bff_flights") == 5
    assert total(scraped, "bff_store_available") == 1
    assert float(own) == 2


_FULL = """
import resource
from bff.observe.metrics import Metrics

def room(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def all_of(metrics):
    for number in range(100):
        metrics.request(f"/route-{number}", "acme", 200, 0.1, 9)
    metrics.set("bff_flights", 5)
    metrics.flush()
    print(metrics.render().decode(), "--", flush=True)

room(1)
metrics = Metrics()
all_of(metrics)
assert metrics.answer_writer("/route-1", "acme", 200) is None
room(2**18)
for _ in range(100):
    metrics.settle()
all_of(metrics)
room(resource.RLIM_INFINITY)
metrics.settle()
all_of(metrics)
own = metrics.counted()
print(sum(value for (name, _), value in own.items() if name == "bff_requests"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="room is set aside on Linux only")
def test_what_has_no_room_in_the_files_is_counted_by_its_process_until_it_has(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FULL],
        env={**os.environ, DIRECTORY: str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    full, some, all_of_it, own = done.stdout.split("--")
    assert full.count("metrics_refused") == 1
    assert "bff_" not in full
    scraped = samples(some)
    # Of the counters all; of the histograms, which are longer, as many as one file takes.
    assert total(scraped, "bff_requests_total") == 200
    assert 0 < total(scraped, "bff_request_seconds_count") < 200
    assert total(scraped, "bff_flights") == 5
    scraped = samples(all_of_it)
    assert total(scraped, "bff_requests_total") == float(own) == 300
    assert total(scraped, "bff_response_bytes_total") == 2_700
    assert total(scraped, "bff_request_seconds_count", route="/route-99") == 3


_AT_ONCE = """
import os, signal, sys
from pathlib import Path
from bff.observe.metrics import Metrics

metrics, series = Metrics(), ("/a", "acme", 200)
metrics.request(*series, 0.1, 9)
write = metrics.answer_writer(*series)
again = metrics.answer_writer(*series)
if sys.argv[1] == "lost":
    [path] = Path(metrics._directory).glob("counter_*.db")
    path.unlink()
    write = metrics.answer_writer("/a", "acme", 304)
for _ in range(3):
    write(1)
again(1)
metrics.request(*series, 0.1, 9)
if sys.argv[1] == "told":
    metrics.requests(series, [0.1] * 4, 36, written=True)
    print(metrics.render().decode(), "--", metrics.counted()["bff_requests", ("/a", "acme", "200")])
    sys.exit()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["told", "killed", "lost"])
def test_what_is_written_at_once_is_counted_whatever_becomes_of_its_process(
    tmp_path: Path, how: str
) -> None:
    env = {**os.environ, DIRECTORY: str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", _AT_ONCE, how],
        env=env, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == (0 if how == "told" else -signal.SIGKILL), done.stderr
    registry = CollectorRegistry()
    registry.register(Together(tmp_path))
    counted = total(samples(generate_latest(registry).decode()), "bff_requests_total")
    assert counted == (0 if how == "lost" else 6)
    if how == "told":
        scraped, _, own = done.stdout.partition("--")
        assert total(samples(scraped), "bff_requests_total") == float(own) == 6
