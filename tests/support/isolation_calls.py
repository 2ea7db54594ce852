"""How the machine's callers call: what was drawn becomes requests; writes are looked up after."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import quote

from tests.support.isolation_answers import Answer, Issued, Request, Route
from tests.support.isolation_asks import CODINGS, LATEST, READS, Ask, Write
from tests.support.isolation_model import (
    ACTIVE_AT_FIRST,
    OWNERS,
    SPACES,
    Json,
    Truth,
    first_fields,
)
from tests.support.isolation_stage import Stage

PATIENCE_S: Final = 0.05
"""How long a call may wait for one that is held, before that one is let go."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks where: a token of a space, or whatever stands in `Authorization` instead."""

    space: str
    authorization: str | None

    @property
    def token(self) -> str | None:
        scheme, _, token = (self.authorization or "").partition(" ")
        return token if scheme == "Bearer" and token else None

    def headers(self) -> dict[str, str]:
        return {} if self.authorization is None else {"authorization": self.authorization}


async def reset(stage: Stage, truth: Truth) -> None:
    """Nothing is cached or failing, everybody is as at first."""
    await asyncio.gather(*(_reset(stage, truth, space) for space in SPACES))


async def _reset(stage: Stage, truth: Truth, space: str) -> None:
    await stage.control(space, "DELETE", "faults")
    await stage.idle(space)
    for coworker in OWNERS:
        fields = first_fields(space, coworker, truth.new_mark())
        record = await edit(stage, space, coworker, fields)
        truth.edit(space, coworker, record, stage.time.wall())
    for user, coworker in ACTIVE_AT_FIRST.items():
        await switch(stage, space, user, coworker)
    await stage.purge(0, space, {"everything": True})


async def edit(stage: Stage, space: str, coworker: int, fields: Json) -> Json:
    """Sets fields in Nexudus itself; the coworker's record after that."""
    form = {"coworker_id": coworker, "fields": fields}
    return cast(Json, await stage.control(space, "POST", "edit", form))


async def switch(stage: Stage, space: str, user: int, coworker: int) -> None:
    """Switches in Nexudus itself."""
    form = {"user_id": user, "coworker_id": coworker}
    await stage.control(space, "POST", "switch", form)


def request_of(caller: Caller, ask: Ask, issued: Issued) -> Request:
    """The read that `caller` sends, its validators looked up among those handed out."""
    coding = CODINGS[ask.coding][1]
    ident = ask.coworker if ask.route is Route.RELATED else 0
    plain = Request(
        caller.space, caller.token, ask.route, ident, ask.shape, ask.language, coding, ()
    )
    found = (_validator(plain, number, issued) for number in ask.validators)
    return plain.with_validators(tuple(etag for etag in found if etag is not None))


def _validator(request: Request, number: int, issued: Issued) -> str | None:
    known = issued.order
    if number != LATEST:
        return known[-1 - number % len(known)] if known else None
    own = (request.identity(request.coding), request.identity("identity"))
    return next((etag for etag in reversed(known) if issued.of[etag][0] in own), None)


async def read(stage: Stage, caller: Caller, ask: Ask, request: Request) -> Answer:
    """One read through a gateway."""
    query = [f"_shape={quote(ask.shape)}"] if ask.shape else []
    if ask.route is Route.BOOTSTRAP and ask.hinted:
        query.append(f"coworkerId={ask.coworker}")
    headers = caller.headers()
    if coding := CODINGS[ask.coding][0]:
        headers["accept-encoding"] = coding
    if ask.language:
        headers["accept-language"] = ask.language
    if request.validators:
        headers["if-none-match"] = ", ".join(request.validators)
    path = ask.route.value.format(id=ask.coworker)
    target = f"{path}?{'&'.join(query)}" if query else path
    return await stage.ask(ask.gateway, caller.space, "GET", target, headers)


async def write(stage: Stage, caller: Caller, asked: Write, fields: Json) -> Answer:
    """One write through a gateway; `fields` are what an edit sets."""
    method, target = asked.verb.value
    target = target.format(coworker=asked.coworker)
    headers = caller.headers()
    body: Json | None = None
    if not asked.verb.switches:
        body = {"CreateUser": False, "Coworker": fields} if asked.verb.legacy else fields
    return await stage.ask(asked.gateway, caller.space, method, target, headers, body)


async def happened(stage: Stage, space: str, asked: Write, before: int, fields: Json) -> bool:
    """Whether a write took effect, whatever its answer; `before`: the active profile before it."""
    if not asked.verb.switches:
        record = await edit(stage, space, before, {})
        return record["Position"] == fields["Position"]
    members = await stage.control(space, "GET", "members")
    [now] = [each["current_id"] for each in members if before in each["coworker_ids"]]
    return bool(now != before)


async def start_held(
    stage: Stage, caller: Caller, task: asyncio.Task[Answer], *, already: bool
) -> bool:
    """Whether a call to Nexudus is held: waits for that, or for an answer without any call."""
    if already:
        await asyncio.wait({task}, timeout=PATIENCE_S)
        return True
    path = "held?at_least=1&timeout_s=1"
    held = asyncio.create_task(stage.control(caller.space, "GET", path))
    await asyncio.wait({task, held}, return_when=asyncio.FIRST_COMPLETED)
    if not held.done() and "ttl=-" in task.result().headers.get("cache-status", ""):
        await asyncio.wait({held}, timeout=PATIENCE_S)  # a refresh behind a stale answer
    if not held.done():
        held.cancel()
    await asyncio.wait({held})
    return not held.cancelled() and held.result()["held"] > 0


def hold_of(caller: Caller) -> Json:
    """A rule that holds the caller's next call for a list, its answer made already."""
    match: Json = {"method": "GET", "path_regex": READS, "token": caller.token}
    return {"effect": {"kind": "hang"}, "match": match, "count": 1}


async def left(tasks: Iterable[asyncio.Task[Answer]]) -> None:
    """Close the connections of calls under way."""
    leaving = list(tasks)
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)


async def finished(
    tasks: Iterable[asyncio.Task[Answer]], limit_s: float | None = None
) -> set[asyncio.Task[Answer]]:
    """Wait for all; those that are still under way after `limit_s`."""
    waiting = set(tasks)
    if waiting:
        _, waiting = await asyncio.wait(waiting, timeout=limit_s)
    return waiting
