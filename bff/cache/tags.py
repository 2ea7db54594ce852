"""Tags: what a stored document depends on, and so what drops it.

| tag | means | dropped when |
| --- | --- | --- |
| `k:{digest}` | everything stored for one token | Nexudus refuses the token on its profile list |
| `p:{digest}` | the proof that Nexudus accepts the token | any other 401 under that token |
| `u:{id}` | documents of one user, in all their tokens | a write by that user, a webhook |
| `c:{id}` | documents about one coworker, or that mention them | the same |
| `r:{resource}` | all documents of one resource in the space | an operator, a webhook |
"""

from __future__ import annotations

from bff.cache.keys import escape

PROOF_RESOURCE = "proof"
OF_TOKENS = ("k:", "p:")
DROPPING = (*OF_TOKENS, "u:", "c:", "r:")
"""How the tags that drop something begin; others only carry news."""


def token(digest: str) -> str:
    """Everything stored for one token."""
    return f"k:{escape(digest)}"


def proof(digest: str) -> str:
    """The proof of one token."""
    return f"p:{escape(digest)}"


def user(user_id: int) -> str:
    """Documents of one user."""
    return f"u:{user_id}"


def coworker(coworker_id: int) -> str:
    """Documents about one coworker."""
    return f"c:{coworker_id}"


def resource(name: str) -> str:
    """All documents of one resource."""
    return f"r:{escape(name)}"


def is_generation(tag: str) -> bool:
    """Whether the tag has a stored generation (`u`, `c`, `r`); token tags drop containers."""
    return tag.startswith(("u:", "c:", "r:"))
