"""`/_sandbox/…`: faults, counters, tokens and changes behind the API's back, over HTTP.

Never throttled, delayed, counted or hit by a fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bff.sandbox.answers import Refusal, encoded, id_of
from bff.sandbox.auth import EXPIRES_IN_S, Tokens
from bff.sandbox.calls import LOG_KEPT, Calls
from bff.sandbox.faults import Faults, rules_from_json
from bff.sandbox.forms import read_form, strict
from bff.sandbox.holds import Holds
from bff.sandbox.model import Behaviour
from bff.sandbox.throttle import Limit, Throttle
from bff.sandbox.world import UnknownCoworker, UnknownMember, World

Endpoint = Callable[[Request], Awaitable[Response]]

HELD_WAIT_S = 10.0


@strict
@dataclass(frozen=True, slots=True)
class MintForm:
    """One token for `user_id`, or one for each of `user_ids`, or for everybody (`everyone`)."""

    user_id: int | None = None
    user_ids: tuple[int, ...] = ()
    everyone: bool = False
    ttl_s: float = EXPIRES_IN_S
    jwt: bool | None = None
    text: str | None = None


@strict
@dataclass(frozen=True, slots=True)
class EditForm:
    """Fields of a coworker by their JSON names, known or new."""

    coworker_id: int
    fields: dict[str, Any] = field(default_factory=dict)


@strict
@dataclass(frozen=True, slots=True)
class SwitchForm:
    """Which profile becomes the active one, as if switched elsewhere."""

    user_id: int
    coworker_id: int


@strict
@dataclass(frozen=True, slots=True)
class ReleaseForm:
    """How many held requests go on; all without a number."""

    count: int | None = None


@strict
@dataclass(frozen=True, slots=True)
class ThrottleForm:
    """Turns the throttle on or off; either way it forgets what it has admitted.

    `limits`: other ones than those in force.
    """

    enabled: bool
    limits: tuple[Limit, ...] | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """The routes that drive a sandbox from outside its process."""

    world: World
    tokens: Tokens
    calls: Calls
    throttle: Throttle
    faults: Faults
    holds: Holds

    def routes(self) -> list[BaseRoute]:
        def route(path: str, endpoint: Endpoint, method: str = "GET") -> Route:
            return Route(f"/_sandbox/{path}", _explained(endpoint), methods=[method])

        return [
            route("healthz", self.health),
            route("members", self.members),
            route("faults", self.list_faults),
            route("faults", self.put_faults, "PUT"),
            route("faults", self.delete_faults, "DELETE"),
            route("held", self.held),
            route("release", self.release, "POST"),
            route("calls", self.list_calls),
            route("calls", self.delete_calls, "DELETE"),
            route("log", self.log),
            route("tokens", self.mint, "POST"),
            route("tokens", self.revoke, "DELETE"),
            route("edit", self.edit, "POST"),
            route("switch", self.switch, "POST"),
            route("behaviour", self.behave, "PUT"),
            route("throttle", self.show_throttle),
            route("throttle", self.set_throttle, "PUT"),
        ]

    async def health(self, _: Request) -> Response:
        return _json({"status": "ok", "space": self.world.business.space})

    async def members(self, _: Request) -> Response:
        """`[{user_id, email, full_name, coworker_ids, current_id, published_ids, …}]`."""
        published = {each.id for each in self.world.coworkers() if each.published}
        return _json(
            [
                {
                    "user_id": member.user_id,
                    "email": member.email,
                    "full_name": member.full_name,
                    "coworker_ids": member.coworker_ids,
                    "current_id": member.current_id,
                    "published_ids": [each for each in member.coworker_ids if each in published],
                    "active": member.active,
                    "admin": member.admin,
                    "customer": member.customer,
                    "sign_in": member.sign_in.name.lower(),
                }
                for member in self.world.members()
            ]
        )

    async def list_faults(self, _: Request) -> Response:
        return _json(self.faults.report())

    async def put_faults(self, request: Request) -> Response:
        """Replaces all rules by a JSON list of them."""
        rules = rules_from_json(await request.body())
        self.faults.replace(rules)
        return _json({"rules": len(rules)})

    async def delete_faults(self, _: Request) -> Response:
        """Removes all rules and lets every held request go on."""
        self.faults.clear()
        return _json({"released": self.holds.release()})

    async def held(self, request: Request) -> Response:
        """`{held}`; with `?at_least=`, waits up to `?timeout_s=` for so many, 408 if in vain."""
        at_least = id_of(request.query_params.get("at_least", "0"))
        timeout_s = float(request.query_params.get("timeout_s", HELD_WAIT_S))
        try:
            await asyncio.wait_for(self.holds.wait_held(at_least), timeout_s)
        except TimeoutError:
            return _json({"held": self.holds.held}, 408)
        return _json({"held": self.holds.held})

    async def release(self, request: Request) -> Response:
        form = read_form(ReleaseForm, await request.body())
        return _json({"released": self.holds.release(form.count)})

    async def list_calls(self, _: Request) -> Response:
        return _json({**self.calls.report(), "throttled": self.throttle.refused})

    async def delete_calls(self, _: Request) -> Response:
        self.calls.reset()
        return Response(status_code=204)

    async def log(self, request: Request) -> Response:
        """The `?last=` requests, oldest first."""
        last = id_of(request.query_params.get("last", str(LOG_KEPT)))
        return _json([visit.report() for visit in self.calls.log(last)])

    async def mint(self, request: Request) -> Response:
        """`{tokens: [{user_id, token}]}`, and the first one's fields beside it."""
        form = read_form(MintForm, await request.body())
        ids = [*([] if form.user_id is None else [form.user_id]), *form.user_ids]
        if form.everyone:
            ids += [member.user_id for member in self.world.members()]
        if not ids or (form.text is not None and len(ids) > 1):
            raise Refusal(400, "name a user_id; a text is for one token only")
        for user_id in ids:
            self.world.member(user_id)
        minted = [
            {
                "user_id": user_id,
                "token": self.tokens.mint(user_id, ttl_s=form.ttl_s, jwt=form.jwt, text=form.text),
            }
            for user_id in ids
        ]
        return _json({**minted[0], "tokens": minted})

    async def revoke(self, request: Request) -> Response:
        """`{revoked}`: `?token=` ends one access token, `?user_id=` all tokens of a user."""
        query = request.query_params
        if "token" in query:
            return _json({"revoked": self.tokens.revoke(query["token"])})
        if "user_id" in query:
            return _json({"revoked": self.tokens.revoke_user(id_of(query["user_id"]))})
        raise Refusal(400, "name a token or a user_id")

    async def edit(self, request: Request) -> Response:
        form = read_form(EditForm, await request.body())
        fields = cast(Mapping[str, object], form.fields)
        return _json(dict(self.world.edit(form.coworker_id, fields).core))

    async def switch(self, request: Request) -> Response:
        form = read_form(SwitchForm, await request.body())
        return _json({"switched": self.world.switch(form.user_id, form.coworker_id).name.lower()})

    async def behave(self, request: Request) -> Response:
        """Sets all behaviours; those not named are off."""
        self.world.behaviour = read_form(Behaviour, await request.body())
        return _json(self.world.behaviour)

    async def set_throttle(self, request: Request) -> Response:
        form = read_form(ThrottleForm, await request.body())
        self.throttle.enabled = form.enabled
        self.throttle.reset()
        if form.limits is not None:
            self.throttle.limit(form.limits)
        return await self.show_throttle(request)

    async def show_throttle(self, _: Request) -> Response:
        """`{enabled, refused, windows: [{calls, window_s, writes_only, used, peak, refused}]}`."""
        windows, refused = self.throttle.report(), self.throttle.refused
        return _json({"enabled": self.throttle.enabled, "refused": refused, "windows": windows})


def _json(value: object, status: int = 200) -> Response:
    return encoded(orjson.dumps(value), status)


def _explained(endpoint: Endpoint) -> Endpoint:
    """Faults of the test that drives the sandbox are told to it, not raised in the server."""

    @wraps(endpoint)
    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (UnknownMember, UnknownCoworker) as unknown:
            return _json({"error": f"{type(unknown).__name__}: {unknown}"}, 404)
        except ValueError as error:
            return _json({"error": str(error)}, 400)

    return answered
