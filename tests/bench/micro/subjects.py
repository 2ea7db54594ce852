"""What is measured in process: the pure parts of a request, on data as real ones are.

Each subject is a callable without arguments that does the work of one request.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

import orjson

from bff.cache.entry import Entry, pack, unpack
from bff.cache.envelope import Binding, Sealer
from bff.cache.keys import Address, Container, KeySpace, Scope
from bff.cache.secrets import Keyring
from bff.cache.store import header
from bff.edge.compression import Encoding, compress, negotiate
from bff.edge.conditional import etag, matches
from bff.sandbox.documents import Documents
from bff.sandbox.seed import business_of, seeded
from bff.sandbox.world import World
from bff.shape import project
from bff.shape.grammar import parse
from bff.shape.named import DEFAULTS

Subject = Callable[[], object]
Measure = Callable[[Subject], object]
"""pytest-benchmark's fixture, and ours that counts calls."""

SPACE: Final = "nexudushq"
TOKEN: Final = "q7Wv1yqQ0sGJm2bXK8dYfZrT4uHcLpNe5oAiVx3kRjB6tMwSg9zCnDhEaFlPyUQ1"
JANE: Final = 7001
"""A member of the simulated Nexudus with three profiles of some 100 fields."""
PORTAL: Final = DEFAULTS["portal"]


def subjects() -> Mapping[str, Subject]:
    """By name, made anew: nothing that one run left behind helps the next."""
    world = World(seeded(7, 0), business_of(SPACE), 7)
    body = Documents(world).profiles_body(JANE, "")
    return {**_shape(body), **_edge(body), **_store(body)}


def _shape(body: bytes) -> Mapping[str, Subject]:
    document, shape = orjson.loads(body), parse(PORTAL)
    return {
        "shape: parse": lambda: parse(PORTAL),
        "shape: project": lambda: project(document, shape),
        "shape: decode, project, encode": lambda: orjson.dumps(project(orjson.loads(body), shape)),
    }


def _edge(body: bytes) -> Mapping[str, Subject]:
    shaped = orjson.dumps(project(orjson.loads(body), parse(PORTAL)))
    validator = etag(shaped, Encoding.BR)
    held = f'"{"x" * 22}-br", {validator}'
    return {
        "negotiation": lambda: negotiate("gzip, deflate, br;q=0.9, zstd"),
        "conditional: validator": lambda: etag(shaped, Encoding.BR, b"digest"),
        "conditional: If-None-Match": lambda: matches(held, validator),
        "compression: br": lambda: compress(shaped, Encoding.BR),
    }


def _store(body: bytes) -> Mapping[str, Subject]:
    keyring = Keyring((b"a secret of the micro-benchmarks, long enough",))
    sealer, space = Sealer(keyring, os.urandom), KeySpace("bff")
    digest = keyring.digests(SPACE, TOKEN)[0]
    address = Address(Container(SPACE, Scope.TOKEN, digest), "profiles", "", "es-ES|Europe/Madrid")
    tags = ("r:profiles", f"u:{JANE}", f"k:{digest}")
    binding = Binding(address.text, header(1_763_790_000_000_000, tags), TOKEN)
    entry = Entry(200, body, 1_763_790_000.0, tags)
    sealed = sealer.seal(pack(entry), binding)
    return {
        "keys: digest of a token": lambda: keyring.digests(SPACE, TOKEN),
        "keys: names in Redis": lambda: (space.container(address.container), address.field),
        "codec: seal": lambda: sealer.seal(pack(entry), binding),
        "codec: open": lambda: unpack(sealer.open(sealed, binding), tags),
    }
