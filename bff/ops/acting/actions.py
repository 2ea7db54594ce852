"""What operators do: drop, pause, set, have explained. Each is one line of the audit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.cache.invalidation import Invalidator
from bff.errors import Overloaded, ParameterError, StoreUnavailable, UnknownRequest
from bff.ops.access.audit import DONE, PENDING, Deed
from bff.ops.access.bodies import MAX_QUESTION, json_answer, json_object, named_space
from bff.ops.access.operators import Operators, Role, operator_of
from bff.ops.acting.purging import carry_out, read_purge
from bff.ops.explaining.explain import Explainer
from bff.ops.explaining.questions import read_question
from bff.ops.explaining.trail import KEPT, Elsewhere, Trail
from bff.ops.fleet.shared import LOG_LEVEL, REFRESHES_PAUSED, Controls, takes_nothing
from bff.session.reads import Reads
from bff.session.sharing import Sharing

LEVELS = ("debug", "info", "warning", "error")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class Wishes(Elsewhere, Protocol):
    """What operators want of every process, and what the others know. `bff.ops.fleet.shared`."""

    async def set_control(self, name: str, value: object, who: str) -> None:
        """Raises StoreUnavailable."""
        ...


def obeying(reads: Reads, set_level: Callable[[str], None]) -> Callable[[Controls], None]:
    """What this process does when a control changes, whoever changed it and where."""

    def obey(controls: Controls) -> None:
        reads.refreshes_paused = controls.refreshes_paused
        set_level(controls.log_level)

    return obey


class Actions:
    """The operators' API but for figures. What is known of a request is asked of `trail`, then of
    the fleet."""

    def __init__(
        self,
        operators: Operators,
        invalidator: Invalidator,
        sharing: Sharing,
        fleet: Wishes,
        explainer: Explainer,
        trail: Trail,
    ) -> None:
        self._operators = operators
        self._invalidator = invalidator
        self._sharing = sharing
        self._fleet = fleet
        self._explainer = explainer
        self._trail = trail

    def routes(self) -> list[Route]:
        """To be put before everything that belongs to a space."""
        acts = {
            "/ops/api/purge": self._purge,
            "/ops/api/sharing": self._share,
            "/ops/api/refreshes": self._refreshes,
            "/ops/api/log-level": self._log_level,
        }
        route = self._operators.route
        return [
            *(route("POST", path, handler, Role.ACT) for path, handler in acts.items()),
            route("POST", "/ops/api/explain", self._explain),
            *self._operators.routes(),
        ]

    async def _purge(self, request: Request) -> Response:
        purge = read_purge(await json_object(request), self._explainer.table)
        with self._operators.audit.of(_deed(request, "purge", purge.space, purge.what)) as deed:
            reach = await carry_out(purge, self._invalidator)
            deed.outcome = DONE if reach.everywhere else PENDING
        return json_answer(
            {
                "space": purge.space,
                "spaces": purge.spaces,
                "purged": purge.what,
                "stored": reach.stored,
                "everywhere": reach.everywhere,
            }
        )

    async def _share(self, request: Request) -> Response:
        asked = await json_object(request)
        space, scope = named_space(asked, self._explainer.table), asked.get("scope")
        if self._sharing.is_set_by_hand(space):
            raise ParameterError("BFF_RELATED_SCOPE=token decides this; change the configuration.")
        if scope not in ("coworker", "token"):
            raise ParameterError('Send {"space": …, "scope": "coworker"} or "token".')
        what = f"related lists for each {scope}"
        with self._operators.audit.of(_deed(request, "sharing", space, what)) as deed:
            try:
                if scope == "coworker":
                    await self._sharing.restore(space)
                else:
                    await self._sharing.demote(space)
            except StoreUnavailable as error:
                raise _away(error) from None
            deed.outcome = DONE
        return json_answer({"space": space, "scope": scope})

    async def _refreshes(self, request: Request) -> Response:
        paused = (await json_object(request)).get("paused")
        if not isinstance(paused, bool):
            raise ParameterError('Send {"paused": true} or {"paused": false}.')
        what = "paused" if paused else "resumed"
        await self._set(_deed(request, "refreshes", "", what), REFRESHES_PAUSED, paused)
        return json_answer({"paused": paused})

    async def _log_level(self, request: Request) -> Response:
        level = (await json_object(request)).get("level")
        if not isinstance(level, str) or level not in LEVELS:
            raise ParameterError(f'Send {{"level": …}}, one of: {", ".join(LEVELS)}.')
        await self._set(_deed(request, "log-level", "", level), LOG_LEVEL, level)
        return json_answer({"level": level})

    async def _set(self, deed: Deed, name: str, value: object) -> None:
        with self._operators.audit.of(deed):
            try:
                await self._fleet.set_control(name, value, deed.operator)
            except StoreUnavailable as error:
                raise _away(error) from None
            deed.outcome = DONE

    async def _explain(self, request: Request) -> Response:
        asked = await json_object(request, MAX_QUESTION)
        if "request_id" in asked:
            return await self._remembered(request, asked)
        question = read_question(asked, self._explainer.table)
        explained = await self._explainer.explain(question)
        what = f"{explained.route} {explained.digest}".strip()
        deed = _deed(request, "explain", explained.space, what)
        deed.outcome, deed.quiet = DONE, True
        self._operators.audit.tell(deed)
        return json_answer(explained.content)

    async def _remembered(self, request: Request, asked: dict[str, object]) -> Response:
        name = asked["request_id"]
        if not isinstance(name, str) or not _REQUEST_ID.fullmatch(name) or len(asked) > 1:
            raise ParameterError(
                'Send {"request_id": …} alone: the X-Request-Id of an answer, of 8 to 64 letters, '
                "digits, `.`, `_` and `-`."
            )
        deed = _deed(request, "explain", "", f"request {name}")
        deed.quiet = True
        with self._operators.audit.of(deed):
            told = self._trail.told(name)
            if told is None:
                try:
                    told = await self._fleet.ask(name)
                except StoreUnavailable:
                    told = None
            if told is None:
                raise UnknownRequest(
                    "No process that answers remembers this request: each remembers the latest "
                    f"{KEPT:,} of members to cached routes, and some that failed, until it ends."
                )
            deed.outcome = DONE
        return json_answer(told)


def _deed(request: Request, action: str, space: str, what: str) -> Deed:
    return Deed(operator_of(request).name, action, space, what)


def _away(error: StoreUnavailable) -> Overloaded:
    if takes_nothing(error):
        return Overloaded(
            f"Redis takes nothing (full, or read-only: {error}), so that no other process would "
            "hear of it: try again once it does.",
            retry_after_s=2,
        )
    return Overloaded(
        f"The shared store is away ({error}), and with it the way to the other processes: try "
        "again once it is back.",
        retry_after_s=2,
    )
