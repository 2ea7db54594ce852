"""`/api/public/coworker…`: profile list, its mutations, and the directory (FACTS 3-5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bff.sandbox.answers import (
    Refusal,
    confirmation,
    encoded,
    failure,
    id_of,
    invalid,
    json_object,
    shape_text,
    shaped,
)
from bff.sandbox.auth import Tokens, bearer_of
from bff.sandbox.directory import PAGE_SIZE_MAX, Directory, Listing, NotPublished
from bff.sandbox.documents import Documents
from bff.sandbox.model import Member
from bff.sandbox.seed import SOCIAL
from bff.sandbox.world import Switched, World

# What a member may change of their own profile (FACTS 5.2); anything else is ignored.
_PERSONAL = (
    "FullName NickName Salutation Gender DateOfBirth MobilePhone LandLine Address PostCode "
    "CityName State CountryId TaxIDNumber Position CompanyName BusinessArea ProfileSummary "
    "ProfileWebsite ProfileIsPublic ProfileTags EmergencyContact EmergencyContactPhone"
)
_EDITABLE = frozenset((*_PERSONAL.split(), *SOCIAL))
_EDITABLE_PREFIXES = ("Billing", "NotifyOn", "EmailFor", "Custom")


@dataclass(frozen=True, slots=True)
class Portal:
    """Routes of the member portal's own API. Every one of them wants a bearer token."""

    world: World
    tokens: Tokens
    documents: Documents
    directory: Directory

    def routes(self) -> list[BaseRoute]:
        """The two busiest first, since routes are tried in order."""
        coworkers = "/api/public/coworkers"
        return [
            Route(f"{coworkers}/profiles", self.profiles),
            Route(f"{coworkers}/published/{{coworker_id}}/related", self.related),
            Route(f"{coworkers}/profiles", self.create, methods=["POST"]),
            Route(f"{coworkers}/profiles/current", self.switch, methods=["PUT"]),
            Route(f"{coworkers}/profiles/current/benefits", self.benefits),
            Route("/api/public/coworker/profile", self.update, methods=["PATCH"]),
            Route(f"{coworkers}/published", self.published),
            Route(f"{coworkers}/published/{{coworker_id}}", self.published_one),
            Route(f"{coworkers}/directory/meta", self.meta),
        ]

    async def profiles(self, request: Request) -> Response:
        token = bearer_of(request.scope["headers"])
        member = self.member(token)
        if self.world.behaviour.variants:
            document = self.documents.profiles(member.user_id, token)
            return shaped(request, {**document, **_variant(request)})
        if shape_text(request):
            return shaped(request, self.documents.profiles(member.user_id, token))
        return encoded(self.documents.profiles_body(member.user_id, token))

    async def related(self, request: Request) -> Response:
        viewer = self.viewer(request)
        coworker_id = id_of(request.path_params["coworker_id"])
        behaviour = self.world.behaviour
        try:
            if behaviour.viewer_threads:
                document = self.directory.related_for(coworker_id, viewer.user_id)
            elif behaviour.variants or shape_text(request):
                document = self.directory.related(coworker_id)
            else:
                return encoded(self.directory.related_body(coworker_id))
        except NotPublished:
            raise Refusal(404) from None
        return shaped(
            request, {**document, **_variant(request)} if behaviour.variants else document
        )

    async def switch(self, request: Request) -> Response:
        """PUT `?coworkerId=`; also the legacy GET that mutates (FACTS 5.1)."""
        member = self.viewer(request)
        asked = request.query_params.get("coworkerId", "")
        if id_of(asked) < 0:
            raise invalid("coworkerId", asked or None, "is a required field")
        match self.world.switch(member.user_id, id_of(asked)):
            case Switched.DONE:
                return encoded(orjson.dumps(confirmation()))
            case Switched.INACTIVE:
                body = failure("coworkerId", asked, "Profile is not active.")
                return encoded(orjson.dumps(body))
            case Switched.NOT_YOURS:
                raise Refusal(404)
            case outcome:
                assert_never(outcome)

    async def create(self, request: Request) -> Response:
        """A new profile of the caller; its form is not documented (FACTS 5.2)."""
        member = self.viewer(request)
        fields = editable(await json_object(request))
        created = self.world.add_profile(member.user_id, fields)
        body = confirmation({"Id": created.id}, "Record was successfully created.")
        return encoded(orjson.dumps(body))

    async def update(self, request: Request) -> Response:
        """A partial edit of the active profile."""
        member = self.viewer(request)
        return self.edited(member, await json_object(request))

    def edited(self, member: Member, fields: Mapping[str, object]) -> Response:
        """Edits the active profile of a member. Raises Refusal 400."""
        changes = editable(fields)
        if "FullName" in changes and not changes["FullName"]:
            raise invalid("FullName", changes["FullName"], "is a required field")
        if not isinstance(changes.get("ProfileTags", ""), str | None):
            raise invalid("ProfileTags", changes["ProfileTags"], "is not valid")
        if member.current_id is None:
            return encoded(orjson.dumps(failure("Coworker", None, "Profile not found.")))
        self.world.edit(member.current_id, changes)
        return encoded(orjson.dumps(confirmation()))

    async def benefits(self, request: Request) -> Response:
        return shaped(request, self.documents.benefits(self.viewer(request)))

    async def published(self, request: Request) -> Response:
        self.viewer(request)
        query = request.query_params
        page, size = id_of(query.get("page", "1")), id_of(query.get("size", "25"))
        if page < 1 or size < 1:
            raise invalid("page" if page < 1 else "size", None, "is not valid")
        listing = Listing(
            query.get("query", ""), query.get("tag", ""), page, min(size, PAGE_SIZE_MAX)
        )
        return shaped(request, self.directory.listing(listing))

    async def published_one(self, request: Request) -> Response:
        self.viewer(request)
        try:
            document = self.directory.one(id_of(request.path_params["coworker_id"]))
        except NotPublished:
            raise Refusal(404) from None
        return shaped(request, document)

    async def meta(self, request: Request) -> Response:
        self.viewer(request)
        return shaped(request, self.directory.meta())

    def viewer(self, request: Request) -> Member:
        """Who asks. Raises Refusal 401 for a bad token or a member of another place."""
        return self.member(bearer_of(request.scope["headers"]))

    def member(self, token: str) -> Member:
        """Whom the token stands for. Raises Refusal 401."""
        member = self.world.member(self.tokens.user_of(token))
        if not member.customer:
            raise Refusal(401)
        return member


def editable(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields that a member may set."""
    return {
        name: value
        for name, value in fields.items()
        if name in _EDITABLE or name.startswith(_EDITABLE_PREFIXES)
    }


def _variant(request: Request) -> dict[str, object]:
    headers = request.headers
    return {
        "Culture": headers.get("accept-language", ""),
        "UseTimezone": headers.get("x-use-timezone", ""),
    }
