"""Who asks and in which form, from the headers of a request: each set of them is read once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bff.cache.secrets import Keyring
from bff.edge.compression import Encoding, negotiate
from bff.edge.headers_in import RawHeaders, bearer, combined
from bff.edge.naming import Names
from bff.nexudus.headers import Variants
from bff.session.principal import Principal, identify

REMEMBERED: Final = 2_048
"""Sets of headers; some 2 KB each with a long token."""


@dataclass(frozen=True, slots=True)
class Known:
    """What headers say. `variant`: the variants as they stand in keys. It proves nothing."""

    principal: Principal
    variants: Variants
    variant: str
    encoding: Encoding


class Callers:
    """Of one process. What is remembered is what the same headers say again, and no more."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._names = Names()
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def of(self, space: str, headers: RawHeaders, given: Mapping[bytes, bytes] | None) -> Known:
        """The caller. `given`: the same headers, if each is given once. Raises CredentialsError."""
        name = b"" if given is None else self._name(space, given)
        if not name:
            return self._read(space, headers)
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._read(space, headers)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(name)
        return known

    def _read(self, space: str, headers: RawHeaders) -> Known:
        token, variants = bearer(headers), Variants.of(headers)
        encoding = negotiate(combined(headers, b"accept-encoding"))
        principal = identify(space, token, self._keyring)
        return Known(principal, variants, variants.canonical, encoding)

    def _name(self, space: str, given: Mapping[bytes, bytes]) -> bytes:
        """Of all that is read; empty for what has none."""
        get = given.get
        return self._names.of(
            (
                space.encode(),
                get(b"authorization", b""),
                get(b"accept-encoding", b""),
                get(b"accept-language", b""),
                get(b"x-use-timezone", b""),
            )
        )
