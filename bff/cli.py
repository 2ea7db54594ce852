"""The `bff` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from granian import Granian
from granian.constants import Interfaces
from rich.console import Console
from rich.table import Table

from bff.errors import SettingsError
from bff.settings import load

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="A caching backend-for-frontend for member portals and mobile apps on Nexudus.",
)
out = Console()
err = Console(stderr=True)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
) -> None:
    """Run the gateway."""
    settings = load()
    count = workers or settings.workers
    settings.check_workers(count)
    Granian(
        "bff.app:create_app",
        address=host or settings.host,
        port=port or settings.port,
        interface=Interfaces.ASGI,
        factory=True,
        workers=count,
        log_access=False,
        log_enabled=False,
        respawn_failed_workers=True,
        workers_kill_timeout=10,
    ).serve()


@app.command()
def sandbox(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8090,
) -> None:
    """Run a simulated Nexudus."""
    Granian(
        "bff.sandbox.app:create_app_from_env",
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        factory=True,
        log_enabled=False,
        workers_kill_timeout=3,
    ).serve()


def main() -> None:
    """Entry point: faults of the configuration are printed, not raised."""
    try:
        app()
    except SettingsError as error:
        table = Table(title="The configuration has faults", title_justify="left", show_edge=False)
        for heading in ("variable", "fault", "for example"):
            table.add_column(heading, overflow="fold")
        for fault in error.faults:
            table.add_row(fault.variable, fault.reason, fault.example)
        err.print(table)
        sys.exit(2)
