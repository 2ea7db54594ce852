"""What workers counted together is told whatever becomes of one of their files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from structlog.testing import capture_logs

from bff.observe.shared_files import DIRECTORY
from bff.observe.together import Together
from bff.serve_metrics import forget
from tests.support.scraping import samples, total

OWN = os.getpid()
"""A process that lives; so does its parent."""
OTHER = os.getppid()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Of two workers that live and of what ended ones counted, several pages of it each."""
    for pid, calls in ((0, 1.0), (OWN, 10.0), (OTHER, 100.0)):
        _write(tmp_path / f"counter_{pid}.db", calls, "bff_calls_total")
    for pid in (OWN, OTHER):
        _write(tmp_path / f"gauge_livesum_{pid}.db", 1.0, "bff_workers")
    return tmp_path


def _write(path: Path, value: float, name: str) -> None:
    file = MmapedDict(str(path))  # type: ignore[no-untyped-call]
    for number in range(200):
        labels = {"route": f"/route-{number}"}
        key = mmap_key(name.removesuffix("_total"), name, [*labels], [*labels.values()], "Help.")
        file.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    file.close()  # type: ignore[no-untyped-call]


def scraped(directory: Path) -> tuple[float, float]:
    """Calls and workers, by route."""
    registry = CollectorRegistry()
    registry.register(Together(directory))
    found = samples(generate_latest(registry).decode())
    return total(found, "bff_calls_total") / 200, total(found, "bff_workers") / 200


def _truncated(path: Path) -> None:
    os.truncate(path, 5_000)


def _cut_to_its_head(path: Path) -> None:
    os.truncate(path, 3)


def _garbage_within(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4_100)
        file.write(bytes(range(256)) * 4)


def _garbage_in_place_of_its_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\x7f" * 64)


def _another_file(path: Path) -> None:
    path.write_bytes(b"<html>not of prometheus_client</html>")


def _keys_of_another_kind(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'{"route"', b'["route"'))


DAMAGES = (
    _truncated,
    _cut_to_its_head,
    _garbage_within,
    _garbage_in_place_of_its_head,
    _another_file,
    _keys_of_another_kind,
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_worker_whose_file_is_damaged_is_left_out_and_one_line_says_so(
    damage: Callable[[Path], None], directory: Path
) -> None:
    assert scraped(directory) == (111, 2)
    damage(directory / f"counter_{OTHER}.db")
    with capture_logs() as logs:
        assert [scraped(directory) for _ in range(3)] == [(11, 2)] * 3
    assert [(line["event"], line["pid"]) for line in logs] == [("counts_lost", OTHER)]


def test_what_a_worker_measured_and_what_ended_ones_counted_may_be_damaged_too(
    directory: Path,
) -> None:
    _truncated(directory / f"gauge_livesum_{OTHER}.db")
    _truncated(directory / "counter_0.db")
    with capture_logs() as logs:
        assert scraped(directory) == (110, 1)
    assert {line["pid"] for line in logs} == {0, OTHER}


def test_a_worker_that_ends_after_its_file_was_lost_takes_nothing_with_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY, str(directory))
    _truncated(directory / f"counter_{OTHER}.db")
    with capture_logs() as logs:
        scraped(directory)
        forget([OTHER])
        assert scraped(directory) == (11, 1)
    assert len(logs) == 1


def test_what_cannot_be_read_for_other_reasons_stays(directory: Path) -> None:
    unread = directory / "counter_1.db"
    unread.mkdir()
    with pytest.raises(IsADirectoryError):
        scraped(directory)
    assert unread.exists()
