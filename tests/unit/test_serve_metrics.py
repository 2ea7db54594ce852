"""The directory in which workers count together: private, of one server, gone with it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from structlog.testing import capture_logs

from bff.observe.shared_files import DIRECTORY
from bff.serve_metrics import PREFIX, counting_together, forget
from bff.terminal import CommandFailed


@pytest.fixture(autouse=True)
def above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(DIRECTORY, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_it_is_private_and_there_for_as_long_as_it_is_needed(above: Path) -> None:
    with counting_together(2):
        [made] = above.iterdir()
        assert os.environ[DIRECTORY] == str(made)
        assert made.stat().st_mode & 0o777 == 0o700
        (made / "counter_1.db").touch()
    assert list(above.iterdir()) == []
    assert DIRECTORY not in os.environ


def test_one_worker_alone_needs_none(above: Path) -> None:
    with counting_together(1):
        assert DIRECTORY not in os.environ
        assert list(above.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_it_is_made_where_the_operator_says(
    workers: int, above: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = above / "not made yet"
    monkeypatch.setenv(DIRECTORY, str(named))
    with counting_together(workers):
        [made] = named.iterdir()
        assert os.environ[DIRECTORY] == str(made)
    assert os.environ[DIRECTORY] == str(named)
    assert list(named.iterdir()) == []


def test_what_a_killed_server_left_is_removed_and_nothing_else(above: Path) -> None:
    program = (
        "import os, signal, sys; from bff.serve_metrics import counting_together\n"
        "assert 'prometheus_client' not in sys.modules, 'it would not see the directory'\n"
        "with counting_together(2): os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "TMPDIR": str(above)}
    subprocess.run([sys.executable, "-c", program], env=environment, timeout=30, check=False)
    [left] = above.iterdir()
    for name in ("somebody elses", f"{PREFIX}not-of-a-server"):
        (above / name).mkdir()
    with counting_together(2):
        first = os.environ[DIRECTORY]
        with counting_together(2):
            assert Path(first).exists(), "that one lives"
    assert not left.exists()
    assert {each.name for each in above.iterdir()} == {"somebody elses", f"{PREFIX}not-of-a-server"}


def test_where_none_can_be_made_a_sentence_says_so(
    above: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (above / "file").touch()
    monkeypatch.setenv(DIRECTORY, str(above / "file" / "below"))
    with (
        pytest.raises(CommandFailed, match=r"No directory can be made in .*: name another"),
        counting_together(2),
    ):
        pytest.fail("there is none")


def counted(path: Path) -> dict[str, float]:
    """What a file holds."""
    read = MmapedDict.read_all_values_from_file(path)  # type: ignore[no-untyped-call]
    return {json.loads(key)[0]: value for key, value, *_ in read}


def count(path: Path, **values: float) -> None:
    """As a worker does."""
    file = MmapedDict(str(path))  # type: ignore[no-untyped-call]
    for key, value in values.items():
        file.write_value(mmap_key(key, key, [], [], "Help."), value, 0.0)  # type: ignore[no-untyped-call]
    file.close()  # type: ignore[no-untyped-call]


def test_of_workers_that_ended_what_they_measured_goes_and_what_they_counted_is_one(
    above: Path,
) -> None:
    forget([7])
    with counting_together(2):
        made = Path(os.environ[DIRECTORY])
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


@pytest.mark.parametrize("damaged", [0, 7])
@pytest.mark.parametrize("used", [2**16 + 5_000, 2**15], ids=["beyond its end", "not an entry"])
def test_what_is_damaged_goes_and_costs_nothing_else(damaged: int, used: int) -> None:
    """Every scrape would fail for as long as it is there."""
    with counting_together(2):
        made = Path(os.environ[DIRECTORY])
        for pid in (0, 7, 8):
            count(made / f"counter_{pid}.db", a=10.0**pid)
        with (made / f"counter_{damaged}.db").open("r+b") as file:
            file.write(struct.pack("i", used))
        with capture_logs() as logs:
            forget([7, 8])
        assert [(line["event"], line["pid"]) for line in logs] == [("counts_lost", damaged)]
        assert counted(made / "counter_0.db") == {"a": 10.0**8 + 10.0 ** (7 - damaged)}
        assert [path.name for path in made.glob("counter_*")] == ["counter_0.db"]


def test_what_cannot_be_put_together_ends_nothing() -> None:
    with counting_together(2), capture_logs() as logs:
        shutil.rmtree(os.environ[DIRECTORY])
        forget([7, 8])
    assert [(line["event"], line["pid"]) for line in logs] == [
        ("counts_apart", 7),
        ("counts_apart", 8),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="room is set aside on Linux only")
def test_on_a_full_disk_what_ended_workers_counted_stays_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with counting_together(2):
        made = Path(os.environ[DIRECTORY])
        count(made / "counter_0.db", a=1)
        count(made / "counter_7.db", a=2)
        with monkeypatch.context() as meanwhile, capture_logs() as logs:
            meanwhile.setattr(os, "posix_fallocate", full)
            forget([7])
        assert [line["event"] for line in logs] == ["counts_apart"]
        assert (counted(made / "counter_0.db"), counted(made / "counter_7.db")) == (
            {"a": 1},
            {"a": 2},
        )
        forget([7])
        assert counted(made / "counter_0.db") == {"a": 3}
        kept = (made / "counter_0.db").stat()
        assert kept.st_blocks * 512 >= kept.st_size, "a file with holes"
