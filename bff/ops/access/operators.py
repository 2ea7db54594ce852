"""Who may look and who may act: several operator tokens, each with a name and a role."""

from __future__ import annotations

import enum
import hmac
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

import orjson
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.edge import exchange as exchanges
from bff.edge.headers_in import RawHeaders, bearer
from bff.errors import CredentialsError, RoleError
from bff.ops.access.audit import REFUSED, Audit, Deed

Handler = Callable[[Request], Awaitable[Response]]

WHOAMI = "/ops/api/whoami"


class Role(enum.Enum):
    """What an operator may do; whoever may act may read."""

    READ = "read"
    ACT = "act"


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody with a token. `name` is told in logs, the token never."""

    name: str
    role: Role
    token: SecretStr


class Operators:
    """The operators of this deployment; falsy where there are none, so that routes are absent."""

    def __init__(self, operators: Iterable[Operator], audit: Audit | None = None) -> None:
        # Digests are of one length, so that a comparison does not tell that of a token either.
        self._operators = tuple(
            (_digest(each.token.get_secret_value()), each) for each in operators
        )
        self.audit = audit or Audit()

    def __bool__(self) -> bool:
        return bool(self._operators)

    def of(self, headers: RawHeaders) -> Operator:
        """Whose bearer token a request carries. Raises CredentialsError.

        It is compared with every operator's, whichever it is: how long that takes tells nothing.
        """
        presented = _digest(bearer(headers))
        found: Operator | None = None
        for digest, operator in self._operators:
            if hmac.compare_digest(presented, digest):
                found = operator
        if found is None:
            raise CredentialsError("This is no operator's token (BFF_OPS_TOKEN, BFF_OPS_TOKENS).")
        return found

    def guarded(self, route: str, handler: Handler, role: Role = Role.READ) -> Handler:
        """`handler` for operators only, who are its `request.state.operator`.

        Everybody else is told 401, an operator whose role does not suffice 403. Nothing of it may
        be kept. `route` is its name in logs and metrics.
        """

        async def guarded(request: Request) -> Response:
            exchanges.of(request.scope).route = route
            operator = self.of(request.scope["headers"])
            if role is Role.ACT and operator.role is not Role.ACT:
                self.audit.tell(Deed(operator.name, route.rpartition("/")[2], outcome=REFUSED))
                raise RoleError(
                    f"The operator {operator.name} may look, not act: this needs the role `act`."
                )
            request.state.operator = operator
            response = await handler(request)
            response.headers["cache-control"] = "no-store"
            response.headers["vary"] = "Authorization, Origin"
            return response

        return guarded

    def route(self, method: str, path: str, handler: Handler, role: Role = Role.READ) -> Route:
        """A route of the operators; `path` is its name too."""
        return Route(path, self.guarded(path, handler, role), methods=[method])

    def routes(self) -> list[Route]:
        """`/ops/api/whoami`: the name and the role of whoever asks."""
        return [self.route("GET", WHOAMI, _whoami)]


def operator_of(request: Request) -> Operator:
    """Who asks, in a guarded handler."""
    operator = request.state.operator
    assert isinstance(operator, Operator)
    return operator


async def _whoami(request: Request) -> Response:
    operator = operator_of(request)
    content = {"name": operator.name, "role": operator.role.value}
    return Response(orjson.dumps(content), media_type="application/json")


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
