"""What an examination comes to: findings, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

import orjson


class Result(StrEnum):
    """A fault keeps the gateway from doing its work; a warning is worth a look."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. No field holds a token, a value of a member's document or a password."""

    check: str
    result: Result
    detail: str
    remedy: str = ""


def ok(check: str, detail: str) -> Finding:
    """All is well."""
    return Finding(check, Result.OK, detail)


def warning(check: str, detail: str, remedy: str) -> Finding:
    """Works, but."""
    return Finding(check, Result.WARNING, detail, remedy)


def fault(check: str, detail: str, remedy: str) -> Finding:
    """Does not work."""
    return Finding(check, Result.FAULT, detail, remedy)


def worst(findings: Iterable[Finding]) -> Result:
    """The result of the whole examination."""
    results = {finding.result for finding in findings}
    for result in (Result.FAULT, Result.WARNING):
        if result in results:
            return result
    return Result.OK


def as_json(findings: Iterable[Finding]) -> str:
    """`{"result": …, "findings": [{"check", "result", "detail", "remedy"}]}`, indented."""
    listed = list(findings)
    document = {"result": worst(listed), "findings": [asdict(finding) for finding in listed]}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
