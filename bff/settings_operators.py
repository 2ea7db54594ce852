"""Reading who operates the gateway: names, roles, and the tokens that prove them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import PlainSerializer, PlainValidator, SecretStr

from bff.settings_values import read_ops_token, read_text

Rights = Literal["read", "act"]
OPS: Final = "ops"
"""The name of the one operator whom BFF_OPS_TOKEN is enough for."""

_NAME: Final = re.compile(r"[a-z0-9-]{1,32}")


@dataclass(frozen=True, slots=True)
class OperatorToken:
    """One operator: `name` is told in logs, the token never. As text, without the token."""

    name: str
    role: Rights
    token: SecretStr

    def __str__(self) -> str:
        return f"{self.name}:{self.role}"


def read_operators(value: object) -> tuple[OperatorToken, ...]:
    """`name:role=token,…`, an array of those, or a table of `"name:role" = "token"`.

    One ValueError for all entries at fault, by their places, counted from 1.
    """
    operators: list[OperatorToken] = []
    reasons: list[str] = []
    for place, (who, token) in enumerate(_pairs(value), 1):
        faults, operator = _entry(who, token)
        reasons += [f"entry {place} {fault}" for fault in faults]
        if operator is not None:
            operators.append(operator)
    reasons += _repetitions(operators)
    if reasons:
        raise ValueError("; ".join(reasons))
    return tuple(operators)


def _pairs(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, Mapping):
        return value.items()
    entries = value if isinstance(value, list | tuple) else read_text(value).split(",")
    if entries == [""]:
        return ()
    parts = [each.partition("=") if isinstance(each, str) else ("", "", each) for each in entries]
    return [(who, token) for who, _, token in parts]


def _entry(who: object, token: object) -> tuple[list[str], OperatorToken | None]:
    faults: list[str] = []
    name, _, role = who.strip().partition(":") if isinstance(who, str) else ("", "", "")
    if _NAME.fullmatch(name) is None:
        faults.append("must begin with a name of 1 to 32 letters a to z, digits and -")
    rights: Rights | None = "read" if role == "read" else "act" if role == "act" else None
    if rights is None:
        faults.append("must have the role read or act, as in name:read=token")
    try:
        proof = read_ops_token(token)
    except ValueError as error:
        return [*faults, f"has a token that {error}"], None
    if faults or rights is None:
        return faults, None
    return [], OperatorToken(name, rights, proof)


def _repetitions(operators: Iterable[OperatorToken]) -> list[str]:
    found = tuple(operators)
    reasons = []
    if len({each.name for each in found}) < len(found):
        reasons.append("has a name twice")
    if len({each.token.get_secret_value() for each in found}) < len(found):
        reasons.append("has the same token twice")
    return reasons


def show_operators(operators: tuple[OperatorToken, ...]) -> list[str]:
    """Who they are and what they may do."""
    return [str(each) for each in operators]


Operators = Annotated[
    tuple[OperatorToken, ...], PlainValidator(read_operators), PlainSerializer(show_operators)
]
