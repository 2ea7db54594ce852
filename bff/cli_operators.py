"""The commands of `bff` that ask a running gateway: purge, explain, top."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated, Final

import orjson
import typer

from bff.terminal import CommandFailed, console, print_table

DOCTOR_TOKEN: Final = "BFF_DOCTOR_TOKEN"  # noqa: S105 - the name of a variable

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Url = Annotated[str, typer.Option("--url", help="Origin of the gateway.")]
OpsToken = Annotated[
    str, typer.Option(envvar="BFF_OPS_TOKEN", help="The operator token.", show_default=False)
]
OneSpace = Annotated[str, typer.Option("--space", help="Space, where several are served.")]
DEFAULT_URL: Final = "http://127.0.0.1:8080"
STDIN: Final = "-"


def add_to(app: typer.Typer) -> None:
    """Commands of the same names as the functions."""
    for command in (purge, explain, top):
        app.command()(command)


def purge(  # noqa: PLR0913, PLR0917 - the options
    url: Url = DEFAULT_URL,
    space: OneSpace = "",
    all_spaces: Annotated[
        bool, typer.Option("--all-spaces", help="In every space that is served.")
    ] = False,
    user: Annotated[int | None, typer.Option(min=1, help="Lists of this user id.")] = None,
    coworker: Annotated[
        int | None, typer.Option(min=1, help="Whatever shows this coworker id.")
    ] = None,
    token_digest: Annotated[
        str, typer.Option(help="What is kept for one token, by its digest.")
    ] = "",
    everything: Annotated[bool, typer.Option("--everything", help="The whole space.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --everything.")] = False,
    ops_token: OpsToken = "",
) -> None:
    """Drop what a running gateway has cached, in all its processes, and say how far that got.

    Without a space, the only one that is served is meant; where there are several, one is named,
    or --all-spaces.
    """
    from bff.purge import purge as purge_at  # noqa: PLC0415

    chosen = {
        "user": user,
        "coworker": coworker,
        "token": token_digest or None,
        "everything": everything or None,
    }
    asked: dict[str, object] = {name: value for name, value in chosen.items() if value is not None}
    if len(asked) != 1:
        raise typer.BadParameter(
            "give exactly one of --user, --coworker, --token-digest and --everything."
        )
    if space and all_spaces:
        raise typer.BadParameter("give --space or --all-spaces, not both.")
    _check(ops_token)
    if everything and not yes:
        where = "in all spaces " if all_spaces else f"in {space} " if space else ""
        typer.confirm(f"Drop everything cached {where}at {url}?", abort=True)
    asked |= {"space": space} if space else {"spaces": "all"} if all_spaces else {}
    purged = purge_at(url, ops_token, asked)
    typer.echo(f"{purged.space}: {purged.what} purged.")
    if not purged.stored:
        raise CommandFailed("Redis is away: it is dropped there as soon as it returns.")
    if not purged.everywhere:
        raise CommandFailed("Not every process has confirmed; those stop trusting their copies.")


def explain(  # noqa: PLR0913, PLR0917 - the options
    target: Annotated[
        str, typer.Argument(help="URL as a member's app has it, or a path of --space.")
    ] = "",
    header: Annotated[
        list[str] | None, typer.Option("-H", "--header", help="As curl's: 'Name: value'.")
    ] = None,
    method: Annotated[str, typer.Option(help="Method of the request.")] = "GET",
    request_id: Annotated[
        str, typer.Option(help="Instead: what was decided for a request, by its X-Request-Id.")
    ] = "",
    token: Annotated[
        str,
        typer.Option(
            envvar=DOCTOR_TOKEN,
            help="A member's access token, for want of an Authorization header; - reads one line"
            " of standard input.",
            show_default=False,
        ),
    ] = "",
    url: Url = DEFAULT_URL,
    space: OneSpace = "",
    json: AsJson = False,
    ops_token: OpsToken = "",
) -> None:
    """Say what a running gateway would answer, from where, and which rule decides.

    Nothing is called or changed by it. The member's token is best given by BFF_DOCTOR_TOKEN or
    standard input, which no shell remembers; the gateway makes digests of it and forgets it.
    """
    from bff.explain import Rows, question, show  # noqa: PLC0415
    from bff.explain import explain as explain_at  # noqa: PLC0415

    if bool(target) == bool(request_id):
        raise typer.BadParameter("give a URL, or --request-id.")
    _check(ops_token)
    asked: dict[str, object] = {"request_id": request_id}
    if target:
        given = sys.stdin.readline().strip() if token == STDIN else token
        asked = {**question(target, header or (), given), "method": method}
        asked |= {"space": space} if space else {}
    told = explain_at(url, ops_token, asked)
    if json:
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
        return
    for each in show(told):
        if isinstance(each, Rows):
            print_table("", each.headings, each.rows)
        else:
            typer.echo(each)


def top(
    url: Url = DEFAULT_URL,
    space: Annotated[str, typer.Option(help="One space; all of them without it.")] = "",
    once: Annotated[bool, typer.Option("--once", help="One picture, then end.")] = False,
    json: AsJson = False,
    every: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds between looks.")] = 2.0,
    ops_token: OpsToken = "",
) -> None:
    """Show the figures of all processes on this terminal until Ctrl-C: verdict, traffic, hits,
    calls made and saved, budget, events, processes.
    """
    from bff.top import picture, snapshot, watch  # noqa: PLC0415

    _check(ops_token)
    look = partial(snapshot, url, ops_token, space)
    if json:
        typer.echo(orjson.dumps(look(), option=orjson.OPT_INDENT_2))
    elif once:
        console().print(picture(look()))
    else:
        watch(look, console(), every)


def _check(ops_token: str) -> None:
    if not ops_token:
        raise typer.BadParameter("it is missing.", param_hint="--ops-token or BFF_OPS_TOKEN")
