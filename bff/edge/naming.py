"""Names of what stands in requests: short, and told by none to another process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

NAME_SIZE: Final = 16
_SEPARATOR: Final = b"\0"


class Names:
    """Hashes under a secret of their own, which ends with the process."""

    def __init__(self) -> None:
        # Begun once: to make it takes longer than to hash a request with it.
        self._begun = blake2b(digest_size=NAME_SIZE, key=os.urandom(blake2b.MAX_KEY_SIZE))

    def of(self, parts: Sequence[bytes]) -> bytes:
        """The name of these parts, in this order; empty where one of them holds a NUL."""
        if _SEPARATOR.join(parts).count(_SEPARATOR) != len(parts) - 1:
            return b""  # it could be read as other parts
        return self.known(parts)

    def known(self, parts: Sequence[bytes]) -> bytes:
        """To look up what `of` named, where it is always given as many parts: the same name.

        What holds a NUL has one too then, but it is nobody else's: its text has more of them.
        """
        hashed = self._begun.copy()
        hashed.update(_SEPARATOR.join(parts))
        return hashed.digest()
