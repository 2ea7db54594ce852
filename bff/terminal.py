"""What the commands say: tables and sentences, on a terminal or in a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Final

import typer

WIDTH_OF_A_FILE: Final = 160
"""Columns of a table that goes to a file or a pipe."""
_STYLES: Final = {"ok": "green", "warning": "yellow", "fault": "bold red"}


class CommandFailed(Exception):
    """A command cannot do what it was asked for; the message is for the operator."""


def print_table(
    title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], *, stderr: bool = False
) -> None:
    """Cells are shown as they are, folded where they are too long."""
    # Here, as a server shows no table.
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, show_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        # As Text: what stands in brackets would be markup otherwise, an IPv6 address for one.
        table.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH_OF_A_FILE
    console.print(table)


def say(text: str) -> None:
    """Beside the output, on standard error."""
    typer.echo(text, err=True)


def complain(text: str) -> None:
    """Why the command ends, on standard error."""
    say(f"bff: {text}")
