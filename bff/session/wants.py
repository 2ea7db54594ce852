"""Where a caller's documents are kept: in its token's own container, or in one that is shared."""

from __future__ import annotations

from bff.cache import tags as tagging
from bff.cache.keys import Address, Container, Scope
from bff.cache.tiered import Want
from bff.session.principal import Principal
from bff.session.reading import Ask


def want_of(ask: Ask, scope: Scope) -> Want:
    """The document that a read is about, in the container that `scope` puts it in."""
    variant = ask.caller.variants.canonical
    if scope is Scope.TOKEN:
        return _private(ask.principal, ask.resource.name, ask.ident, variant)
    container = Container(ask.principal.space, scope, ask.ident)
    return Want(Address(container, ask.resource.name, ask.ident, variant), (), None)


def own_of(ask: Ask) -> Want:
    """What only its caller's token was told of a document that is otherwise shared."""
    return want_of(ask, Scope.TOKEN)


def proof_of(principal: Principal) -> Want:
    """The proof that Nexudus accepts the caller's token."""
    return _private(principal, tagging.PROOF_RESOURCE, "", "")


def _private(principal: Principal, resource: str, ident: str, variant: str) -> Want:
    first, *older = (
        Address(Container(principal.space, Scope.TOKEN, digest), resource, ident, variant)
        for digest in principal.digests
    )
    return Want(first, tuple(older), principal.token)
