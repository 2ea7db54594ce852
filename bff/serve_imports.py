"""Imports of a process that forks workers: made once for all of them, without what none needs."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from typing import Final

OPTIONAL: Final = ("click", "dotenv", "greenlet", "opentelemetry", "pygments", "rich")
"""What libraries of ours import where it is installed, for uses that are not ours: httpx for a
command of its own, structlog for tracebacks in colour, redis for metrics of its own, granian for
files of variables."""

YOUNG: Final = 20_000
"""Objects that are made before those that came last are searched for garbage."""


@contextlib.contextmanager
def shared_imports() -> Iterator[None]:
    """What is imported within is for workers forked later, which share the memory that it takes.

    Packages that are OPTIONAL and have not been imported yet seem not to be installed, within.
    """
    hidden = [name for name in OPTIONAL if name not in sys.modules]
    # The import system's own way to say so (reference, "The module cache").
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        # A session that is fetched makes some thousand objects, which go by themselves: with the
        # default of 700 they would be looked through several times while it is under way.
        gc.set_threshold(YOUNG)
        # Modules stay: a search for garbage among them would only have each worker copy them.
        gc.freeze()
        for name in hidden:
            del sys.modules[name]
