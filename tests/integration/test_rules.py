"""The cache rules of DESIGN through real sockets: proof (1), 401 (2), fills (4), answers (8).

Rule 3 is in `test_writes`, rules 5, 6 with 7, and 9 in the `test_rules_…` files.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from bff.sandbox.effects import NoStore, SetCookie, Status
from tests.support.gateway import (
    BOOTSTRAP,
    EDIT,
    OPS_TOKEN,
    PROFILES,
    SECRET,
    SWITCH,
    Stage,
    bearer,
    related,
    stage,
)

OF_ALICE = related(101)
OF_BOB = related(202)
BENEFITS = "/api/public/coworkers/profiles/current/benefits"


class TestRule1SharedEntriesOnlyToProvenTokens:
    async def test_one_fetch_serves_every_proven_token(self, pair: Stage) -> None:
        first = await pair.get(OF_ALICE, pair.alice)
        for via, member in ((0, pair.bob), (1, pair.alice), (1, pair.tenant.another(pair.bob))):
            answer = await pair.get(OF_ALICE, member, via=via)
            assert answer.content == first.content
        assert pair.tenant.arrivals(OF_ALICE) == 1

    async def test_an_unproven_token_is_checked_first(self, pair: Stage) -> None:
        await pair.get(OF_ALICE, pair.alice)
        pair.tenant.forget_visits()
        await pair.get(OF_ALICE, pair.bob, via=1)
        assert [visit.path for visit in pair.tenant.visits()] == [PROFILES]

    async def test_every_other_token_gets_401_whatever_is_cached(self, pair: Stage) -> None:
        member = pair.tenant.another(pair.alice)
        expired = replace(member, token=pair.tenant.mint(pair.alice, ttl_s=-1))
        expired_jwt = replace(member, token=pair.tenant.mint(pair.alice, jwt=True, ttl_s=-1))
        revoked = pair.tenant.another(pair.alice)
        pair.tenant.sandbox.tokens.revoke(revoked.token)
        headers = [
            {},
            {"authorization": "Bearer"},
            {"authorization": "Basic YTpi"},
            bearer("garbage"),
            expired.headers,
            expired_jwt.headers,
            revoked.headers,
        ]
        for target in (OF_ALICE, PROFILES, BOOTSTRAP, f"{BOOTSTRAP}?coworkerId=101"):
            await pair.get(target, pair.alice)
            for via in (0, 1):
                for each in headers:
                    answer = await pair.get(target, headers=each, via=via)
                    assert answer.status_code == 401
                    assert pair.alice.canary not in answer.text

    async def test_a_revoked_token_sees_a_related_list_no_longer_than_the_profile_ttl(
        self, pair: Stage
    ) -> None:
        for via in (0, 1):
            await pair.get(OF_ALICE, pair.alice, via=via)
        pair.tenant.sandbox.tokens.revoke(pair.alice.token)
        pair.clock.advance(59)
        # Asked late, so that a finished answer is kept late too.
        for via in (0, 1):
            assert (await pair.get(OF_ALICE, pair.alice, via=via)).status_code == 200
            other = f"{OF_ALICE}?_shape=Threads"
            assert (await pair.get(other, pair.alice, via=via)).status_code == 200
        pair.clock.advance(2)
        for via in (1, 0):
            for target in (OF_ALICE, f"{OF_ALICE}?_shape=Threads"):
                assert (await pair.get(target, pair.alice, via=via)).status_code == 401

    async def test_a_revoked_token_sees_one_stale_bootstrap_at_most(self, pair: Stage) -> None:
        """There a list that is being revalidated vouches for the related one beside it."""
        for via in (0, 1):
            await pair.get(BOOTSTRAP, pair.alice, via=via)
        pair.tenant.sandbox.tokens.revoke(pair.alice.token)
        pair.clock.advance(61)
        assert (await pair.get(BOOTSTRAP, pair.alice)).status_code == 200
        await pair.quiet()
        for target in (BOOTSTRAP, PROFILES, OF_ALICE):
            for via in (0, 1):
                assert (await pair.get(target, pair.alice, via=via)).status_code == 401

    async def test_stale_is_not_served_past_its_window(self, pair: Stage) -> None:
        await pair.get(BOOTSTRAP, pair.alice)
        pair.tenant.sandbox.tokens.revoke(pair.alice.token)
        pair.clock.advance(361)
        for via in (1, 0):
            assert (await pair.get(BOOTSTRAP, pair.alice, via=via)).status_code == 401

    async def test_only_the_bootstrap_takes_a_stale_list_for_a_proof(self, solo: Stage) -> None:
        await solo.get(BOOTSTRAP, solo.alice)
        solo.tenant.hold(PROFILES)
        solo.clock.advance(61)
        stale = await solo.get(BOOTSTRAP, solo.alice)
        assert stale.json()["RelatedProfiles"]
        await solo.tenant.held()
        strict = solo.later(OF_ALICE, solo.alice)
        await solo.waiting(1)
        solo.tenant.release()
        assert (await strict).status_code == 200
        assert solo.tenant.arrivals(PROFILES) == 2

    async def test_an_expired_jwt_is_served_nothing_not_even_stale(self, pair: Stage) -> None:
        for reaction, status in (
            (None, 401),
            (Status(503), 503),
            (Status(409, retry_after=0), 503),
        ):
            token = pair.tenant.mint(pair.alice, jwt=True, ttl_s=30)
            member = replace(pair.alice, token=token)
            for target in (BOOTSTRAP, PROFILES, OF_ALICE):
                answer = await pair.get(target, member)
                assert answer.status_code == 200
            if reaction is not None:
                pair.tenant.fault(reaction)
            pair.clock.advance(30)
            for via in (0, 1):
                for target in (BOOTSTRAP, PROFILES, OF_ALICE):
                    answer = await pair.get(target, member, via=via)
                    assert answer.status_code == status
                    assert pair.alice.canary not in answer.text
            pair.tenant.release()

    async def test_pitfall_2_the_end_of_a_jwt_ends_its_proof(self, solo: Stage) -> None:
        token = solo.tenant.mint(solo.alice, jwt=True, ttl_s=30)
        member = replace(solo.alice, token=token)
        assert (await solo.get(OF_ALICE, member)).status_code == 200
        solo.clock.advance(30)
        solo.tenant.forget_visits()
        assert (await solo.get(OF_ALICE, member)).status_code == 401
        assert [visit.path for visit in solo.tenant.visits()] == [PROFILES]


class TestRule2Precise401:
    async def test_401_on_the_list_deletes_what_is_stored_for_that_token_everywhere(
        self, pair: Stage
    ) -> None:
        other, german = pair.tenant.another(pair.alice), {"accept-language": "de"}
        for member in (pair.alice, other, pair.bob):
            for via in (0, 1):
                await pair.get(BOOTSTRAP, member, via=via)
                await pair.get(PROFILES, member, via=via, headers=german)
        pair.tenant.fault(Status(401), PROFILES, token=pair.alice.token, count=1)
        pair.clock.advance(61)
        await pair.get(PROFILES, pair.alice)
        await pair.quiet()
        pair.tenant.forget_visits()
        # Within the stale window: what was stored would be served at once.
        for headers in ({}, german):  # both, also now that the token is accepted again
            answer = await pair.get(PROFILES, pair.alice, via=1, headers=headers)
            assert answer.headers["age"] == "0"
        for member in (other, pair.bob):
            for headers in ({}, german):
                answer = await pair.get(PROFILES, member, via=1, headers=headers)
                assert answer.headers["age"] == "61"

    async def test_401_deletes_what_was_stored_under_an_older_secret_too(
        self, redis_url: str
    ) -> None:
        both = f"{'n' * 40},{SECRET}"
        async with stage(redis_url) as old:
            await old.get(PROFILES, old.alice)
            async with stage(redis_url, env={"BFF_SECRET": both}, beside=old) as new:
                found = await new.get(PROFILES, old.alice)
                assert found.headers["cache-status"].startswith("bff; hit")
                old.tenant.fault(Status(401), PROFILES, token=old.alice.token, count=1)
                old.clock.advance(61)
                await new.get(PROFILES, old.alice)
                await new.quiet()
                for each in (old, new):  # within the stale window, as above
                    answer = await each.get(PROFILES, old.alice)
                    assert answer.headers["age"] == "0"

    async def test_401_elsewhere_is_passed_on_and_withdraws_only_the_proof(
        self, pair: Stage
    ) -> None:
        other, german = pair.tenant.another(pair.alice), {"accept-language": "de"}
        for member in (pair.alice, other, pair.bob):
            for via in (0, 1):
                await pair.get(BOOTSTRAP, member, via=via)
                await pair.get(OF_ALICE, member, via=via)
                await pair.get(PROFILES, member, via=via, headers=german)
        forbidden = "/api/public/billing/invoices/my"
        pair.tenant.fault(Status(401, body='{"Message":"no"}'), forbidden)
        refused = await pair.get(forbidden, pair.alice)
        assert (refused.status_code, refused.text) == (401, '{"Message":"no"}')
        pair.tenant.forget_visits()
        for member in (other, pair.bob):
            for via in (0, 1):
                for target in (BOOTSTRAP, PROFILES, OF_ALICE):
                    await pair.get(target, member, via=via)
        assert pair.tenant.visits() == []
        for target in (OF_ALICE, BOOTSTRAP, PROFILES):
            for via in (1, 0):
                assert (await pair.get(target, pair.alice, via=via)).status_code == 200
        # Proven again, the token has its other documents back.
        for via in (1, 0):
            await pair.get(PROFILES, pair.alice, via=via, headers=german)
        assert [visit.path for visit in pair.tenant.visits()] == [PROFILES]

    async def test_401_on_the_related_list_does_the_same(self, pair: Stage) -> None:
        await pair.get(OF_BOB, pair.bob)
        await pair.get(BOOTSTRAP, pair.alice)
        pair.tenant.fault(Status(401), related(145), token=pair.alice.token)
        assert (await pair.get(related(145), pair.alice)).status_code == 401
        pair.tenant.forget_visits()
        assert (await pair.get(OF_BOB, pair.alice, via=1)).status_code == 200
        assert [visit.path for visit in pair.tenant.visits()] == [PROFILES]

    async def test_401_of_a_revoked_token_elsewhere_ends_it_at_once(self, pair: Stage) -> None:
        await pair.get(BOOTSTRAP, pair.alice)
        pair.tenant.sandbox.tokens.revoke(pair.alice.token)
        assert (await pair.get(BENEFITS, pair.alice)).status_code == 401
        for via in (0, 1):
            assert (await pair.get(BOOTSTRAP, pair.alice, via=via)).status_code == 401


class TestRule4InvalidationBeatsFills:
    @pytest.mark.parametrize("reader", [0, 1])
    async def test_a_fetch_that_began_before_a_write_stores_nothing(
        self, pair: Stage, reader: int
    ) -> None:
        phone = pair.tenant.another(pair.alice)
        await pair.prove(phone)
        pair.tenant.hold(PROFILES, token=pair.alice.token, count=1)
        old = pair.later(BOOTSTRAP, pair.alice, via=reader)
        await pair.tenant.held()
        await pair.send("PUT", f"{SWITCH}?coworkerId=145", phone)

        # A read that begins now joins nothing that began before.
        fresh = await pair.get(BOOTSTRAP, pair.alice, via=reader)
        assert fresh.json()["Bootstrap"]["CoworkerId"] == 145
        pair.tenant.release()
        assert (await old).json()["Bootstrap"]["CoworkerId"] == 101
        for via in (reader, 1 - reader):
            for target in (BOOTSTRAP, f"{BOOTSTRAP}?_shape=Bootstrap"):
                after = await pair.get(target, pair.alice, via=via)
                assert after.json()["Bootstrap"]["CoworkerId"] == 145

    async def test_the_first_reader_after_it_asks_nexudus(self, pair: Stage) -> None:
        """The same without a fresh read in between, which would cover for the old fill."""
        phone = pair.tenant.another(pair.alice)
        await pair.prove(phone)
        pair.tenant.hold(PROFILES, token=pair.alice.token, count=1)
        old = [pair.later(BOOTSTRAP, pair.alice, via=1) for _ in range(3)]
        await pair.tenant.held()
        await pair.waiting(3, via=1)
        await pair.send("PUT", f"{SWITCH}?coworkerId=145", phone)
        pair.tenant.release()
        for each in old:
            assert (await each).json()["Bootstrap"]["CoworkerId"] == 101
        for via in (1, 0):
            after = await pair.get(BOOTSTRAP, pair.alice, via=via)
            assert after.json()["Bootstrap"]["CoworkerId"] == 145

    async def test_a_related_list_that_was_on_its_way_is_not_stored(self, pair: Stage) -> None:
        await pair.prove(pair.alice, pair.bob)
        pair.tenant.hold(OF_BOB, count=1)
        old = pair.later(OF_BOB, pair.bob, via=1)
        await pair.tenant.held()
        await pair.send("PATCH", EDIT, pair.alice, content=b'{"FullName":"New Name"}')
        pair.tenant.release()
        assert "New Name" not in (await old).text
        for via in (1, 0):
            assert "New Name" in (await pair.get(OF_BOB, pair.bob, via=via)).text

    async def test_an_answer_made_of_what_is_dropped_meanwhile_is_not_kept(
        self, pair: Stage
    ) -> None:
        # Stored once before, so that the store knows of everything that it depends on.
        await pair.get(OF_ALICE, pair.bob)
        pair.clock.advance(2 * 86400)
        await pair.prove(pair.alice)
        pair.tenant.hold(OF_ALICE)
        old = pair.later(BOOTSTRAP, pair.alice)
        await pair.tenant.held()
        pair.tenant.sandbox.world.edit(101, {"CompanyName": "After Ltd"})
        purge = b'{"user":7001}'  # the related list is not concerned: it will be stored
        await pair.send("POST", "/ops/api/purge", headers=bearer(OPS_TOKEN), content=purge)
        pair.tenant.release()
        assert "After Ltd" not in (await old).text
        assert "After Ltd" in (await pair.get(BOOTSTRAP, pair.alice)).text

    async def test_a_refresh_behind_a_stale_answer_is_a_fill_too(self, pair: Stage) -> None:
        await pair.get(BOOTSTRAP, pair.alice)
        pair.clock.advance(61)
        phone = pair.tenant.another(pair.alice)
        await pair.prove(phone)
        pair.tenant.hold(PROFILES, token=pair.alice.token, count=1)
        await pair.get(BOOTSTRAP, pair.alice)
        await pair.tenant.held()
        await pair.send("PUT", f"{SWITCH}?coworkerId=145", phone, via=1)
        pair.tenant.release()
        await pair.quiet()
        for via in (0, 1):
            after = await pair.get(BOOTSTRAP, pair.alice, via=via)
            assert after.json()["Bootstrap"]["CoworkerId"] == 145


class TestRule8OnlyGoodAnswers:
    async def test_a_404_on_a_related_list_is_one(self, pair: Stage) -> None:
        for via in (0, 1):
            assert (await pair.get(related(999), pair.alice, via=via)).status_code == 404
        assert pair.tenant.arrivals(related(999)) == 1

    async def test_a_404_on_the_profile_list_is_none(self, solo: Stage) -> None:
        solo.tenant.fault(Status(404), PROFILES)
        for _ in range(2):
            assert (await solo.get(PROFILES, solo.alice)).status_code == 404
        assert solo.tenant.arrivals(PROFILES) == 2

    @pytest.mark.parametrize("effect", [SetCookie(), NoStore()])
    async def test_a_404_that_forbids_storing_is_none(
        self, solo: Stage, effect: SetCookie | NoStore
    ) -> None:
        solo.tenant.fault(effect, related(999))
        for _ in range(2):
            assert (await solo.get(related(999), solo.alice)).status_code == 404
        assert solo.tenant.arrivals(related(999)) == 2

    async def test_a_later_good_answer_takes_the_place_of_a_404(self, solo: Stage) -> None:
        solo.tenant.sandbox.world.edit(101, {"ProfileIsPublic": False})
        assert (await solo.get(OF_ALICE, solo.alice)).status_code == 404
        solo.tenant.sandbox.world.edit(101, {"ProfileIsPublic": True})
        solo.clock.advance(61)
        assert (await solo.get(OF_ALICE, solo.alice)).status_code == 200
