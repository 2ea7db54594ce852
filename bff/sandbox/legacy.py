"""`/{lang}/…`: the older page-mirroring API, HTML unless JSON is asked for (FACTS 1, 5, 7)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from bff.sandbox.answers import Refusal, html, invalid, json_object, shaped
from bff.sandbox.portal import Portal

Endpoint = Callable[[Request], Awaitable[Response]]

_CULTURE = re.compile(r"/[a-z]{2}(-[A-Za-z]{2})?(/|$)")


class CultureRoute(Route):
    """A route below a culture segment such as `/en` or `/pt-BR`; `/api/…` is never one."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if not _CULTURE.match(scope["path"]):
            return Match.NONE, {}
        return super().matches(scope)


@dataclass(frozen=True, slots=True)
class Legacy:
    """The same state as the portal's, in older forms."""

    portal: Portal

    def routes(self) -> list[BaseRoute]:
        return [
            _route("/profile", self.profile),
            _route("/profile", self.save_profile, "POST"),
            _route("/user/me", self.me),
            _route("/coworker/profiles", self.profiles),
            _route("/coworker/setCurrentProfile", self.portal.switch),
            _route("/bookings/my", self.bookings, "POST"),
            CultureRoute(
                "/{culture}/{rest:path}",
                _negotiated(_missing),
                methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            ),
            CultureRoute("/{culture}", _negotiated(_missing)),
        ]

    async def profile(self, request: Request) -> Response:
        """Both records, or the one that `_resource` names."""
        member = self.portal.viewer(request)
        one_time = self.portal.tokens.one_time(member.user_id)
        document = self.portal.documents.legacy_profile(member, one_time)
        resource = request.query_params.get("_resource", ".")
        return shaped(request, document if resource == "." else document.get(resource))

    async def save_profile(self, request: Request) -> Response:
        """`{CreateUser, Coworker: {…}}`; passwords and pictures are ignored."""
        member = self.portal.viewer(request)
        fields = (await json_object(request)).get("Coworker")
        if not isinstance(fields, dict):
            raise invalid("Coworker", None, "is a required field")
        return self.portal.edited(member, cast(Mapping[str, object], fields))

    async def me(self, request: Request) -> Response:
        member = self.portal.viewer(request)
        one_time = self.portal.tokens.one_time(member.user_id)
        return shaped(request, self.portal.documents.me(member, one_time))

    async def profiles(self, request: Request) -> Response:
        """The form of this one is not documented."""
        member = self.portal.viewer(request)
        return shaped(request, {"Profiles": self.portal.documents.profile_list(member)})

    async def bookings(self, request: Request) -> Response:
        """A POST that only reads (FACTS 5.4)."""
        member = self.portal.viewer(request)
        booking = {
            "Id": member.user_id * 10,
            "ResourceName": "Meeting room 1",
            "FromTime": "2026-01-15T10:00:00Z",
            "ToTime": "2026-01-15T11:00:00Z",
            "CoworkerId": member.current_id,
        }
        return shaped(request, {"MyBookings": [] if member.current_id is None else [booking]})


async def _missing(_: Request) -> Response:
    raise Refusal(404)


def _route(path: str, endpoint: Endpoint, method: str = "GET") -> CultureRoute:
    return CultureRoute("/{culture}" + path, _negotiated(endpoint), methods=[method])


def _negotiated(endpoint: Endpoint) -> Endpoint:
    """Runs the endpoint either way: only the answer depends on what the caller accepts."""

    async def answered(request: Request) -> Response:
        accepted = "application/json" in request.headers.get("accept", "")
        try:
            response = await endpoint(request)
        except Refusal:
            if accepted:
                raise
            return html()
        return response if accepted else html()

    return answered
