"""What is installed is all that is in the package: scripts of Redis and files of the page too."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest
from flit_core import buildapi  # type: ignore[import-untyped]

from tests.architecture.source import PACKAGE, ROOT
from tests.architecture.test_repository import files


def test_a_wheel_has_every_file_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    name = buildapi.build_wheel(str(tmp_path))
    with ZipFile(tmp_path / name) as wheel:
        packed = {each for each in wheel.namelist() if each.startswith("bff/")}
    expected = {path.relative_to(ROOT).as_posix() for path in files(PACKAGE)}
    assert {Path(each).suffix for each in expected} >= {".py", ".lua", ".js", ".css", ".html"}
    assert packed == expected
