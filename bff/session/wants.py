"""Where a caller's documents are kept: in its token's own container, or in one that is shared."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from bff.cache import tags as tagging
from bff.cache.keys import Address, Container, Scope
from bff.cache.tiered import Want
from bff.resources import PROFILES
from bff.session.principal import Principal
from bff.session.reading import Ask, Caller

REMEMBERED: Final = 8_192
"""Wants, of which a session has four; some 1 KB each, and the token that opens them."""


def want_of(ask: Ask, scope: Scope) -> Want:
    """The document that a read is about, in the container that `scope` puts it in."""
    variant = ask.caller.variants.canonical
    if scope is Scope.TOKEN:
        return _private(ask.caller.principal, ask.resource.name, ask.ident, variant)
    return _shared(ask.caller.principal.space, scope, ask.resource.name, ask.ident, variant)


def own_of(ask: Ask) -> Want:
    """What only its caller's token was told of a document that is otherwise shared."""
    return want_of(ask, Scope.TOKEN)


def profiles_of(caller: Caller) -> Want:
    """The caller's profile list."""
    return _private(caller.principal, PROFILES.name, "", caller.variants.canonical)


def proof_of(principal: Principal) -> Want:
    """The proof that Nexudus accepts the caller's token."""
    return _private(principal, tagging.PROOF_RESOURCE, "", "")


def shared_key(want: Want, principal: Principal, *, alone: bool) -> str:
    """What a flight is shared by: callers of one document, or `alone` those with one token."""
    return f"{want.key}|{principal.digest}" if alone and want.token is None else want.key


def known_tags(want: Want, ask: Ask) -> frozenset[str]:
    """What is known before a fetch to drop its result."""
    tags = {tagging.resource(ask.resource.name), want.address.container.label}
    if want.token is not None:
        tags |= {tagging.proof(digest) for digest in ask.principal.digests}
    return frozenset(tags)


# Each request of a session is about the same few documents, and names them several times.
@lru_cache(maxsize=REMEMBERED)
def _shared(space: str, scope: Scope, resource: str, ident: str, variant: str) -> Want:
    return Want(Address(Container(space, scope, ident), resource, ident, variant), (), None)


@lru_cache(maxsize=REMEMBERED)
def _private(principal: Principal, resource: str, ident: str, variant: str) -> Want:
    first, *older = (
        Address(Container(principal.space, Scope.TOKEN, digest), resource, ident, variant)
        for digest in principal.digests
    )
    return Want(first, tuple(older), principal.token)
