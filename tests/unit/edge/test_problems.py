"""Problem documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bff import errors
from bff.edge.problems import (
    INTERNAL,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    PROBLEMS,
    Problem,
    ProblemType,
    problem_for,
    render_catalogue,
)

PAGE = Path(__file__).parents[3] / "docs" / "problems.md"

STATUSES: dict[type[errors.BffError], int] = {
    errors.ShapeError: 400,
    errors.ParameterError: 400,
    errors.HeaderError: 400,
    errors.CredentialsError: 401,
    errors.MissingCredentials: 401,
    errors.RoleError: 403,
    errors.TargetError: 404,
    errors.UnknownRequest: 404,
    errors.RequestStalled: 408,
    errors.BodyTooLarge: 413,
    errors.UnknownHost: 421,
    errors.UnusableAnswer: 502,
    errors.UpstreamDown: 503,
    errors.Overloaded: 503,
    errors.UpstreamTimeout: 504,
}


def descendants(error: type[errors.BffError]) -> Iterator[type[errors.BffError]]:
    for child in error.__subclasses__():
        # Tests define errors of their own; the gateway's are the ones that must be mapped.
        if child.__module__.startswith("bff."):
            yield child
        yield from descendants(child)


def named(problem: Problem) -> dict[bytes, bytes]:
    headers = problem.headers()
    assert len(headers) == len(dict(headers))
    return dict(headers)


@pytest.mark.parametrize(
    "error",
    [*descendants(errors.RequestError), *descendants(errors.UpstreamError)],
    ids=lambda error: error.__name__,
)
def test_every_error_of_a_request_or_of_upstream_has_a_problem(
    error: type[errors.BffError],
) -> None:
    problem = problem_for(error("what is wrong"), "r-1")
    assert problem.kind.cause in error.__mro__
    assert problem.kind.status == STATUSES[error]
    assert problem.detail == "what is wrong"


def test_the_walk_over_the_tree_meets_every_error_in_it() -> None:
    met = {*descendants(errors.RequestError), *descendants(errors.UpstreamError)}
    assert met >= set(STATUSES)


@pytest.mark.parametrize(
    "error",
    [
        errors.RequestError("never raised itself"),
        errors.UpstreamError("never raised itself"),
        errors.StoreUnavailable("never reaches a member"),
        errors.EnvelopeError("never reaches a member"),
        errors.SettingsError(()),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_without_a_problem_is_a_programming_error(error: errors.BffError) -> None:
    with pytest.raises(TypeError, match=type(error).__name__):
        problem_for(error, "r-1")


def test_an_error_takes_the_problem_of_its_nearest_mapped_ancestor() -> None:
    class NamedShapeError(errors.ShapeError):
        pass

    assert problem_for(NamedShapeError("no such shape"), "r-1").kind.slug == "bad-shape"


def test_types_are_distinct_and_each_error_has_one_row() -> None:
    assert len({kind.uri for kind in PROBLEMS}) == len(PROBLEMS)
    causes = [kind.cause for kind in PROBLEMS if kind.cause is not None]
    assert len(set(causes)) == len(causes)
    assert {NOT_FOUND, METHOD_NOT_ALLOWED, INTERNAL} <= set(PROBLEMS)


def test_the_document_has_the_members_of_the_rfc_and_the_request_id() -> None:
    body = problem_for(
        errors.ShapeError("`_shape` names 257 paths; 256 is the most."), "r-1"
    ).body()
    assert json.loads(body) == {
        "type": "urn:bff:problem:bad-shape",
        "title": "The shape cannot be used",
        "status": 400,
        "detail": "`_shape` names 257 paths; 256 is the most.",
        "request_id": "r-1",
    }


def test_the_document_of_the_same_problem_is_the_same_bytes() -> None:
    assert Problem(INTERNAL, "x", "r-1").body() == Problem(INTERNAL, "x", "r-1").body()


def test_an_error_without_a_message_still_says_what_to_do() -> None:
    problem = problem_for(errors.UnusableAnswer(""), "r-1")
    assert problem.detail == problem.kind.remedy


def test_text_that_json_cannot_carry_does_not_break_the_document() -> None:
    document = json.loads(Problem(INTERNAL, "a\ud800b", 'r\udfff"\n').body())
    assert (document["detail"], document["request_id"]) == ("a?b", 'r?"\n')


@pytest.mark.parametrize("kind", PROBLEMS, ids=lambda kind: kind.slug)
def test_pitfall_19_no_problem_is_stored_and_each_varies_by_the_caller(
    kind: ProblemType,
) -> None:
    headers = named(Problem(kind, "detail", "r-1"))
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"vary"] == b"Authorization, Origin"
    assert (b"www-authenticate" in headers) is (kind.status == 401)
    assert (b"retry-after" in headers) is (kind.status == 503)
    assert (b"allow" in headers) is (kind.status == 405)


def test_a_401_says_which_credentials_are_wanted() -> None:
    headers = named(problem_for(errors.CredentialsError("none"), "r-1"))
    assert headers[b"www-authenticate"] == b'Bearer realm="nexudus", error="invalid_token"'


@pytest.mark.parametrize(("carried", "sent"), [(None, b"1"), (7, b"7"), (0, b"1"), (-3, b"1")])
def test_a_503_says_when_to_come_back(carried: int | None, sent: bytes) -> None:
    error = errors.Overloaded("the budget is spent", retry_after_s=carried)
    assert named(problem_for(error, "r-1"))[b"retry-after"] == sent


def test_a_405_names_the_methods_of_the_route() -> None:
    problem = Problem(METHOD_NOT_ALLOWED, "POST is not allowed.", "r-1", allow=("GET", "HEAD"))
    assert named(problem)[b"allow"] == b"GET, HEAD"


def test_the_page_is_the_catalogue() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_catalogue()


def test_the_catalogue_has_a_row_for_every_type() -> None:
    page = render_catalogue()
    for kind in PROBLEMS:
        assert f"| {kind.status} | `{kind.uri}` |" in page
