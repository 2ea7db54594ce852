"""The `bff` command: options in, tables and exit codes out; the work is done elsewhere.

Exit codes: 0 well, 1 a command failed or found a fault, 2 wrong usage or configuration.

Each command imports what it needs: the others start faster, and a Ctrl-C at start meets `main`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from bff import __version__, cli_operators
from bff.cli_operators import DOCTOR_TOKEN, AsJson
from bff.errors import SettingsError
from bff.terminal import CommandFailed, complain, print_table, say

if TYPE_CHECKING:
    from bff.serve import Plan
    from bff.settings import Settings
    from bff.spaces import Space

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they show local variables, and those hold tokens
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A caching backend-for-frontend for member portals and mobile apps on Nexudus.",
)

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port, else BFF_PORT.")]
Parent = Annotated[int | None, typer.Option(hidden=True, help="Ends when this process does.")]


def main() -> None:
    """Entry point: what the operator can mend is told, and is no traceback."""
    try:
        app(prog_name="bff")
    except SettingsError as error:
        rows = [(each.variable, each.reason, each.example) for each in error.faults]
        headings = ("variable", "fault", "for example")
        print_table("The configuration has faults", headings, rows, stderr=True)
        sys.exit(2)
    except CommandFailed as error:
        complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:  # before typer takes care of it
        sys.exit(130)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        typer.echo(f"bff {__version__}")
        raise typer.Exit


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address, else BFF_HOST.")] = None,
    port: Port = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes, else BFF_WORKERS.")
    ] = None,
    parent: Parent = None,
) -> None:
    """Run the gateway until SIGINT or SIGTERM.

    Everything else is set by BFF_* variables, which "bff config" shows. More than one worker needs
    a Redis that they share (BFF_REDIS_URL).
    """
    from bff.serve_imports import shared_imports  # noqa: PLC0415

    with shared_imports():
        import structlog  # noqa: PLC0415

        from bff.observe import logs  # noqa: PLC0415
        from bff.observe.tracing import open_tracer  # noqa: PLC0415
        from bff.serve import end_with  # noqa: PLC0415
        from bff.serve import serve as serve_plan  # noqa: PLC0415
        from bff.settings import load  # noqa: PLC0415

    if parent:
        end_with(parent)
    os.environ.pop(DOCTOR_TOKEN, None)  # a member's token is no business of a server
    options = {"host": host, "port": port, "workers": workers}
    given = {name: value for name, value in options.items() if value is not None}
    settings = load().model_copy(update=given)
    settings.check_workers(settings.workers)
    open_tracer(on=settings.traces == "on")  # or a worker after the other would say what is missing
    logs.configure(settings.log_level, settings.log_format)
    structlog.get_logger("bff.server").info(
        "starting",
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        redis=str(settings.redis_url),
        spaces=[space.name for space in settings.space_table.spaces],
    )
    serve_plan(_plan_of(settings))


@app.command()
def sandbox(  # noqa: PLR0913, PLR0917 - the options
    host: Annotated[str, typer.Option(help="Address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 8090,
    space: Annotated[str | None, typer.Option(help="Slug of the space.")] = None,
    members: Annotated[
        int | None, typer.Option(help="Members beside the ten named ones (500).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Names and fields follow from it.")] = None,
    latency_ms: Annotated[
        str | None, typer.Option(help="40, 20-80 or lognormal:60:0.5 for every answer.")
    ] = None,
    throttle: Annotated[
        bool | None, typer.Option("--throttle/--no-throttle", help="The documented limits (on).")
    ] = None,
    jwt: Annotated[bool | None, typer.Option("--jwt/--opaque", help="Form of the tokens.")] = None,
    demo_token: Annotated[str | None, typer.Option(help="A token of Jane Doe's.")] = None,
    parent: Parent = None,
) -> None:
    """Run a simulated Nexudus until SIGINT or SIGTERM.

    What is not given comes from BFF_SANDBOX_* variables. Faults on demand are under /_sandbox/.
    """
    from bff.sandbox.options import PREFIX, OptionsError, options_from_env  # noqa: PLC0415
    from bff.serve import Plan, end_with, free_address  # noqa: PLC0415
    from bff.serve import serve as serve_plan  # noqa: PLC0415

    if parent:
        end_with(parent)
    options: dict[str, object] = {
        "SPACE": space,
        "MEMBERS": members,
        "SEED": seed,
        "LATENCY_MS": latency_ms,
        "THROTTLE": throttle,
        "JWT": jwt,
        "DEMO_TOKEN": demo_token,
    }
    given = {PREFIX + name: str(value) for name, value in options.items() if value is not None}
    try:
        world = options_from_env({**os.environ, **given})
    except OptionsError as error:
        raise typer.BadParameter(str(error)) from None
    os.environ.update(given)  # for the worker
    plan = Plan(
        "bff.sandbox.app:create_app_from_env", host, port, stop_timeout_s=3, log_server=False
    )
    free_address(host, port)  # or it would be told of before
    say(f"Simulated Nexudus, space {world.space}, at http://{host}:{port} (Ctrl-C ends it)")
    serve_plan(plan)


@app.command()
def demo(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the gateway.")] = 8080,
    sandbox_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the simulated Nexudus.")
    ] = 8090,
    upstream: Annotated[
        str, typer.Option(help="A real space instead, such as https://acme.spaces.nexudus.com.")
    ] = "",
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show every request.")] = False,
) -> None:
    """Run the gateway before a simulated Nexudus, and show three commands to paste.

    For trying out: BFF_* variables are not looked at, and the cache lives in the process.
    """
    from bff.demo import Demo, run  # noqa: PLC0415
    from bff.spaces import Space  # noqa: PLC0415

    try:
        origin = Space.parse(upstream).origin.url if upstream else ""
    except ValueError as error:
        raise typer.BadParameter(f"it {error}.", param_hint="--upstream") from None
    if not origin and port == sandbox_port:
        raise typer.BadParameter("it is the gateway's own port.", param_hint="--sandbox-port")
    asyncio.run(run(Demo(port, sandbox_port, origin, verbose), typer.echo, say))


@app.command()
def config(json: AsJson = False) -> None:
    """Show the effective settings and where each comes from. Secrets stay hidden."""
    from bff.settings import load  # noqa: PLC0415
    from bff.settings_doc import describe  # noqa: PLC0415

    lines = describe(load(_environment()))
    if json:
        shown = {each.variable: {"value": each.value, "source": each.source} for each in lines}
        typer.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2))
        return
    rows = [(each.variable, each.value, each.source) for each in lines]
    print_table("", ("variable", "value", "from"), rows)


@app.command(name="doctor")
def examine(
    token: Annotated[
        str, typer.Option(envvar=DOCTOR_TOKEN, help="Access token of a member.", show_default=False)
    ] = "",
    space: Annotated[str, typer.Option(help="The token's space, where several are served.")] = "",
    json: AsJson = False,
) -> None:
    """Look at settings, Nexudus, Redis and clocks, and say what to do. Exits 1 on a fault.

    With a member's token, Nexudus' own _shape is compared with the projection made here: run that
    once before an app is pointed here. Differences are told by path, never with what members wrote.
    """
    from bff import doctor  # noqa: PLC0415
    from bff.settings import load  # noqa: PLC0415

    try:
        settings = load(_environment())
    except SettingsError as error:
        findings = doctor.misconfigured(error)
    else:
        subject = doctor.Subject(settings, _space_of(settings, space, token), token)
        findings = asyncio.run(doctor.examine(subject))
    if json:
        typer.echo(doctor.as_json(findings))
    else:
        rows = [(each.check, each.result.value, each.detail, each.remedy) for each in findings]
        print_table("", ("check", "result", "detail", "what to do"), rows)
    if doctor.worst(findings) is doctor.Result.FAULT:
        raise typer.Exit(1)


cli_operators.add_to(app)


def _plan_of(settings: Settings) -> Plan:
    from bff.serve import Plan  # noqa: PLC0415

    return Plan(
        "bff.app:create_app",
        settings.host,
        settings.port,
        settings.workers,
        stop_timeout_s=settings.stop_timeout_s,
        drain_s=settings.drain_s,
        modules=_modules_for(settings),
        # A worker that is replaced goes on with what the others have.
        arguments=(settings,),
    )


def _modules_for(settings: Settings) -> tuple[str, ...]:
    """Those that a gateway imports with these settings, and not with any."""
    needed = {"bff.attended": bool(settings.operators), "bff.cache.embedded": settings.embedded}
    return tuple(name for name, is_needed in needed.items() if is_needed)


def _environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if name != DOCTOR_TOKEN}


def _space_of(settings: Settings, name: str, token: str) -> Space:
    spaces = settings.space_table.spaces
    if not name and (len(spaces) == 1 or not token):
        return spaces[0]
    try:
        return settings.space_table.by_name(name)
    except KeyError:
        known = ", ".join(each.name for each in spaces)
        raise typer.BadParameter(f"it must be one of: {known}.", param_hint="--space") from None


if __name__ == "__main__":
    main()
