"""Which Nexudus space a request belongs to: decided by configuration and `Host`, nothing else.

Every refusal is a `ValueError` whose message is a sentence for the operator and never repeats the
refused text, which may hold a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Final

from bff.errors import UnknownHost

NEXUDUS: Final = "spaces.nexudus.com"
"""The domain under which every space has its own host, `{slug}.spaces.nexudus.com`."""

_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEFAULT_PORT: Final[Mapping[str, int]] = MappingProxyType({"http": 80, "https": 443})


def parse_authority(text: str) -> tuple[str, int | None]:
    """`host[:port]` as lower-case host without brackets or trailing dot, and port if named.

    An IPv6 address comes in brackets and leaves compressed. Raises ValueError. RFC 3986 3.2.2.
    """
    if not text.isascii():
        raise ValueError("must be ASCII; write an international name in its xn-- form")
    match = _AUTHORITY.fullmatch(text.lower())
    if match is None:
        raise ValueError("must be a host, or host:port")
    address, name, digits = match.groups()
    host = _ipv6(address) if address else _name(name)
    if digits is None:
        return host, None
    port = int(digits)
    if not 1 <= port <= 65535:
        raise ValueError("must have a port from 1 to 65535")
    return host, port


def _ipv6(text: str) -> str:
    try:
        return IPv6Address(text).compressed
    except AddressValueError:
        raise ValueError("must have a valid IPv6 address between the brackets") from None


def _name(text: str) -> str:
    name = text.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("must have a valid host name: labels of letters, digits and hyphens")
    # A last label of digits makes resolvers read the whole name as an IPv4 address, even `127.1`
    # and `0x7f.1`: only the plain form is let through, so that it is judged for what it is.
    if _NUMERIC.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(name))
        except AddressValueError:
            raise ValueError("must have a valid IPv4 address of four numbers") from None
    return name


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a parsed host is, or None for a name."""
    if ":" in host:
        return IPv6Address(host)
    return IPv4Address(host) if host.rpartition(".")[2].isdigit() else None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    if address is None:
        return host == "localhost"
    # `IPv6Address.is_loopback` says yes to mapped IPv4 addresses in some Python versions.
    return address == IPv6Address("::1") or (address.version == 4 and address.is_loopback)


def join_authority(host: str, port: int | None) -> str:
    """The inverse of `parse_authority`."""
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port is None else f"{bracketed}:{port}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the calls of a space go; `host` is lower-case, without brackets. Build with `parse`."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Origin:
        """`https://host[:port]`, or `http://` on loopback, for tests and staging.

        Refused with a ValueError: user names, paths, queries, addresses other than loopback (so
        private and link-local ones) and names without a dot, which only a private network knows.
        """
        lead, mark, rest = text.partition("://")
        scheme = lead.lower()
        if not mark or scheme not in _DEFAULT_PORT:
            raise ValueError("must begin with https:// (or http:// on loopback)")
        if "@" in rest:
            raise ValueError("must not hold a user name or password")
        if "?" in rest or "#" in rest:
            raise ValueError("must not have a query or a fragment")
        rest = rest.removesuffix("/")
        if "/" in rest or "\\" in rest:
            raise ValueError("must not have a path")
        host, port = parse_authority(rest)
        if not _is_loopback(host):
            if _address(host) is not None:
                raise ValueError("must be a host name; of addresses, only loopback is accepted")
            if scheme == "http":
                raise ValueError("must be https; http is accepted on loopback only")
            if "." not in host:
                raise ValueError("must be a full host name, with a domain")
        return cls(scheme, host, _DEFAULT_PORT[scheme] if port is None else port)

    @property
    def url(self) -> str:
        """`scheme://host[:port]`, without a trailing slash or the scheme's own port."""
        port = None if self.port == _DEFAULT_PORT[self.scheme] else self.port
        return f"{self.scheme}://{join_authority(self.host, port)}"


@dataclass(frozen=True, slots=True)
class Space:
    """One Nexudus space. `name` stands for the origin in keys and metrics: `[a-z0-9.:-]+`."""

    name: str
    origin: Origin

    @classmethod
    def of(cls, origin: Origin) -> Space:
        """Names the origin; different origins have different names.

        The slug for a host under spaces.nexudus.com. Else `host` (https on its own port),
        `host:port`, and `https:host:port` for https on loopback, where `host:port` means http.
        """
        slug, _, domain = origin.host.partition(".")
        public = origin.scheme == "https" and not _is_loopback(origin.host)
        if public and origin.port == 443:
            return cls(slug if domain == NEXUDUS else origin.host, origin)
        lead = "https:" if origin.scheme == "https" and not public else ""
        return cls(f"{lead}{origin.host}:{origin.port}", origin)

    @classmethod
    def parse(cls, text: str) -> Space:
        """From a slug (`acme`), its host (`acme.spaces.nexudus.com`) or an origin. ValueError."""
        if "://" in text:
            return cls.of(Origin.parse(text))
        # Before `parse_authority`, which takes a slug of digits for half an address.
        if text.isascii() and _LABEL.fullmatch(text.lower()):
            return cls.of(Origin("https", f"{text.lower()}.{NEXUDUS}", 443))
        host, port = parse_authority(text)
        if port is not None or host.partition(".")[2] != NEXUDUS:
            raise ValueError(f"must be a slug, a host under {NEXUDUS} or an https:// origin")
        return cls.of(Origin("https", host, 443))


@dataclass(frozen=True, slots=True)
class SpaceTable:
    """Public hosts and their spaces. Build with `single` or `parse`.

    `by_host` is keyed by `host` or `host:port` as `join_authority` writes it; with `only` set,
    every host is that space's.
    """

    by_host: Mapping[str, Space]
    only: Space | None = None

    @classmethod
    def single(cls, space: Space) -> SpaceTable:
        """One space, whatever the host is."""
        return cls(MappingProxyType({}), space)

    @classmethod
    def parse(cls, entries: Iterable[tuple[str, str]]) -> SpaceTable:
        """From pairs of a public host and what `Space.parse` reads.

        Raises one ValueError that names every entry at fault by its place, counted from 1.
        """
        by_host: dict[str, Space] = {}
        reasons: list[str] = []
        for place, (public, target) in enumerate(entries, 1):
            try:
                host, space = _entry(public, target)
            except ValueError as error:
                reasons.append(f"entry {place}: {error}")
                continue
            if host in by_host:
                reasons.append(f"entry {place}: its public host is that of an earlier entry")
            by_host[host] = space
        if not (reasons or by_host):
            reasons.append("must name at least one host")
        if reasons:
            raise ValueError("; ".join(reasons))
        return cls(MappingProxyType(by_host))

    @property
    def spaces(self) -> tuple[Space, ...]:
        """Every space once, in configured order."""
        return (self.only,) if self.only else tuple(dict.fromkeys(self.by_host.values()))

    def by_name(self, name: str) -> Space:
        """The space that has this name; KeyError if none has."""
        for space in self.spaces:
            if space.name == name:
                return space
        raise KeyError(name)

    def resolve(self, host_header: str) -> Space:
        """The space of a request with this `Host`, or UnknownHost (RFC 9110 7.4: 421).

        Case and one trailing dot are ignored, and so is the port, unless an entry names it.
        """
        if self.only is not None:
            return self.only
        try:
            host, port = parse_authority(host_header)
        except ValueError as error:
            raise UnknownHost(f"the Host header {error}") from None
        with_port, without = join_authority(host, port), join_authority(host, None)
        space = self.by_host.get(with_port) or self.by_host.get(without)
        if space is None:
            raise UnknownHost("the Host header names no space that is served here")
        return space


def _entry(public: str, target: str) -> tuple[str, Space]:
    try:
        host, port = parse_authority(public)
    except ValueError as error:
        raise ValueError(f"its public host {error}") from None
    if port in _DEFAULT_PORT.values():
        raise ValueError("its public host must leave out port 443 or 80, as browsers do")
    try:
        return join_authority(host, port), Space.parse(target)
    except ValueError as error:
        raise ValueError(f"its space {error}") from None
