"""Bearer, refresh and one-time tokens (FACTS 2)."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson

from bff.clock import Clock
from bff.sandbox.answers import Refusal
from bff.sandbox.model import Member

Entropy = Callable[[int], bytes]

EXPIRES_IN_S = 1_209_599
REFRESH_TTL_S = 15 * 86_400
ONE_TIME_TTL_S = 1_800
ONE_TIME_KEPT = 10_000
_OPAQUE_BYTES = 324  # 432 characters, as observed


@dataclass(frozen=True, slots=True)
class Grant:
    """Whom a token stands for, and until when (UTC seconds since the epoch)."""

    user_id: int
    expires_at: float


@dataclass(frozen=True, slots=True)
class Session:
    """A token pair as `POST /api/token` hands it out."""

    access_token: str
    refresh_token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class _Refresh:
    user_id: int
    client_id: str
    default_client_id: str
    expires_at: float


class InvalidGrant(Exception):
    """The refresh or one-time token is unknown, spent, expired or another client's."""


def token_digest(token: str) -> str:
    """How counters and logs name a token: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def bearer_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The bearer token of raw ASGI headers, the first if several; empty when there is none."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" else ""
    return ""


class Tokens:
    """Issues, checks and revokes. Access tokens outlive a refresh; a refresh token works once."""

    def __init__(self, clock: Clock, entropy: Entropy, *, space: str, jwt: bool) -> None:
        self._clock = clock
        self._entropy = entropy
        self._space = space
        self._jwt = jwt
        self._access: dict[str, Grant] = {}
        self._refresh: dict[str, _Refresh] = {}
        self._latest: dict[tuple[int, str], str] = {}
        self._one_time: dict[str, Grant] = {}

    def issue(self, member: Member, client_id: str = "", ttl_s: int = EXPIRES_IN_S) -> Session:
        """A new pair; ends the refresh token that this `client_id` of the user had before."""
        client = client_id or member.email
        self._refresh.pop(self._latest.pop((member.user_id, client), ""), None)
        refresh_token = self._entropy(16).hex()
        expires_at = self._clock.wall() + REFRESH_TTL_S
        self._refresh[refresh_token] = _Refresh(member.user_id, client, member.email, expires_at)
        self._latest[member.user_id, client] = refresh_token
        return Session(self.mint(member.user_id, ttl_s=ttl_s), refresh_token, ttl_s)

    def spend_refresh(self, refresh_token: str, client_id: str = "") -> int:
        """The user of a refresh token, which dies. Raises InvalidGrant, and then it lives on."""
        refresh = self._refresh.get(refresh_token)
        if refresh is None or refresh.expires_at <= self._clock.wall():
            raise InvalidGrant
        if refresh.client_id != (client_id or refresh.default_client_id):
            raise InvalidGrant
        del self._refresh[refresh_token]
        return refresh.user_id

    def mint(
        self,
        user_id: int,
        *,
        ttl_s: float = EXPIRES_IN_S,
        jwt: bool | None = None,
        text: str | None = None,
    ) -> str:
        """An access token without a session; `text` is its exact text, `ttl_s` may be negative."""
        now = self._clock.wall()
        token = text or self._text(user_id, now, now + ttl_s, jwt=self._jwt if jwt is None else jwt)
        self._access[token] = Grant(user_id, now + ttl_s)
        return token

    def user_of(self, token: str) -> int:
        """The user behind an access token. Raises Refusal 401, with an empty body."""
        grant = self._access.get(token)
        if grant is None or grant.expires_at <= self._clock.wall():
            raise Refusal(401)
        return grant.user_id

    def one_time(self, user_id: int) -> str:
        """A token of half an hour that `exchange` takes once (FACTS 2.2)."""
        now = self._clock.wall()
        token = self._text(user_id, now, now + ONE_TIME_TTL_S, jwt=True)
        if len(self._one_time) >= ONE_TIME_KEPT:
            del self._one_time[next(iter(self._one_time))]
        self._one_time[token] = Grant(user_id, now + ONE_TIME_TTL_S)
        return token

    def spend_one_time(self, token: str) -> int:
        """The user of a one-time token, which dies. Raises InvalidGrant."""
        grant = self._one_time.pop(token, None)
        if grant is None or grant.expires_at <= self._clock.wall():
            raise InvalidGrant
        return grant.user_id

    def revoke(self, token: str) -> int:
        """Ends one access token; how many that were (0 or 1)."""
        return 0 if self._access.pop(token, None) is None else 1

    def revoke_user(self, user_id: int) -> int:
        """Ends every access and refresh token of a user; how many access tokens that were."""
        ended = [token for token, grant in self._access.items() if grant.user_id == user_id]
        for token in ended:
            del self._access[token]
        for token in [t for t, r in self._refresh.items() if r.user_id == user_id]:
            del self._refresh[token]
        return len(ended)

    def _text(self, user_id: int, now: float, expires_at: float, *, jwt: bool) -> str:
        if not jwt:
            return _base64url(self._entropy(_OPAQUE_BYTES))
        header = {"alg": "RS256", "typ": "JWT"}
        claims = {
            "sub": str(user_id),
            "iss": "self",
            "aud": f"https://{self._space}.spaces.nexudus.com",
            "nbf": int(now),
            "iat": int(now),
            "exp": int(expires_at),
            "jti": self._entropy(8).hex(),
        }
        # Nobody can check the signature without Nexudus' key; the right length is all it needs.
        parts = (orjson.dumps(header), orjson.dumps(claims), self._entropy(256))
        return ".".join(_base64url(part) for part in parts)


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
