from __future__ import annotations

import base64
from collections.abc import Callable

import orjson
import pytest

from bff.sandbox.auth import ONE_TIME_KEPT, InvalidGrant
from tests.unit.sandbox.space import ADMIN, PROFILES, Space, fixture, is_empty

MakeSpace = Callable[..., Space]
REFRESH, EXCHANGE = "/api/sys/users/token/refresh", "/api/sys/users/exchange"


async def test_a_password_buys_a_session(space: Space) -> None:
    answer = await space.sign_in(totp="")
    session = answer.json()
    assert session.keys() == fixture("token_ok.json").keys()
    assert (session["token_type"], session["expires_in"]) == ("bearer", 1_209_599)
    assert len(session["access_token"]) == 432
    assert len(session["refresh_token"]) == 32
    profiles = await space.get(PROFILES, session["access_token"])
    assert profiles.json()["User"]["Email"] == "jane.doe@example.com"


async def test_the_email_is_not_case_sensitive(space: Space) -> None:
    assert (await space.sign_in(" Jane.Doe@Example.COM ")).status_code == 200


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("jane.doe@example.com", "wrong"),
        ("nobody@example.com", "demo"),
        ("other.place@example.com", "demo"),
        ("sus.pended@example.com", "demo"),
        ("", ""),
    ],
)
async def test_whoever_may_not_sign_in_is_told_the_same(
    space: Space, email: str, password: str
) -> None:
    answer = await space.sign_in(email, password)
    assert answer.status_code == 400
    assert answer.json() == fixture("token_error.json")


async def test_a_second_factor_is_asked_for(space: Space) -> None:
    for totp in ({}, {"totp": ""}, {"totp": "000000"}):
        answer = await space.sign_in("two.factor@example.com", **totp)
        assert (answer.status_code, answer.json()) == (400, fixture("token_error_2fa.json"))
    assert (await space.sign_in("two.factor@example.com", totp="123456")).status_code == 200
    wrong = await space.sign_in("two.factor@example.com", "wrong")
    assert wrong.json() == fixture("token_error.json")


async def test_a_forced_reset_hands_out_a_secret(space: Space) -> None:
    answer = await space.sign_in("must.reset@example.com")
    assert (answer.status_code, answer.json()) == (400, fixture("token_error_must_reset.json"))


async def test_only_forms_with_a_known_grant_are_taken(space: Space) -> None:
    body = {"grant_type": "password", "username": "jane.doe@example.com", "password": "demo"}
    answers = [
        await space.client.post("/api/token", json=body),
        await space.client.post("/api/token", data={**body, "grant_type": "client_credentials"}),
        await space.client.post("/api/token", data={}),
        await space.client.post("/api/token", content=b"grant_type=password"),
    ]
    for answer in answers:
        assert answer.status_code == 400
        assert answer.json() == fixture("token_error_unsupported.json")
    assert (await space.client.get("/api/token")).status_code == 405


async def test_a_refresh_token_works_once_and_access_tokens_live_on(space: Space) -> None:
    first = (await space.sign_in()).json()
    second = await space.refresh(first["refresh_token"])
    assert second.json().keys() == fixture("token_refresh_ok.json").keys()
    again = await space.refresh(first["refresh_token"])
    assert (again.status_code, again.json()) == (400, fixture("token_error_bad_refresh.json"))
    for session in (first, second.json()):
        assert (await space.get(PROFILES, session["access_token"])).status_code == 200
    assert (await space.refresh(second.json()["refresh_token"])).status_code == 200


async def test_a_new_session_ends_the_refresh_token_of_its_own_client_only(space: Space) -> None:
    portal = (await space.sign_in(client_id="nexudus.portal.jane")).json()
    phone = (await space.sign_in(client_id="phone")).json()
    newer = (await space.sign_in(client_id="nexudus.portal.jane")).json()
    assert (await space.refresh(portal["refresh_token"], "nexudus.portal.jane")).status_code == 400
    assert (await space.refresh(phone["refresh_token"], "phone")).status_code == 200
    assert (await space.refresh(newer["refresh_token"], "nexudus.portal.jane")).status_code == 200


async def test_another_client_cannot_spend_a_refresh_token(space: Space) -> None:
    named = (await space.sign_in(client_id="phone")).json()["refresh_token"]
    for other in (None, "tablet", "jane.doe@example.com"):
        assert (await space.refresh(named, other)).status_code == 400
    assert (await space.refresh(named, "phone")).status_code == 200
    unnamed = (await space.sign_in()).json()["refresh_token"]
    assert (await space.refresh(unnamed, "phone")).status_code == 400
    assert (await space.refresh(unnamed, "jane.doe@example.com")).status_code == 200


async def test_refresh_tokens_live_fifteen_days_and_access_tokens_fourteen(space: Space) -> None:
    session = (await space.sign_in()).json()
    space.clock.now += 14 * 86_400
    assert (await space.get(PROFILES, session["access_token"])).status_code == 401
    renewed = (await space.refresh(session["refresh_token"])).json()
    assert (await space.get(PROFILES, renewed["access_token"])).status_code == 200
    space.clock.now += 15 * 86_400
    assert (await space.refresh(renewed["refresh_token"])).status_code == 400


async def test_revoking_a_user_ends_everything_of_theirs_only(space: Space) -> None:
    jane, carlos = (await space.sign_in()).json(), await space.sign_in("carlos.ruiz@example.com")
    assert space.sandbox.tokens.revoke_user(7001) == 2  # the session's and the demo token
    assert (await space.get(PROFILES, jane["access_token"])).status_code == 401
    assert (await space.refresh(jane["refresh_token"])).status_code == 400
    assert (await space.get(PROFILES, carlos.json()["access_token"])).status_code == 200


def claims_of(token: str) -> dict[str, object]:
    payload = token.split(".")[1]
    claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert isinstance(claims, dict)
    return claims


async def test_tokens_may_be_jwts_that_say_when_they_end(make_space: MakeSpace) -> None:
    space = make_space(jwt_tokens=True)
    session = (await space.sign_in()).json()
    header = session["access_token"].split(".")[0]
    assert header == "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9"
    assert claims_of(session["access_token"])["exp"] == int(space.clock.now) + 1_209_599
    assert (await space.get(PROFILES, session["access_token"])).status_code == 200
    opaque = space.sandbox.tokens.mint(7001, jwt=False)
    assert opaque.count(".") == 0


async def test_pitfall_13_one_time_tokens_are_minted_anew_and_spent_once(space: Space) -> None:
    values = set()
    for method in ("GET", "POST"):
        answer = await space.call(method, REFRESH)
        assert answer.json().keys() == fixture("one_time_jwt_ok.json").keys()
        values.add(answer.json()["Value"])
    assert len(values) == 2
    one_time = values.pop()
    assert claims_of(one_time)["exp"] == int(space.clock.now) + 1_800
    assert (await space.get(PROFILES, one_time)).status_code == 401  # not a bearer token
    session = await space.call("POST", EXCHANGE, None, params={"token": one_time})
    assert session.json().keys() == fixture("exchange_ok.json").keys()
    assert session.json()["expires_in"] == 86_400
    assert (await space.get(PROFILES, session.json()["token"])).status_code == 200
    spent = await space.call("POST", EXCHANGE, None, params={"token": one_time})
    assert spent.status_code == 401
    assert is_empty(spent)


async def test_exchange_wants_a_token_and_a_time(space: Space) -> None:
    one_time = (await space.get(REFRESH)).json()["Value"]
    assert (await space.call("GET", EXCHANGE, None)).status_code == 400
    for minutes in ("0", "-1", "soon"):
        params = {"token": one_time, "validForInMinutes": minutes}
        assert (await space.call("GET", EXCHANGE, None, params=params)).status_code == 400
    params = {"token": one_time, "validForInMinutes": "10"}
    session = (await space.call("GET", EXCHANGE, None, params=params)).json()
    assert session["expires_in"] == 600
    space.clock.now += 600
    assert (await space.get(PROFILES, session["token"])).status_code == 401


async def test_one_time_tokens_expire(space: Space) -> None:
    one_time = (await space.get(REFRESH)).json()["Value"]
    space.clock.now += 1_800
    answer = await space.call("POST", EXCHANGE, None, params={"token": one_time})
    assert answer.status_code == 401


async def test_only_so_many_one_time_tokens_are_kept(space: Space) -> None:
    tokens = space.sandbox.tokens
    minted = [tokens.one_time(7001) for _ in range(ONE_TIME_KEPT + 1)]
    assert tokens.spend_one_time(minted[1]) == tokens.spend_one_time(minted[-1]) == 7001
    with pytest.raises(InvalidGrant):
        tokens.spend_one_time(minted[0])


async def test_admins_may_become_members(space: Space) -> None:
    path = "/api/public/coworkers/{}/impersonate".format
    assert (await space.get(path(202), None)).status_code == 401
    assert (await space.get(path(202))).status_code == 403
    admin = space.token(ADMIN)
    assert (await space.get(path(999), admin)).status_code == 404
    answer = await space.get(path(202), admin)
    assert answer.json().keys() == fixture("impersonate_ok.json").keys()
    session = await space.call("POST", EXCHANGE, None, params={"token": answer.json()["token"]})
    profiles = await space.get(PROFILES, session.json()["token"])
    assert profiles.json()["User"]["FullName"] == "Carlos Ruiz"
