"""`bff top`: the operators' figures on a terminal, once or live."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final
from urllib.parse import quote

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bff.operating import Told, ask
from bff.terminal import CommandFailed

PATH: Final = "/ops/api/snapshot"
EVENTS: Final = 6
COUNTED_FROM: Final = 10
"""Windows of fewer calls, such as one in 100 ms, are for spacing: they are full all the time. As in
`bff.ops.summary.verdict`, which a command does not import: it would load the gateway with it."""
SHAPES: Final = 5
_LEVELS: Final = {"well": "bold green", "impaired": "bold yellow", "failing": "bold white on red"}
_BAR: Final = 20


def snapshot(origin: str, ops_token: str, space: str) -> dict[str, object]:
    """The figures as the gateway at `origin` (a URL) has them. Raises CommandFailed."""
    return ask(origin, ops_token, f"{PATH}?space={quote(space)}" if space else PATH)


def watch(
    look: Callable[[], dict[str, object]],
    console: Console,
    every_s: float,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Show figures until Ctrl-C, which is the way out. Raises CommandFailed if the first look does.

    A gateway that is away later is said, and looked for again. In a file, one picture follows
    the other.
    """
    last = shown = picture(look())
    try:
        with _screen(console) as show:
            while True:
                show(shown)
                pause(every_s)
                try:
                    last = shown = picture(look())
                except CommandFailed as error:
                    shown = Group(Text(f"{error} Trying again.", "bold red"), last)
    except KeyboardInterrupt:
        return


@contextlib.contextmanager
def _screen(console: Console) -> Iterator[Callable[[RenderableType], None]]:
    if not console.is_terminal:
        yield console.print
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield partial(live.update, refresh=True)


def picture(told: dict[str, object]) -> RenderableType:
    """All of it, for one screen."""
    figures = Told(told)
    return Group(*_lines(figures))


def _lines(told: Told) -> Iterator[RenderableType]:
    verdict = told.part("verdict")
    level = verdict.text("level")
    place = told.text("space") or ", ".join(told.texts("spaces")) or "no space"
    yield Text.assemble(
        (f" {level.upper()} ", _LEVELS.get(level, "bold")), " ", verdict.text("headline")
    )
    for cause in verdict.texts("causes"):
        yield Text(f"  - {cause}")
    scope = "all processes" if told.flag("fleet") else "the answering process only"
    yield Text(f"{place}, last hour, {scope}", "dim")
    yield Text("")
    yield _key_figures(told)
    yield _routes(told)
    yield _resources(told)
    yield _nexudus(told)
    yield _processes(told)
    yield from _latest(told)


def _key_figures(told: Told) -> Text:
    latency = told.part("latency")
    saved, made = told.count("calls_saved"), told.count("calls")
    parts = [
        f"requests {told.count('requests'):,} ({told.count('failed'):,} failed)",
        f"p50 {_ms(latency.number('p50_ms'))}, p99 {_ms(latency.number('p99_ms'))}",
        f"bootstraps from cache {_percent(told.number('bootstrap_hit_ratio'))}",
        f"calls made {made:,}, saved {saved:,}",
    ]
    if told.flag("refreshes_paused"):
        parts.append("refreshes paused by operators")
    return Text("   ".join(parts))


def _routes(told: Told) -> Table:
    rows = [
        (
            each.text("route"),
            f"{each.count('requests'):,}",
            f"{each.number('per_second') or 0:.1f}",
            f"{each.count('failed'):,}",
            _ms(each.part("latency").number("p50_ms")),
            _ms(each.part("latency").number("p99_ms")),
        )
        for each in told.parts("routes")
    ]
    return _table(("route", "requests", "per s", "failed", "p50", "p99"), rows)


def _resources(told: Told) -> Table:
    rows = [
        (
            each.text("resource"),
            f"{each.count('reads'):,}",
            _percent(each.number("hit_ratio")),
            _shares(each.pairs("by_outcome")),
            _shares(each.pairs("by_tier")),
        )
        for each in told.parts("resources")
    ]
    return _table(("cached", "reads", "without a call", "outcomes", "tiers"), rows)


def _nexudus(told: Told) -> Table:
    rows = [
        (
            each.text("space"),
            each.text("state"),
            each.text("breaker"),
            _seconds(each.number("paused_s")),
            "",
        )
        for each in told.parts("states")
    ]
    rows += [
        (
            each.text("space"),
            "budget",
            each.text("window"),
            _gauge(each),
            f"{each.count('used'):,} of {each.count('limit'):,}",
        )
        for each in told.parts("budget")
        if each.count("limit") >= COUNTED_FROM
    ]
    return _table(("space", "Nexudus", "breaker, window", "paused, used", ""), rows)


def _processes(told: Told) -> Table:
    rows = [
        (
            f"{each.text('host')}:{each.text('pid')}",
            each.text("version"),
            f"{each.number('seen_s') or 0:.0f} s ago",
            _bytes(each.number("resident_bytes")),
            _bytes(each.number("l1_bytes")),
            f"{each.count('flights')}/{each.count('waiters')}",
            _ms(each.number("loop_lag_ms")),
            _health(each),
        )
        for each in told.parts("processes")
    ]
    headings = ("process", "version", "seen", "memory", "in-process", "flights/waiting", "lag", "")
    return _table(headings, rows)


def _latest(told: Told) -> Iterator[RenderableType]:
    at = told.number("at") or 0.0
    events = sorted(told.parts("events"), key=lambda each: each.number("at") or 0.0)[-EVENTS:]
    if events:
        rows = [
            (_ago(each, at), each.text("space"), each.text("kind"), each.text("text"))
            for each in reversed(events)
        ]
        yield _table(("event", "space", "", ""), rows)
    problems = sorted(told.parts("problems"), key=lambda each: each.number("at") or 0.0)[-EVENTS:]
    if problems:
        rows = [
            (
                _ago(each, at),
                each.text("space"),
                f"{each.text('status')} {each.text('type')}".strip(),
                each.text("request_id"),
            )
            for each in reversed(problems)
        ]
        yield _table(("problem", "space", "", "request id, for bff explain"), rows)
    shapes = told.parts("shapes")[:SHAPES]
    if shapes:
        rows = [
            (
                each.text("shape"),
                each.text("space"),
                f"{each.count('uses'):,}",
                f"{_bytes(each.number('saved'))} spared",
            )
            for each in shapes
        ]
        yield _table(("shape", "space", "uses", ""), rows)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="ellipsis", no_wrap=True)
    for row in rows:
        # As Text: what members can bring about (shapes, routes) must not be markup.
        table.add_row(*map(Text, row))
    return table


def _gauge(window: Told) -> str:
    limit = window.count("limit")
    filled = min(_BAR, round(_BAR * window.count("used") / limit)) if limit else 0
    return "#" * filled + "." * (_BAR - filled)


def _shares(pairs: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {number:,.0f}" for name, number in pairs if number)


def _health(process: Told) -> str:
    faults = [
        word
        for name, word in (("store", "no Redis"), ("bus", "hears nobody"))
        if not process.flag(name)
    ]
    return ", ".join([*faults, *(["stopping"] if process.flag("stopping") else [])]) or "well"


def _ago(each: Told, now: float) -> str:
    seconds = max(0.0, now - (each.number("at") or now))
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} ms"


def _seconds(value: float | None) -> str:
    return f"{value:.0f} s" if value else ""


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.1f}%"


def _bytes(value: float | None) -> str:
    return "-" if value is None else f"{value / 2**20:,.1f} MiB"
