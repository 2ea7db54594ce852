"""Room for what is counted is there before it is written."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from bff.observe.shared_files import START_BYTES, make_room, reserve

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="set aside on Linux only")


def test_a_file_has_room_for_one_more_and_no_hole(tmp_path: Path) -> None:
    path, sizes = tmp_path / "counter_1.db", set[int]()
    make_room(path)
    counted = MmapedDict(str(path))  # type: ignore[no-untyped-call]
    for number in range(2_000):
        make_room(path)
        there = path.stat()
        assert there.st_blocks * 512 >= there.st_size
        sizes.add(there.st_size)
        counted.write_value(f"{number:0500}", number, 0.0)  # type: ignore[no-untyped-call]
        assert path.stat().st_size == there.st_size, "it grew by itself"
    counted.close()  # type: ignore[no-untyped-call]
    assert sizes == {START_BYTES, START_BYTES * 2, START_BYTES * 4, START_BYTES * 8}
    read = MmapedDict.read_all_values_from_file(path)  # type: ignore[no-untyped-call]
    assert [value for _, value, *_ in read] == list(range(2_000))


@pytest.mark.parametrize("refused", [errno.ENOSPC, errno.EDQUOT, errno.EOPNOTSUPP])
def test_what_is_refused_leaves_a_file_as_it_was(
    refused: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(file: int, start: int, length: int) -> None:
        os.ftruncate(file, start + length // 2)
        raise OSError(refused, os.strerror(refused))

    monkeypatch.setattr(os, "posix_fallocate", some)
    path = tmp_path / "counter_1.db"
    path.write_bytes(bytes(4_096))
    if refused == errno.EOPNOTSUPP:  # nobody can say: as before
        reserve(path, 8_192)
    else:
        with pytest.raises(OSError, match=os.strerror(refused)):
            reserve(path, 8_192)
    assert path.stat().st_size == 4_096
