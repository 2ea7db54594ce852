"""Reading one setting: the text of a variable, or its TOML form, into a typed value.

Every reader raises ValueError with a reason that fits after "BFF_X: " and never repeats what was
given, which may be a secret. Lists are comma-separated text, or an array in the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import Final, TypeVar

from pydantic import SecretStr

from bff.errors import ShapeError
from bff.limits import Limit
from bff.shape import NamedShapes
from bff.spaces import Space, SpaceTable, join_authority, parse_authority

T = TypeVar("T")

EMBEDDED_URL: Final = "embedded://"
"""No shared Redis: the cache lives in the process."""
EVERY_SPACE: Final = "*"
"""The key of a webhook secret that holds for all spaces; never the name of one."""

_SECRET_CHARACTERS: Final = 32
# What a bearer can be (RFC 6750 §2.1): no caller could present anything else.
_OPS_TOKEN = re.compile(r"(?=.{16})[A-Za-z0-9._~+/-]+=*")
_PER_SPACE = re.compile(r"([a-z0-9.:-]+)=(?!=*$)(.+)")
_SIZE = re.compile(r"([0-9]{1,15}) ?([A-Za-z]{0,3})")
_UNITS: Final[Mapping[str, int]] = MappingProxyType(
    {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
)
_SHAPE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SHAPE_BYTES: Final = 4096
_WEB_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([^/]+)/?")
_WEB_PORT: Final[Mapping[str, int]] = MappingProxyType({"http": 80, "https": 443})

_USER = r"(?:[^/?#@\s]*@)?"
_HOST = r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?"
_HOSTS = rf"(?P<hosts>{_HOST}(?:,{_HOST})*)"
_QUERY = r"(?:\?[^#\s]*)?"
_REDIS: Final[Mapping[str, tuple[str, re.Pattern[str]]]] = MappingProxyType(
    {
        scheme: (example, re.compile(form))
        for scheme, example, form in (
            ("embedded", "", "(?P<hosts>)"),
            ("redis", "host:6379/0", rf"{_USER}(?P<hosts>{_HOST})(?:/[0-9]*)?{_QUERY}"),
            ("rediss", "host:6379/0", rf"{_USER}(?P<hosts>{_HOST})(?:/[0-9]*)?{_QUERY}"),
            (
                "redis+sentinel",
                "host:26379,host:26379/service/0",
                rf"{_USER}{_HOSTS}/[A-Za-z0-9._-]+(?:/[0-9]*)?{_QUERY}",
            ),
            ("redis+cluster", "host:6379,host:6379", rf"{_USER}{_HOSTS}/?{_QUERY}"),
            ("unix", "/run/redis.sock?db=0", rf"{_USER}(?P<hosts>)/[^?#@\s]+{_QUERY}"),
        )
    }
)


class SecretUrl(SecretStr):
    """A URL that shows itself with user, password and every query but a lone `db` hidden."""

    def _display(self) -> str:
        lead, mark, rest = self.get_secret_value().partition("://")
        place, asks, query = rest.partition("?")
        authority, slash, path = place.partition("/")
        _, has_user, hosts = authority.rpartition("@")
        user = "***@" if has_user else ""
        shown = query if re.fullmatch("(?:db=[0-9]+)?", query) else "***"
        return f"{lead}{mark}{user}{hosts}{slash}{path}{asks}{shown}"


def read_limits(value: object) -> tuple[Limit, ...]:
    """Limits such as `120/m`, no window twice, the shortest window first."""
    limits = sorted(read_list(value, Limit.parse), key=lambda limit: limit.window_s)
    if len({limit.window_s for limit in limits}) < len(limits):
        raise ValueError("has two limits for the same time")
    return tuple(limits)


def show_limits(limits: tuple[Limit, ...]) -> str:
    """As they are written."""
    return ",".join(str(limit) for limit in limits)


def read_text(value: object) -> str:
    """Text without the white space around it, such as the line end of a mounted secret."""
    match value:
        case str():
            # Bytes that are not UTF-8 arrive as lone surrogates, which nothing can encode.
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise ValueError("must be valid UTF-8")
            return value.strip()
        case _:
            raise ValueError("must be text")


def read_choice(value: object) -> str:
    """One of a few words, in any case."""
    return read_text(value).lower()


def read_number(value: object) -> object:
    """Anything but true and false, which would pass for 1 and 0; pydantic reads the rest."""
    match value:
        case bool():
            raise ValueError("must be a number")
        case _:
            return value


def read_size(value: object) -> object:
    """Bytes, from a number or from `25MiB` (1024s) and `25MB` (1000s), the case ignored."""
    if not isinstance(value, str):
        return read_number(value)
    match = _SIZE.fullmatch(value.strip())
    unit = match and _UNITS.get(match[2].lower())
    if match is None or unit is None:
        raise ValueError("must be a number of bytes, or one with kB, MB, GB, KiB, MiB or GiB")
    return int(match[1]) * unit


def read_list(value: object, read: Callable[[str], T]) -> tuple[T, ...]:
    """Every entry through `read`; all refusals in one ValueError, entries counted from 1."""
    entries = value if isinstance(value, list | tuple) else read_text(value).split(",")
    if entries == [""]:
        return ()
    values: list[T] = []
    reasons: list[str] = []
    for place, entry in enumerate(entries, 1):
        try:
            values.append(read(read_text(entry)))
        except ValueError as error:
            reasons.append(f"entry {place} {error}")
    if reasons:
        raise ValueError("; ".join(reasons))
    return tuple(values)


def _read_table(value: Mapping[object, object]) -> tuple[tuple[str, str], ...]:
    for place, entry in enumerate(value.values(), 1):
        match entry:
            case str():
                continue
            case Mapping():
                raise ValueError(f'entry {place} is a table; quote its key, like "a.b" = "c"')
            case _:
                raise ValueError(f"entry {place} must be text")
    return tuple((read_text(key), read_text(entry)) for key, entry in value.items())


def read_space(value: object) -> Space:
    """A slug, a Nexudus host or an origin."""
    return Space.parse(read_text(value))


def show_space(space: Space | None) -> str | None:
    """The origin's URL."""
    return space.origin.url if space else None


def show_spaces(table: SpaceTable | None) -> dict[str, str]:
    """Public host to the origin's URL."""
    return {host: space.origin.url for host, space in table.by_host.items()} if table else {}


def read_spaces(value: object) -> SpaceTable:
    """`public.host=space,…`, or a table."""

    def pair(text: str) -> tuple[str, str]:
        host, mark, space = text.partition("=")
        if not mark:
            raise ValueError("must be host=space")
        return host.strip(), space.strip()

    pairs = _read_table(value) if isinstance(value, Mapping) else read_list(value, pair)
    return SpaceTable.parse(pairs)


def read_redis_url(value: object) -> SecretUrl:
    """A Redis URL of one of the known schemes; `embedded://` stands alone."""
    lead, mark, rest = read_text(value).partition("://")
    scheme = lead.lower()
    if not mark or scheme not in _REDIS:
        raise ValueError("must begin with " + ", ".join(f"{known}://" for known in _REDIS))
    example, form = _REDIS[scheme]
    match = form.fullmatch(rest)
    if match is None:
        raise ValueError(
            f"must look like {scheme}://{example}"
            + ("; in a password, percent-encode @ / ? # and spaces" if example else "")
        )
    ports = re.findall(r":([0-9]+)(?=,|$)", match["hosts"])
    if not all(1 <= int(port) <= 65535 for port in ports):
        raise ValueError("must have ports from 1 to 65535")
    return SecretUrl(f"{scheme}://{rest}")


def read_secrets(value: object) -> tuple[SecretStr, ...]:
    """One secret or several, each of 32 characters or more, no two the same."""

    def secret(text: str) -> SecretStr:
        if len(text) < _SECRET_CHARACTERS:
            raise ValueError(f"is shorter than {_SECRET_CHARACTERS} characters")
        return SecretStr(text)

    secrets = read_list(value, secret)
    if len({each.get_secret_value() for each in secrets}) < len(secrets):
        raise ValueError("has the same secret twice")
    return secrets


def read_ops_token(value: object) -> SecretStr:
    """16 or more characters that an `Authorization` header can carry."""
    text = read_text(value)
    if _OPS_TOKEN.fullmatch(text) is None:
        raise ValueError("must be 16 or more ASCII characters: letters, digits and -._~+/")
    return SecretStr(text)


def read_webhook_secrets(value: object) -> Mapping[str, SecretStr]:
    """By space name, or under EVERY_SPACE: one text, `name=secret,…`, or a table.

    Text is taken for the second form if any of its parts is: `name=` in lower case, then something
    other than `=`, so that a padded base64 secret is one text.
    """
    if isinstance(value, Mapping):
        pairs = _read_table(value)
    else:
        text = read_text(value)
        matches = [_PER_SPACE.fullmatch(part.strip()) for part in text.split(",")]
        if not any(matches):
            return MappingProxyType({EVERY_SPACE: SecretStr(text)})
        pairs = tuple((match[1], match[2]) for match in matches if match)
        if len(pairs) < len(matches):
            raise ValueError("must be one secret, or name=secret in every entry")
    if not all(secret for _, secret in pairs):
        raise ValueError("has an empty secret")
    if len(dict(pairs)) < len(pairs):
        raise ValueError("names a space twice")
    return MappingProxyType({name: SecretStr(secret) for name, secret in pairs})


def show_secrets(secrets: Mapping[str, SecretStr]) -> dict[str, str]:
    """Whose they are; each secret masked."""
    return {name: str(secret) for name, secret in secrets.items()}


def read_web_origins(value: object) -> tuple[str, ...]:
    """Origins as browsers write them (RFC 6454 6.2), or `*` alone; repetitions are dropped."""
    origins = tuple(dict.fromkeys(read_list(value, _web_origin)))
    if "*" in origins and len(origins) > 1:
        raise ValueError("must be * alone, or a list without it")
    return origins


def _web_origin(text: str) -> str:
    if text == "*":
        return text
    if text.lower() == "null":
        raise ValueError("is null, which any sandboxed page may claim to be")
    match = _WEB_ORIGIN.fullmatch(text.lower()) if text.isascii() else None
    if match is None:
        raise ValueError("must be scheme://host[:port] in ASCII, without a path")
    host, port = parse_authority(match[2])
    return f"{match[1]}://{join_authority(host, None if port == _WEB_PORT.get(match[1]) else port)}"


def read_shapes(value: object) -> Mapping[str, str]:
    """Named shapes, from a table or a JSON object, each one compiled once to check it."""
    if isinstance(value, str):
        try:
            value = json.loads(read_text(value))
        except (ValueError, RecursionError):
            raise ValueError("must be a JSON object") from None
    match value:
        case Mapping():
            pairs = _read_table(value)
        case _:
            raise ValueError("must be an object of names and shapes")
    for place, (name, shape) in enumerate(pairs, 1):
        if _SHAPE_NAME.fullmatch(name) is None:
            raise ValueError(f"entry {place} must be named with letters, digits, - and _")
        if not 1 <= len(shape.encode()) <= _SHAPE_BYTES:
            raise ValueError(f"entry {place} must have a shape of 1 to {_SHAPE_BYTES} bytes")
        try:
            NamedShapes({name: shape})
        except ShapeError:  # its message quotes the path; a secret put here by mistake stays ours
            raise ValueError(
                f"entry {place} must have a shape of dotted paths, separated by commas"
            ) from None
    return MappingProxyType(dict(pairs))


def read_bind_host(value: object) -> str:
    """An address to listen on, without brackets, or a name."""
    text = read_text(value)
    try:
        return str(ip_address(text))
    except ValueError:
        host, port = parse_authority(text)
    if port is not None:
        raise ValueError("must not have a port; BFF_PORT names it")
    return host
