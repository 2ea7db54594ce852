"""What a leader says at its end, and leading where there is nobody else."""

from __future__ import annotations

import asyncio

import pytest

from bff.cache.endings import Ending, Failed, Nothing, Stored
from bff.cache.lead import Lead, Lock, Tenure
from bff.cache.leadership import Leadership, LocalLeadership
from bff.errors import UpstreamDown

LOCK = Lock("acme", "acme|c:7|related|7|", "c:7", 5)
FAILED = Failed(status=409, retry_after_s=2)


def ended(
    ending: Ending, error: BaseException | None = None, *, urgent: bool = True
) -> list[Ending]:
    """What is told of a flight that set `ending` and then ended, with `error` or without."""
    said: list[Ending] = []
    lead = Lead(LOCK, "me", urgent=urgent)
    lead.on_end = lambda lead: said.append(lead.ending)
    if error is None:
        with lead:
            lead.ending = ending
    else:
        with pytest.raises(type(error)), lead:
            lead.ending = ending
            raise error
    return said


@pytest.mark.parametrize("urgent", [True, False])
def test_what_concerns_others_is_told(urgent: bool) -> None:
    down = UpstreamDown("no", retry_after_s=1)
    told: list[Ending] = [Failed.of(down)] if urgent else [Nothing()]
    assert ended(Stored(), urgent=urgent) == [Stored()]
    assert ended(Nothing(), urgent=urgent) == [Nothing()]
    assert ended(FAILED, urgent=urgent) == ([FAILED] if urgent else [Nothing()])
    assert ended(Nothing(), down, urgent=urgent) == told
    assert ended(Nothing(), asyncio.CancelledError(), urgent=urgent) == [Nothing()]
    assert ended(Nothing(), KeyError("a defect"), urgent=urgent) == [Nothing()]
    # Stored before it failed: the document is there all the same.
    assert ended(Stored(), down, urgent=urgent) == [Stored()]


def test_somebody_who_waits_is_noticed_once_and_never_missed() -> None:
    calls: list[str] = []
    lead = Lead(LOCK, "me", urgent=False)
    states = [lead.urgent]
    lead.when_urgent(lambda: calls.append("first"))
    assert calls == []
    lead.hurry()
    lead.hurry()
    states.append(lead.urgent)
    assert calls == ["first"]
    lead.when_urgent(lambda: calls.append("late"))
    assert calls == ["first", "late"]
    assert states == [False, True]


async def test_where_there_is_nobody_else_everybody_leads() -> None:
    leadership: Leadership = LocalLeadership()
    for urgent in (True, False):
        turns = [await leadership.claim(LOCK, within_s=1, urgent=urgent) for _ in range(2)]
        for turn in turns:
            assert isinstance(turn, Lead)
            assert turn.urgent is urgent
            with turn:
                turn.ending = Stored()
    assert not leadership.seizes
    assert await leadership.seize(LOCK, ()) is None
    await leadership.aclose()


@pytest.mark.parametrize(("lease_s", "renew_s"), [(1, 0.6), (1, 0), (0, 0)])
def test_a_lease_outlives_a_renewal_that_gets_lost(lease_s: float, renew_s: float) -> None:
    with pytest.raises(ValueError, match="outlives"):
        Tenure(lease_s, renew_s)
    assert Tenure().renew_s * 3 <= Tenure().lease_s
