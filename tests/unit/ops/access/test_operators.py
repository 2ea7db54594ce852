"""Operators: whose token it is, what the role allows, and what is written down of a refusal."""

from __future__ import annotations

import asyncio
import hmac

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from bff.edge import exchange as exchanges
from bff.errors import CredentialsError, MissingCredentials, RoleError
from bff.ops.access.audit import DONE, Audit, Deed
from bff.ops.access.operators import Operator, Operators, Role, operator_of

TOKENS = ("token-of-carl-who-reads", "token-of-jane-who-acts", "token-of-mary-who-reads")
CARL, JANE, MARY = (
    Operator(name, role, SecretStr(token))
    for name, role, token in zip(
        ("carl", "jane", "mary"), (Role.READ, Role.ACT, Role.READ), TOKENS, strict=True
    )
)
ALL = (CARL, JANE, MARY)


def headers(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {token}".encode())]


def request(token: str) -> Request:
    scope = {"type": "http", "method": "POST", "headers": headers(token)}
    exchanges.begin(scope, (), 0)
    return Request(scope)


@pytest.mark.parametrize("operator", ALL, ids=lambda each: each.name)
def test_a_token_is_its_operators(operator: Operator) -> None:
    assert Operators(ALL).of(headers(operator.token.get_secret_value())) is operator


@given(st.text("abc-.~+/=", min_size=1, max_size=40))
def test_no_other_token_is_anybodys(token: str) -> None:
    with pytest.raises(CredentialsError) as refused:
        Operators(ALL).of(headers(token))
    assert TOKENS[0] not in str(refused.value)


@pytest.mark.parametrize("operator", ALL, ids=lambda each: each.name)
def test_pitfall_20_a_token_is_compared_whole_and_as_it_is(operator: Operator) -> None:
    token = operator.token.get_secret_value()
    near = (token[:-1], f"{token}x", token.swapcase(), f"{token[:-1]}~", token[1:])
    for other in near:
        assert other != token
        with pytest.raises(CredentialsError):
            Operators(ALL).of(headers(other))


def test_without_operators_nobody_is_one() -> None:
    assert not Operators(())
    with pytest.raises(CredentialsError):
        Operators(()).of(headers(TOKENS[0]))
    with pytest.raises(MissingCredentials):
        Operators(ALL).of([])


@pytest.mark.parametrize("token", [*TOKENS, "nobody"])
def test_every_token_is_compared_whoever_it_is(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long it takes tells neither whether nor whose, and texts of one length are compared."""
    compared: list[tuple[int, int]] = []
    really = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return really(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    try:
        Operators(ALL).of(headers(token))
    except CredentialsError:
        assert token == "nobody"
    assert compared == [(32, 32)] * len(ALL)


class TestGuarded:
    async def asked(self, operators: Operators, token: str, role: Role) -> Response:
        async def handler(request: Request) -> Response:
            return Response(operator_of(request).name)

        return await operators.guarded("/ops/api/purge", handler, role)(request(token))

    @pytest.mark.parametrize("role", list(Role))
    async def test_whoever_may_act_may_read(self, role: Role) -> None:
        answer = await self.asked(Operators(ALL), TOKENS[1], role)
        assert answer.body == b"jane"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["vary"] == "Authorization, Origin"

    async def test_whoever_may_read_does_not_act(self) -> None:
        noted: list[tuple[str, str]] = []
        operators = Operators(ALL, Audit(lambda space, text: noted.append((space, text))))
        with structlog.testing.capture_logs() as lines, pytest.raises(RoleError):
            await self.asked(operators, TOKENS[0], Role.ACT)
        assert noted == [], "with refused deeds a reader could push all else off the time line"
        [line] = lines
        assert (line["operator"], line["outcome"]) == ("carl", "refused")
        assert (await self.asked(operators, TOKENS[0], Role.READ)).body == b"carl"

    async def test_a_stranger_leaves_no_line(self) -> None:
        with structlog.testing.capture_logs() as lines, pytest.raises(CredentialsError):
            await self.asked(Operators(ALL), "nobody", Role.ACT)
        assert lines == []


class TestAudit:
    def test_a_deed_that_breaks_off_has_failed(self) -> None:
        noted: list[tuple[str, str]] = []
        audit = Audit(lambda space, text: noted.append((space, text)))
        with pytest.raises(ValueError, match="so"), audit.of(Deed("jane", "purge", "acme", "it")):
            raise ValueError("so")
        with audit.of(Deed("jane", "purge", "acme", "it")) as deed:
            deed.outcome = DONE
        assert noted == [("acme", "jane: purge it: failed"), ("acme", "jane: purge it")]

    async def test_what_its_operator_did_not_wait_for_is_told(self) -> None:
        noted: list[tuple[str, str]] = []
        audit = Audit(lambda space, text: noted.append((space, text)))

        async def acts() -> None:
            with audit.of(Deed("jane", "purge", "acme", "it")):
                await asyncio.sleep(10)

        acting = asyncio.create_task(acts())
        await asyncio.sleep(0)
        acting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await acting
        assert noted == [("acme", "jane: purge it: abandoned")]

    def test_what_changes_nothing_is_no_event(self) -> None:
        noted: list[tuple[str, str]] = []
        with structlog.testing.capture_logs() as lines:
            Audit(lambda *note: noted.append(note)).tell(Deed("jane", "explain", quiet=True))
        assert (len(lines), noted) == (1, [])
