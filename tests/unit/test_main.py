"""`python -m bff`, and what a Ctrl-C finds before there is a command."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from bff import __main__ as entry


class Interrupted(ModuleType):
    """A module whose import is cut short."""

    def __getattr__(self, name: str) -> object:
        raise KeyboardInterrupt


def test_a_ctrl_c_while_it_is_imported_ends_it_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "bff.cli", Interrupted("bff.cli"))
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 130
    assert capfd.readouterr() == ("", "")


def test_it_is_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bff", "--version"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert not ended.value.code
    assert capsys.readouterr().out.startswith("bff ")
