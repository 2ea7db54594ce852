"""A stored document and its byte form."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import orjson

from bff.errors import EnvelopeError

_HEAD = struct.Struct(">BHdiH")
_FORM = 1
_NO_SECRET = -1
_PROOF_HEAD = struct.Struct(">BdB")
_PROOF_FORM = 2


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """One good answer of Nexudus. Immutable; `body` never holds a bearer token.

    `fetched_at`: UTC seconds at which its fetch began. `secret_at`: where in `body` the caller's
    own token belongs as a JSON string, or None. `tags`: what it depends on.
    """

    status: int
    body: bytes
    fetched_at: float
    tags: tuple[str, ...]
    content_type: str = "application/json; charset=utf-8"
    secret_at: int | None = None

    def __repr__(self) -> str:
        return f"Entry(status={self.status}, {len(self.body)} bytes, fetched_at={self.fetched_at})"

    @property
    def moment(self) -> float:
        """When Nexudus said so, UTC seconds."""
        return self.fetched_at

    def body_for(self, token: str) -> bytes:
        """The body as its caller sees it, with the caller's own token in its place."""
        if self.secret_at is None:
            return self.body
        at = self.secret_at
        return b"".join((self.body[:at], orjson.dumps(token), self.body[at:]))

    def document(self) -> object:
        """The parsed body, with an empty text where the caller's token belongs."""
        document: object = orjson.loads(self.body_for(""))
        return document


def pack(entry: Entry) -> bytes:
    """Byte form of an entry, without its tags: those stand beside it, readable to the store."""
    content_type = entry.content_type.encode("latin-1")
    secret_at = _NO_SECRET if entry.secret_at is None else entry.secret_at
    head = _HEAD.pack(_FORM, entry.status, entry.fetched_at, secret_at, len(content_type))
    return head + content_type + entry.body


def unpack(data: bytes, tags: tuple[str, ...]) -> Entry:
    """Raises EnvelopeError on any form that `pack` does not write."""
    try:
        form, status, fetched_at, secret_at, type_len = _HEAD.unpack_from(data)
    except struct.error:
        raise EnvelopeError("stored entry is too short") from None
    if form != _FORM:
        raise EnvelopeError(f"stored entry has form {form}, this process reads {_FORM}")
    body_at = _HEAD.size + type_len
    body = data[body_at:]
    if body_at > len(data) or not _NO_SECRET <= secret_at <= len(body):
        raise EnvelopeError("stored entry is inconsistent")
    return Entry(
        status=status,
        body=body,
        fetched_at=fetched_at,
        tags=tags,
        content_type=data[_HEAD.size : body_at].decode("latin-1"),
        secret_at=None if secret_at == _NO_SECRET else secret_at,
    )


@dataclass(frozen=True, slots=True)
class Proof:
    """That Nexudus accepted a token, when, and whose it is.

    `accepted_at`: UTC seconds at which the accepted fetch began. `coworkers`: the user's profiles.
    """

    accepted_at: float
    user: int
    coworkers: tuple[int, ...]

    @property
    def moment(self) -> float:
        """When Nexudus said so, UTC seconds."""
        return self.accepted_at

    def pack(self) -> bytes:
        """Byte form: the user and the coworkers follow the head, all as wide as the widest."""
        idents = (self.user, *self.coworkers)
        width = max(1, (max(idents).bit_length() + 7) // 8)
        head = _PROOF_HEAD.pack(_PROOF_FORM, self.accepted_at, width)
        return head + b"".join(ident.to_bytes(width, "big") for ident in idents)

    @staticmethod
    def unpack(data: bytes) -> Proof:
        """Raises EnvelopeError on any form that `pack` does not write."""
        try:
            form, accepted_at, width = _PROOF_HEAD.unpack_from(data)
        except struct.error:
            raise EnvelopeError("stored proof is too short") from None
        packed = data[_PROOF_HEAD.size :]
        if form != _PROOF_FORM or not width or not packed or len(packed) % width:
            raise EnvelopeError(f"stored proof has another form, this process reads {_PROOF_FORM}")
        places = range(0, len(packed), width)
        user, *coworkers = [int.from_bytes(packed[at : at + width], "big") for at in places]
        return Proof(accepted_at, user, tuple(coworkers))
