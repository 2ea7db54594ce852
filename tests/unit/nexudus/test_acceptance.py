"""Whose calls count as strangers', and until when."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest

from bff.nexudus.acceptance import BEARERS, GRANTS, STANDS_S, Acceptances, accepts_token
from bff.nexudus.admission import Admission, AdmissionPolicy, Attempt
from bff.nexudus.budget.contract import Grant, Priority, Urgency
from bff.nexudus.intent import FORWARDED, Intent, Purpose, Reason
from tests.support.manual_time import ManualTime
from tests.support.unlimited import Unlimited

NOW = 1_000.0
JSON = (b"Content-Type", b"application/json; charset=utf-8")


@pytest.mark.parametrize(
    ("status", "headers", "accepted"),
    [
        (200, [JSON], True),
        (200, [(b"content-type", b"Application/Problem+JSON")], True),
        (200, [(b"content-type", b"text/html")], False),  # auth missed (FACTS 7)
        (200, [JSON, (b"content-type", b"text/html")], False),
        (200, [], False),
        (302, [JSON], False),
        (401, [JSON], False),
        (403, [JSON], False),
        (404, [JSON], False),
        (503, [JSON], False),
    ],
)
def test_a_document_proves_that_nexudus_knows_the_token(
    status: int, headers: list[tuple[bytes, bytes]], accepted: bool
) -> None:
    assert accepts_token(status, headers) is accepted


class Told:
    """Grants that say when they were accepted."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def grant(self, priority: Priority = Priority.STRANGER) -> Grant:
        return Grant(priority=priority, on_accepted=self.at.append)


def test_one_answer_speaks_for_all_calls_with_the_token_before_and_after() -> None:
    acceptances, ours, theirs = Acceptances(), Told(), Told()
    for _ in range(2):
        acceptances.begins("ours", ours.grant(), NOW)
        acceptances.begins("theirs", theirs.grant(), NOW)
    acceptances.accepted("ours", NOW + 1)
    assert (ours.at, theirs.at) == ([NOW + 1] * 2, [])
    acceptances.begins("ours", ours.grant(), NOW + 2)
    acceptances.accepted("ours", NOW + 3)
    assert ours.at == [NOW + 1, NOW + 1, NOW + 2]
    acceptances.begins("ours", ours.grant(), NOW + 3 + STANDS_S)
    assert len(ours.at) == 3  # a token may have ended since


def test_those_of_nobody_and_those_of_members_are_left_alone() -> None:
    acceptances, told = Acceptances(), Told()
    acceptances.begins("", told.grant(), NOW)
    acceptances.begins("member", told.grant(Priority.INTERACTIVE), NOW)
    for bearer in ("", "member"):
        acceptances.accepted(bearer, NOW)
    assert told.at == []
    assert not acceptances.stands("", NOW)


def test_an_acceptance_stands_until_it_is_old_or_the_token_refused() -> None:
    acceptances, told = Acceptances(), Told()
    acceptances.accepted("member", NOW)
    assert [acceptances.stands("member", NOW + each) for each in (0, 599, STANDS_S)] == [1, 1, 0]
    assert not acceptances.stands("another", NOW)
    acceptances.refused("another")
    acceptances.refused("member")
    assert not acceptances.stands("member", NOW)
    acceptances.begins("member", told.grant(), NOW)
    assert told.at == []


def test_a_flood_of_invented_tokens_is_forgotten_in_its_order_and_pushes_no_member_out() -> None:
    acceptances, first, last = Acceptances(), Told(), Told()
    acceptances.accepted("member", NOW)
    acceptances.begins("first", first.grant(), NOW)
    for number in range(BEARERS - 1):
        acceptances.begins(f"invented {number}", Grant(priority=Priority.STRANGER), NOW)
    for _ in range(GRANTS + 5):
        acceptances.begins("last", last.grant(), NOW)
    acceptances.accepted("first", NOW)
    acceptances.accepted("last", NOW)
    assert (len(first.at), len(last.at)) == (0, GRANTS)
    assert acceptances.stands("member", NOW)


def test_of_those_accepted_the_latest_are_remembered() -> None:
    acceptances = Acceptances()
    for number in (*range(BEARERS), 0, BEARERS):
        acceptances.accepted(f"member {number}", NOW)
    stand = [number for number in range(3) if acceptances.stands(f"member {number}", NOW)]
    assert stand == [0, 2]


class Lent(Unlimited):
    """A budget whose grants say whose they are, and until when."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted: list[int] = []

    async def spend(self, space: str, urgency: Urgency, *, write: bool, within_s: float) -> Grant:
        grant = await super().spend(space, urgency, write=write, within_s=within_s)
        grant.priority, number = urgency.priority, len(self.grants)
        grant.on_accepted = lambda _now: self.accepted.append(number)
        return grant


async def test_of_a_session_one_list_that_is_not_there_counts_until_the_other_is_answered() -> None:
    budget, time = Lent(), ManualTime()
    admission = Admission(budget, AdmissionPolicy(), time, lambda: 0.0)

    def call(bearer: str) -> AbstractAsyncContextManager[Attempt]:
        purpose = Purpose("profiles", Reason.INTERACTIVE)
        urgency = Urgency(Priority.STRANGER)
        intent = Intent("alpha", purpose, urgency, time.now + 8, bearer=bearer)
        return admission.call(intent)

    budget.untils = [time.now + 0.25]
    async with call("ours") as related:
        time.now += 0.3
        await related.renewed()  # the first grant was of no use: nobody's counts for a stranger
        await related.answered(404, [JSON])
    async with call("invented") as refused:
        await refused.answered(401, [JSON])
    async with call("ours") as broken:
        await broken.answered(503, [JSON])
    assert budget.accepted == [1]
    async with call("ours") as profiles:
        await profiles.answered(200, [JSON])
    assert budget.accepted == [1, 2, 4, 5]


@pytest.mark.parametrize(
    ("first", "asked", "then"),
    [
        ([200], Priority.STRANGER, Priority.INTERACTIVE),
        ([200], Priority.BACKGROUND, Priority.BACKGROUND),
        ([404], Priority.STRANGER, Priority.STRANGER),
        ([200, 503], Priority.STRANGER, Priority.INTERACTIVE),
        ([200, 404], Priority.STRANGER, Priority.INTERACTIVE),
        ([200, 401], Priority.STRANGER, Priority.STRANGER),
        ([200, 403], Priority.STRANGER, Priority.INTERACTIVE),  # a firewall's, of anybody (FACTS 1)
    ],
)
async def test_a_member_whose_proof_is_lost_is_no_stranger(
    first: list[int], asked: Priority, then: Priority
) -> None:
    budget, time = Unlimited(), ManualTime()
    admission = Admission(budget, AdmissionPolicy(), time, lambda: 0.0)

    async def call(status: int, priority: Priority) -> None:
        purpose = Purpose("profiles", Reason.INTERACTIVE)
        intent = Intent("alpha", purpose, Urgency(priority), time.now + 8, bearer="ours")
        async with admission.call(intent) as attempt:
            await attempt.answered(status, [JSON])

    for status in first:
        await call(status, Priority.INTERACTIVE)
    await call(200, asked)
    assert budget.spent[-1] == ("alpha", then, False)


async def test_a_page_instead_of_a_list_may_mean_that_the_token_is_known_no_more() -> None:
    budget, time = Unlimited(), ManualTime()
    admission = Admission(budget, AdmissionPolicy(), time, lambda: 0.0)
    purpose = Purpose("profiles", Reason.INTERACTIVE)
    for kind in (JSON, (b"content-type", b"text/html"), JSON):
        urgency = Urgency(Priority.STRANGER)
        intent = Intent("alpha", purpose, urgency, time.now + 8, bearer="ours")
        async with admission.call(intent) as attempt:
            await attempt.answered(200, [kind])
    given = [Priority.STRANGER, Priority.INTERACTIVE, Priority.STRANGER]
    assert [priority for _, priority, _ in budget.spent] == given


async def test_an_answer_to_a_call_that_is_passed_through_proves_nothing() -> None:
    budget, time = Lent(), ManualTime()
    admission = Admission(budget, AdmissionPolicy(), time, lambda: 0.0)
    intent = Intent("alpha", FORWARDED, Urgency(Priority.STRANGER), time.now + 8, bearer="b")
    async with admission.call(intent) as attempt:
        await attempt.answered(200, [JSON])
    assert budget.accepted == []
