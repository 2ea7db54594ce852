"""Whether this machine's clock agrees with another's."""

from __future__ import annotations

from typing import Final

from bff.doctor.findings import Finding, fault, ok, warning

WARNING_S: Final = 5.0
FAULT_S: Final = 60.0
_REMEDY: Final = (
    "Let a time service (NTP) keep this machine's clock: ages and token expiry need it."
)


def judge(whose: str, ahead_s: float) -> Finding:
    """`ahead_s`: seconds that this machine's clock is ahead of that of `whose`."""
    check = f"clock against {whose}"
    skew_s = abs(ahead_s)
    if skew_s <= WARNING_S:
        return ok(check, f"within {WARNING_S:.0f} s")
    detail = f"{skew_s:.0f} s {'ahead' if ahead_s > 0 else 'behind'}"
    return (fault if skew_s > FAULT_S else warning)(check, detail, _REMEDY)
