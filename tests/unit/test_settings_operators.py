"""Reading who operates: names, roles and tokens, every fault told at once and no token with it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import SettingsError
from bff.settings import load
from bff.settings_doc import describe
from bff.settings_operators import OperatorToken, read_operators

ONE, TWO = "canary-one-of-16-or-more", "canary-two-of-16-or-more=="
UPSTREAM = {"BFF_UPSTREAM": "acme"}


def names(operators: tuple[OperatorToken, ...]) -> list[tuple[str, str, str]]:
    return [(each.name, each.role, each.token.get_secret_value()) for each in operators]


@pytest.mark.parametrize(
    "value",
    [
        f"carl:read={ONE},jane:act={TWO}",
        f" carl:read = {ONE} , jane:act={TWO}",
        [f"carl:read={ONE}", f"jane:act={TWO}"],
        {"carl:read": ONE, "jane:act": TWO},
    ],
)
def test_operators_are_read(value: object) -> None:
    assert names(read_operators(value)) == [("carl", "read", ONE), ("jane", "act", TWO)]


@pytest.mark.parametrize(
    ("value", "reasons"),
    [
        ("carl", ["entry 1 must have the role", "entry 1 has a token that must be 16"]),
        (f"=x,Carl:read={ONE}", ["entry 1 must begin with a name", "entry 2 must begin with"]),
        (f"{'a' * 33}:read={ONE}", ["entry 1 must begin with a name of 1 to 32"]),
        (f"carl:write={ONE}", ["entry 1 must have the role read or act"]),
        ("carl:read=canary", ["entry 1 has a token that must be 16 or more"]),
        ("carl:read=canary with blanks in it", ["entry 1 has a token that must be"]),
        (f"carl:read={ONE},carl:act={TWO}", ["has a name twice"]),
        (f"carl:read={ONE},jane:act={ONE}", ["has the same token twice"]),
        (f"a:b={ONE},c:read=x", ["entry 1 must have", "entry 2 has a token"]),
        ([1], ["entry 1 must begin", "entry 1 has a token that must be text"]),
        ({"carl:read": 1}, ["entry 1 has a token that must be text"]),
        (1, ["must be text"]),
    ],
)
def test_every_fault_is_told_and_no_token(value: object, reasons: list[str]) -> None:
    with pytest.raises(ValueError, match=r"must|has") as refused:
        read_operators(value)
    for reason in reasons:
        assert reason in str(refused.value)
    assert "canary" not in str(refused.value)


anything: st.SearchStrategy[Any] = st.text("ab:=,canr- ") | st.lists(
    st.text() | st.integers(), max_size=3
)


@given(anything)
def test_whatever_is_given_is_read_or_refused(value: object) -> None:
    try:
        operators = read_operators(value)
    except ValueError as refused:
        assert "canary" not in str(refused)
        return
    assert len({each.name for each in operators}) == len(operators)


def test_the_one_token_is_one_more_operator() -> None:
    settings = load({**UPSTREAM, "BFF_OPS_TOKEN": ONE, "BFF_OPS_TOKENS": f"carl:read={TWO}"})
    assert names(settings.operators) == [("ops", "act", ONE), ("carl", "read", TWO)]
    assert load(UPSTREAM).operators == ()
    assert "canary" not in repr(settings)
    lines = {line.variable: line.value for line in describe(settings)}
    assert lines["BFF_OPS_TOKENS"] == "carl:read"


def test_an_operator_is_not_two() -> None:
    with pytest.raises(SettingsError) as refused:
        load({**UPSTREAM, "BFF_OPS_TOKEN": ONE, "BFF_OPS_TOKENS": f"ops:read={ONE}"})
    [fault] = refused.value.faults
    assert fault.variable == "BFF_OPS_TOKENS"
    assert "names the operator ops" in fault.reason
    assert "the token of BFF_OPS_TOKEN too" in fault.reason
    assert "canary" not in str(refused.value)
