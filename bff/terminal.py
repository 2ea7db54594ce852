"""What the commands say: tables and sentences, on a terminal or in a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_OF_A_FILE: Final = 160
"""Columns of a table that goes to a file or a pipe."""
_STYLES: Final = {"ok": "green", "warning": "yellow", "fault": "bold red"}


class CommandFailed(Exception):
    """A command cannot do what it was asked for; the message is for the operator."""


def console(*, stderr: bool = False) -> Console:
    """As wide as the terminal; what is none, as COLUMNS says or WIDTH_OF_A_FILE."""
    from rich.console import Console  # noqa: PLC0415 - here, as a server shows no table

    opened = Console(stderr=stderr, highlight=False)
    if not opened.is_terminal and "COLUMNS" not in os.environ:
        opened.width = WIDTH_OF_A_FILE
    return opened


def print_table(
    title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], *, stderr: bool = False
) -> None:
    """Cells are shown as they are, folded where they are too long."""
    # Here, as a server shows no table.
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, show_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        # As Text: what stands in brackets would be markup otherwise, an IPv6 address for one.
        table.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))
    console(stderr=stderr).print(table)


def say(text: str) -> None:
    """Beside the output, on standard error."""
    typer.echo(text, err=True)


def complain(text: str) -> None:
    """Why the command ends, on standard error."""
    say(f"bff: {text}")
