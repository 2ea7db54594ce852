"""One call of the operators' API of a running gateway, for the commands that make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import httpx
import orjson

from bff.terminal import CommandFailed

TIMEOUT_S: Final = 30.0
UNKNOWN_REQUEST: Final = "urn:bff:problem:unknown-request"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def ask(
    origin: str, ops_token: str, path: str, content: Mapping[str, object] | None = None
) -> dict[str, object]:
    """The JSON object that the gateway at `origin` (a URL) answers: to a POST of `content`, or to
    a GET without it.

    Raises CommandFailed, with the gateway's own words where it has any. Redirects are not followed.
    """
    try:
        url = httpx.URL(origin)
        # A proxy of the environment is for other hosts, and would be shown the operator token.
        with httpx.Client(timeout=TIMEOUT_S, trust_env=url.host not in _LOOPBACK) as client:
            answer = client.request(
                "GET" if content is None else "POST",
                url.join(path),
                content=None if content is None else orjson.dumps(dict(content)),
                headers={
                    "authorization": f"Bearer {ops_token}",
                    "content-type": "application/json",
                },
            )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise CommandFailed(f"{origin} is not a URL of a gateway.") from None
    except httpx.ConnectError as error:  # the words of others may quote what was sent
        raise CommandFailed(f"No answer from {origin}: {error}.") from None
    except httpx.HTTPError as error:
        raise CommandFailed(f"No answer from {origin} ({type(error).__name__}).") from None
    except UnicodeEncodeError:
        raise CommandFailed("The operator token holds a character that no token has.") from None
    return _read(answer, origin)


class Told:
    """A JSON object of an answer, read with care: what is missing or of another form is empty.

    The gateway may be of another version than the command.
    """

    def __init__(self, value: object) -> None:
        self._members: Mapping[str, object] = value if isinstance(value, dict) else {}

    def __bool__(self) -> bool:
        return bool(self._members)

    def text(self, name: str) -> str:
        """As it is shown: a number without a needless fraction, nothing for null."""
        value = self._members.get(name)
        if isinstance(value, float):
            return f"{value:.15g}"
        return "" if value is None or isinstance(value, dict | list) else _printable(str(value))

    def number(self, name: str) -> float | None:
        """None where it is none."""
        value = self._members.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def count(self, name: str) -> int:
        """A whole number, 0 where it is none."""
        return int(self.number(name) or 0)

    def flag(self, name: str) -> bool:
        """Whether it is true."""
        return self._members.get(name) is True

    def part(self, name: str) -> Told:
        """An object within it."""
        return Told(self._members.get(name))

    def parts(self, name: str) -> list[Told]:
        """The objects of a list within it."""
        found = self._members.get(name)
        return [Told(each) for each in found] if isinstance(found, list) else []

    def texts(self, name: str) -> list[str]:
        """The texts of a list within it."""
        found = self._members.get(name)
        return [_printable(str(each)) for each in found] if isinstance(found, list) else []

    def pairs(self, name: str) -> list[tuple[str, float]]:
        """Names and numbers, from a list of pairs."""
        found = self._members.get(name)
        pairs = found if isinstance(found, list) else []
        return [(n, v) for n, v in pairs if isinstance(n, str) and isinstance(v, int | float)]


def _printable(text: str) -> str:
    """What others wrote must not steer a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)


def not_a_gateway(origin: str, status: int = 200) -> CommandFailed:
    """For an answer of another form than a gateway's."""
    return CommandFailed(f"{origin} answered {status}, which is not a gateway's answer.")


def _read(answer: httpx.Response, origin: str) -> dict[str, object]:
    try:
        told: object = orjson.loads(answer.content)
    except ValueError:
        told = None
    if answer.status_code == 200 and isinstance(told, dict):
        return told
    match told:
        case {"detail": str(detail), **others} if (
            answer.status_code != 404 or others.get("type") == UNKNOWN_REQUEST
        ):
            raise CommandFailed(f"The gateway refuses ({answer.status_code}): {detail}")
    if answer.status_code == 404:
        raise CommandFailed(
            f"{origin} has no operators' API: is it a gateway, and is BFF_OPS_TOKEN set for it?"
        )
    raise not_a_gateway(origin, answer.status_code)
