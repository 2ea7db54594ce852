"""Time as far as the machine gave any: what others take of it is nothing that a test measures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

_SCHEDULED: Final = Path("/proc/thread-self/schedstat")


def now() -> float:
    """Monotonic seconds, without those in which this thread could have run but others did.

    Linux tells them; elsewhere all of them count. Sleeping, working and waiting for others count.
    """
    try:
        _, kept_waiting_ns, _ = _SCHEDULED.read_text().split()
    except OSError:
        return time.monotonic()
    return time.monotonic() - int(kept_waiting_ns) / 1e9
