"""Token endpoints: sign-in, refresh, one-time tokens, exchange, impersonation (FACTS 2)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bff.sandbox.answers import Refusal, confirmation, encoded, id_of
from bff.sandbox.auth import InvalidGrant, Session, Tokens, bearer_of
from bff.sandbox.model import Member, SignIn
from bff.sandbox.seed import PASSWORD, RESET_TOKEN, TOTP
from bff.sandbox.world import UnknownCoworker, UnknownMember, World

_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Accounts:
    """None of these answers may be stored or logged by whoever passes them on."""

    world: World
    tokens: Tokens

    def routes(self) -> list[BaseRoute]:
        both = ["GET", "POST"]  # sources disagree on the method
        return [
            Route("/api/token", self.token, methods=["POST"]),
            Route("/api/sys/users/token/refresh", self.one_time, methods=both),
            Route("/api/sys/users/exchange", self.exchange, methods=both),
            Route("/api/public/coworkers/{coworker_id}/impersonate", self.impersonate),
        ]

    async def token(self, request: Request) -> Response:
        """Form only. The `client_id` header names the client, the member's e-mail by default."""
        form = await _form(request)
        client_id = request.headers.get("client_id", "")
        match form.get("grant_type"):
            case "password":
                session = self.tokens.issue(self._signed_in(form), client_id)
            case "refresh_token":
                session = self._refreshed(form.get("refresh_token", ""), client_id)
            case _:
                raise Refusal(400, {"error": "unsupported_grant_type"})
        return _session("access_token", session)

    async def one_time(self, request: Request) -> Response:
        """The documented envelope; its `Value` is worth one exchange within half an hour."""
        user_id = self.tokens.user_of(bearer_of(request.scope["headers"]))
        return encoded(orjson.dumps(confirmation(self.tokens.one_time(user_id))))

    async def exchange(self, request: Request) -> Response:
        """One-time token to session, which names its access token `token`."""
        one_time = request.query_params.get("token", "")
        minutes = id_of(request.query_params.get("validForInMinutes", "1440"))
        if not one_time or minutes < 1:
            raise Refusal(400, "not valid")
        try:
            member = self.world.member(self.tokens.spend_one_time(one_time))
        except InvalidGrant:
            raise Refusal(401) from None
        return _session("token", self.tokens.issue(member, ttl_s=minutes * 60))

    async def impersonate(self, request: Request) -> Response:
        """A one-time token of another member, for admins."""
        user_id = self.tokens.user_of(bearer_of(request.scope["headers"]))
        if not self.world.member(user_id).admin:
            raise Refusal(403)
        try:
            coworker = self.world.coworker(id_of(request.path_params["coworker_id"]))
        except UnknownCoworker:
            raise Refusal(404) from None
        return encoded(orjson.dumps({"token": self.tokens.one_time(coworker.user_id)}))

    def _signed_in(self, form: dict[str, str]) -> Member:
        wrong = Refusal(
            400,
            {
                "error": "invalid_grant",
                "error_description": "The email or password is incorrect.",
            },
        )
        try:
            member = self.world.member_by_email(form.get("username", ""))
        except UnknownMember:
            raise wrong from None
        if form.get("password") != PASSWORD or not (member.active and member.customer):
            raise wrong
        if member.sign_in is SignIn.MUST_RESET:
            described = {"error": "must_reset_password", "error_description": RESET_TOKEN}
            raise Refusal(400, described)
        if member.sign_in is SignIn.TWO_FACTOR and form.get("totp") != TOTP:
            raise Refusal(400, {"error": "two_factor_auth_check"})
        return member

    def _refreshed(self, refresh_token: str, client_id: str) -> Session:
        try:
            user_id = self.tokens.spend_refresh(refresh_token, client_id)
        except InvalidGrant:
            raise Refusal(400, {"error": "invalid_grant"}) from None
        return self.tokens.issue(self.world.member(user_id), client_id)


async def _form(request: Request) -> dict[str, str]:
    body = await request.body()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return {}
    pairs = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in pairs.items()}


def _session(token_name: str, session: Session) -> Response:
    body = {
        token_name: session.access_token,
        "token_type": "bearer",
        "expires_in": session.expires_in,
        "refresh_token": session.refresh_token,
    }
    return encoded(orjson.dumps(body))
