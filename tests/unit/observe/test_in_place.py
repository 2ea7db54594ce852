"""Additions in place, as prometheus_client reads them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from bff.observe.in_place import InPlace


def key(number: int) -> str:
    made: str = mmap_key("bff_calls", "bff_calls_total", ["route"], [f"/{number}"], "Help.")
    return made


def read(path: Path) -> dict[str, float]:
    found = MmapedDict.read_all_values_from_file(path)  # type: ignore[no-untyped-call]
    return {each: value for each, value, *_ in found}


@pytest.fixture
def written(tmp_path: Path) -> Iterator[MmapedDict]:
    """A file with two numbers, which prometheus_client goes on writing."""
    made = MmapedDict(str(tmp_path / "counter_1.db"))  # type: ignore[no-untyped-call]
    for number in range(2):
        made.write_value(key(number), 0.5, 0.0)  # type: ignore[no-untyped-call]
    yield made
    made.close()  # type: ignore[no-untyped-call]


def test_what_is_added_is_what_is_read_and_no_other_number_changes(
    tmp_path: Path, written: MmapedDict
) -> None:
    path = tmp_path / "counter_1.db"
    add = InPlace(path).adder(key(1))
    add(1)
    add(2.25)
    assert read(path) == {key(0): 0.5, key(1): 3.75}


def test_a_file_that_grew_is_written_where_it_is_long_and_where_it_was(
    tmp_path: Path, written: MmapedDict
) -> None:
    path = tmp_path / "counter_1.db"
    numbers = InPlace(path)
    first, size = numbers.adder(key(0)), path.stat().st_size
    many = range(2, 2_000)
    for number in many:
        written.write_value(key(number), 0.0, 0.0)  # type: ignore[no-untyped-call]
    assert path.stat().st_size > size
    last = numbers.adder(key(many[-1]))
    for add in (first, last):
        add(1)
    found = read(path)
    assert (found[key(0)], found[key(many[-1])]) == (1.5, 1)
    assert sum(found.values()) == 1.5 + 0.5 + 1


def test_threads_that_add_to_one_number_lose_nothing(tmp_path: Path, written: MmapedDict) -> None:
    path = tmp_path / "counter_1.db"
    numbers = InPlace(path)

    def often() -> None:
        add = numbers.adder(key(0))
        for _ in range(5_000):
            add(1)

    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(path)[key(0)] == 20_000.5


def test_a_number_that_is_not_there_is_an_error(tmp_path: Path, written: MmapedDict) -> None:
    with pytest.raises(LookupError):
        InPlace(tmp_path / "counter_1.db").adder(key(2))
    with pytest.raises(FileNotFoundError):
        InPlace(tmp_path / "counter_2.db").adder(key(0))
