"""What the script is asked, and what is made of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bff.errors import StoreUnavailable
from bff.limits import Limit
from bff.nexudus.budget.contract import Priority
from bff.nexudus.budget.ledger import Account, Asking, Fate, Ledger, Report, Told, TooLate, name
from bff.nexudus.budget.windows import Shares, Tally, Window
from tests.support.budget_ledger import ScriptedLedger, raw

WINDOWS = (Window(Limit(1, 0.1), False, 0.025), Window(Limit(60, 60.0), True))
NOTHING = Account(Tally(), Tally(), 0)
TOLD = Told(0.0, "e1", "", 0.0, 1.0, (NOTHING, NOTHING))
FINE = (0, 0, 0, 1000, 1000, 0, 0)


def ledger(answer: Sequence[Any]) -> tuple[Ledger, ScriptedLedger]:
    script = ScriptedLedger(lambda args: list(answer))
    return Ledger(script, "p0", WINDOWS, Shares(0.9, 0.5, 0.75)), script


async def test_a_question_names_the_call_and_what_else_waits() -> None:
    door, script = ledger(raw(windows=2))
    await door.ask("s", Asking(Priority.BACKGROUND, True, 1.5, (0, 1, 2)), TOLD, 100.0)
    [args] = script.asked
    assert args[:16] == ["p0", 3, 1, 1500, 0, 1, 2, 0, "e1", "", 0, 1000, 1000, 0, 300, 2]
    assert args[16:22] == [0, 1000, 950, 900, 500, 750]
    assert args[22:29] == ["cs100", 0, 0, 100, 25, 1, 0]
    assert args[29:] == ["wb60000", 1, 1000, 60000, 600, 60, 0]


async def test_what_is_told_has_ages_and_says_which_is_a_seed() -> None:
    door, script = ledger(raw(windows=2))
    account = Account(Tally(((99.5, 2), (100.4, 1))), Tally(((40.0, 7),)), 9)
    sent = Report("e1", 4_999_800, True, 99.9)
    known = Report("e1", 4_999_700, False, 99.95, fate=Fate.ACCEPTED)
    back = Report("e1", 4_999_600, True, 99.95, fate=Fate.RETURNED)
    reports = (sent, known, back)
    told = Told(1.25, "e1", "e2", 2.0, 0.8, (NOTHING, account), 1.5, reports, ledger_s=5_000.0)
    await door.ask("s", None, told, 100.0)
    [args] = script.asked
    assert args[:12] == ["p0", -1, 0, 0, 0, 0, 0, 1250, "e1", "e2", 2000, 800]
    assert args[12:17] == [1500, 5_000_250, 300, 2, 3]
    assert args[36:45] == [4_999_800, 1, 99, 4_999_700, 2, 49, 4_999_600, 5, 49]
    assert args[45:] == [2, 0, 500, 2, 2, 0, -300, 1, 2, 1, 60_000, 7]


async def test_one_that_leaves_says_so() -> None:
    door, script = ledger(raw(windows=2))
    await door.ask("s", None, TOLD, 100.0, leaving=True)
    assert script.asked[0][:4] == ["p0", -2, 0, 0]


async def test_an_answer_is_read_as_it_was_meant() -> None:
    head = [0, 40, 7, 2_000, 800, 1_250, 150, 130, b"e1", b"1700000000123"]
    answer = [*head, 1, 5, 3, 4, b"p1", b"p0"]
    heard = await ledger(answer)[0].ask("s", None, TOLD, 7.0)
    assert (heard.granted, heard.wait_s) == (False, 0.04)
    assert (heard.writes_only, heard.share_only, heard.strangers_only) == (True, True, True)
    assert (heard.paused_s, heard.factor, heard.settling_s) == (2.0, 0.8, 0.15)
    assert (heard.stretch, heard.gap_s, heard.asked_at) == (1.25, 0.13, 7.0)
    assert (heard.epoch, heard.now_s) == ("e1", 1_700_000_000.123)
    assert heard.usage == ((1, 5), (3, 4))
    assert heard.processes == ("p0", "p1")


@pytest.mark.parametrize(("status", "granted"), [(0, False), (1, True), (2, None)])
async def test_an_answer_grants_denies_or_leaves_it_to_the_process(
    status: int, granted: bool | None
) -> None:
    assert (await ledger(raw(status, windows=2))[0].ask("s", None, TOLD, 0.0)).granted is granted


async def test_a_question_that_was_heard_too_late_says_when() -> None:
    with pytest.raises(TooLate) as late:
        await ledger([3, b"1700000000123"])[0].ask("s", None, TOLD, 0.0)
    assert late.value.now_s == 1_700_000_000.123


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [1, 0, 0],
        [7, *FINE, b"e", b"1", 0, 0, 0, 0],
        [1, *FINE, b"e", b"soon", 0, 0, 0, 0],
        [1, *FINE, 5, 6, 0, 0, 0, 0],
        [1, *FINE, b"e", b"1", 0, 0],
        [1, *FINE, b"e", b"1", 0, 0, 0],
        [None] * 14,
    ],
)
async def test_any_other_answer_is_that_of_a_store_that_cannot_be_used(answer: list[Any]) -> None:
    with pytest.raises(StoreUnavailable):
        await ledger(answer)[0].ask("s", None, TOLD, 0.0)


def test_windows_of_one_length_share_their_accounts_whatever_their_number() -> None:
    assert name(Window(Limit(120, 60.0))) == name(Window(Limit(100, 60.0)))
    assert name(Window(Limit(120, 60.0))) != name(Window(Limit(120, 60.0), True))
    assert name(Window(Limit(1, 60.0))) != name(Window(Limit(2, 60.0)))
