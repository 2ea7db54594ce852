"""`bff purge`: one call of the operators' API, and what came of it in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx
import orjson

from bff.terminal import CommandFailed

PATH: Final = "/ops/api/purge"
TIMEOUT_S: Final = 30.0
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Purged:
    """`everywhere`: no process serves the old copies any more; `stored`: Redis has dropped them."""

    space: str
    what: str
    stored: bool
    everywhere: bool


def purge(origin: str, ops_token: str, asked: Mapping[str, object]) -> Purged:
    """Ask the gateway at `origin` (a URL) to drop what `asked` names, as its API reads it.

    Raises CommandFailed, with the gateway's own words where it has any. Redirects are not followed.
    """
    try:
        url = httpx.URL(origin)
        # A proxy of the environment is for other hosts, and would be shown the operator token.
        with httpx.Client(timeout=TIMEOUT_S, trust_env=url.host not in _LOOPBACK) as client:
            answer = client.post(
                url.join(PATH),
                content=orjson.dumps(dict(asked)),
                headers={
                    "authorization": f"Bearer {ops_token}",
                    "content-type": "application/json",
                },
            )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise CommandFailed(f"{origin} is not a URL of a gateway.") from None
    except httpx.HTTPError as error:
        raise CommandFailed(f"No answer from {origin} ({type(error).__name__}).") from None
    return _read(answer, origin)


def _read(answer: httpx.Response, origin: str) -> Purged:
    try:
        told: object = orjson.loads(answer.content)
    except ValueError:
        told = None
    match told:
        case {
            "space": str(space),
            "purged": str(what),
            "stored": bool(stored),
            "everywhere": bool(everywhere),
        }:
            return Purged(space, what, stored, everywhere)
        case {"detail": str(detail)} if answer.status_code != 404:
            raise CommandFailed(f"The gateway refuses ({answer.status_code}): {detail}")
    if answer.status_code == 404:
        raise CommandFailed(
            f"{origin} has no operators' API: is it a gateway, and is BFF_OPS_TOKEN set for it?"
        )
    raise CommandFailed(f"{origin} answered {answer.status_code}, which is not a gateway's answer.")
