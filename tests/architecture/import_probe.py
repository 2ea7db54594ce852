"""Run in a process of its own: imports modules, and tells what their own code did meanwhile.

Arguments: a folder for `sys.path`, then module names. Prints a JSON list of `[module, deed, what]`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from types import FrameType
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
DEEDS = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.putenv",
    "os.unsetenv",
    "shutil.",
    "tempfile.",
    "signal.",
)

watched: frozenset[str] = frozenset()
seen: list[tuple[str, str, str]] = []


def culprit() -> str:
    """The watched module whose own statements are running, or "".

    The innermost module body decides: what a library does while it is being imported is its own
    doing, what it does when it is called is its caller's. The import system itself does nothing.
    """
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return ""
        if frame.f_code.co_name == "<module>":
            name = str(frame.f_globals.get("__name__"))
            return name if name in watched else ""
        frame = frame.f_back
    return ""


def hook(event: str, args: tuple[Any, ...]) -> None:
    if event == "open":
        _, mode, flags = args
        writes = set(mode or "") & set("wax+") or (flags or 0) & WRITING
        deed = "writes a file" if writes else ""
    else:
        deed = event if event.startswith(DEEDS) else ""
    if deed and (module := culprit()):
        seen.append((module, deed, str(args[:1])))


def watch_what_is_not_audited() -> None:
    """Reads of the environment, and in Python 3.11 the start of a thread."""
    watch(type(os.environ), "__getitem__", "reads the environment")
    watch(type(os.environ), "__iter__", "reads the environment")
    watch(threading, "_start_new_thread", "starts a thread")


def watch(owner: Any, name: str, deed: str) -> None:
    original = getattr(owner, name)

    def telling(*args: object) -> object:
        if module := culprit():
            seen.append((module, deed, str(args[-1])))
        return original(*args)

    setattr(owner, name, telling)


def main() -> None:
    global watched  # noqa: PLW0603 - one run per process
    folder, *names = sys.argv[1:]
    sys.path.insert(0, folder)
    watched = frozenset(names)
    sys.addaudithook(hook)
    watch_what_is_not_audited()
    for name in names:
        importlib.import_module(name)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
