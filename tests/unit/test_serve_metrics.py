"""The directory in which workers count together: private, of one server, gone with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from bff import serve_metrics
from bff.observe import metrics
from bff.serve_metrics import PREFIX, VARIABLE, counting_together, forget
from bff.terminal import CommandFailed


@pytest.fixture(autouse=True)
def above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_it_is_private_and_there_for_as_long_as_it_is_needed(above: Path) -> None:
    with counting_together(2):
        [made] = above.iterdir()
        assert os.environ[VARIABLE] == str(made)
        assert made.stat().st_mode & 0o777 == 0o700
        (made / "counter_1.db").touch()
    assert list(above.iterdir()) == []
    assert VARIABLE not in os.environ


def test_one_worker_alone_needs_none(above: Path) -> None:
    with counting_together(1):
        assert VARIABLE not in os.environ
        assert list(above.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_it_is_made_where_the_operator_says(
    workers: int, above: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = above / "not made yet"
    monkeypatch.setenv(VARIABLE, str(named))
    with counting_together(workers):
        [made] = named.iterdir()
        assert os.environ[VARIABLE] == str(made)
    assert os.environ[VARIABLE] == str(named)
    assert list(named.iterdir()) == []


def test_what_a_killed_server_left_is_removed_and_nothing_else(above: Path) -> None:
    program = (
        "import os, signal; from bff.serve_metrics import counting_together\n"
        "with counting_together(2): os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "TMPDIR": str(above)}
    subprocess.run([sys.executable, "-c", program], env=environment, timeout=30, check=False)
    [left] = above.iterdir()
    for name in ("somebody elses", f"{PREFIX}not-of-a-server"):
        (above / name).mkdir()
    with counting_together(2):
        first = os.environ[VARIABLE]
        with counting_together(2):
            assert Path(first).exists(), "that one lives"
    assert not left.exists()
    assert {each.name for each in above.iterdir()} == {"somebody elses", f"{PREFIX}not-of-a-server"}


def test_where_none_can_be_made_a_sentence_says_so(
    above: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (above / "file").touch()
    monkeypatch.setenv(VARIABLE, str(above / "file" / "below"))
    with (
        pytest.raises(CommandFailed, match=r"No directory can be made in .*: name another"),
        counting_together(2),
    ):
        pytest.fail("there is none")


def counted(path: Path) -> dict[str, float]:
    """What a file holds."""
    read = MmapedDict.read_all_values_from_file(path)  # type: ignore[no-untyped-call]
    return {key: value for key, value, *_ in read}


def count(path: Path, **values: float) -> None:
    """As a worker does."""
    file = MmapedDict(str(path))  # type: ignore[no-untyped-call]
    for key, value in values.items():
        file.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    file.close()  # type: ignore[no-untyped-call]


def test_of_workers_that_ended_what_they_measured_goes_and_what_they_counted_is_one(
    above: Path,
) -> None:
    forget([7])
    with counting_together(2):
        made = Path(os.environ[VARIABLE])
        (made / "gauge_livesum_7.db").touch()
        (made / "gauge_livemax_8.db").touch()
        (made / "histogram_9.db").touch()  # of one that ended before it had counted anything
        many = {f"series-{number}" * 20: float(number) for number in range(1_000)}
        count(made / "counter_7.db", a=1, b=2)
        count(made / "counter_8.db", a=10)
        count(made / "counter_9.db", b=4, **many)
        forget([7])
        assert counted(made / "counter_0.db") == {"a": 1, "b": 2}
        forget([9, 11])
        assert counted(made / "counter_0.db") == {"a": 1, "b": 6, **many}
        left = {path.stem for path in made.glob("*.db")}
        assert left == {"counter_0", "counter_8", "gauge_livemax_8", "histogram_0"}
    assert above.exists()


def test_whoever_counts_and_whoever_puts_together_mean_the_same() -> None:
    assert (serve_metrics.STEADY, VARIABLE) == (metrics.STEADY, metrics.DIRECTORY)
