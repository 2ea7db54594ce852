"""The two cached lists stand in for Nexudus: same URL, same body, same errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from urllib.parse import quote

import orjson
import pytest

from bff.nexudus.headers import UP
from bff.sandbox.effects import Html200, NoStore, Override, SetCookie, Status
from bff.sandbox.model import Behaviour
from tests.support.gateway import PROFILES, Stage, bearer, related

SHAPES = Path(__file__).parents[1] / "fixtures" / "nexudus" / "shapes.txt"
OF_ALICE = related(101)
LISTS = (PROFILES, OF_ALICE)


def normal(body: bytes) -> bytes:
    """The same JSON text for the same values in the same order."""
    return orjson.dumps(orjson.loads(body))


async def assert_same(stage: Stage, target: str) -> None:
    ours = await stage.get(target, stage.alice)
    theirs = await stage.upstream(target, stage.alice)
    assert (ours.status_code, theirs.status_code) == (200, 200), target
    assert normal(ours.content) == normal(theirs.content), target
    assert ours.headers["content-type"] == theirs.headers["content-type"]


def names_in(document: object) -> Iterator[str]:
    """Every path of a document, lists passed through."""
    match document:
        case dict():
            for name, value in document.items():
                yield name
                yield from (f"{name}.{rest}" for rest in names_in(value))
        case list():
            for item in document:
                yield from names_in(item)


def shapes_of(document: object, number: int) -> list[str]:
    """Shapes of known, unknown and too long paths, in odd writings."""
    draw = Random("shapes")
    known = sorted(set(names_in(document)))
    odd = ["Nope", "Profiles.Nope.X", "User.Id.Deeper", "RelatedProfiles.ProfileTagsList.X"]
    made = []
    for _ in range(number):
        paths = draw.sample(known + odd, draw.randint(1, 6))
        written = [path.replace(".", "[].", draw.randint(0, 1)) for path in paths]
        made.append((", " if draw.random() < 0.3 else ",").join(written))
    return made


@pytest.mark.parametrize("target", LISTS)
async def test_a_list_is_what_nexudus_answers(solo: Stage, target: str) -> None:
    await assert_same(solo, target)
    await assert_same(solo, target)
    digest = [visit.token for visit in solo.tenant.visits(target)]
    assert len(digest) == 3, "one call of the gateway, two of the test"


@pytest.mark.parametrize("target", LISTS)
async def test_every_shape_is_applied_as_nexudus_applies_it(solo: Stage, target: str) -> None:
    whole = (await solo.get(target, solo.alice)).content
    shapes = SHAPES.read_text().split() + shapes_of(orjson.loads(whole), 40)
    before = solo.tenant.arrivals(target)
    for shape in shapes:
        await assert_same(solo, f"{target}?_shape={quote(shape)}")
        await assert_same(solo, f"{target}?_shape={quote(shape, safe=',')}")
    asked = solo.tenant.visits(target)[before:]
    assert len(asked) == 2 * len(shapes), "only the test itself asks for shapes upstream"
    assert all("_shape" in visit.query for visit in asked)


@pytest.mark.parametrize("target", LISTS)
async def test_the_gateway_itself_never_asks_for_a_shape(solo: Stage, target: str) -> None:
    await solo.get(f"{target}?_shape=Nope", solo.alice)
    await solo.get(target, solo.alice)
    assert [visit.query for visit in solo.tenant.visits(target)] == [""]


@pytest.mark.parametrize("target", LISTS)
async def test_a_repeated_shape_is_a_400(solo: Stage, target: str) -> None:
    answer = await solo.get(f"{target}?_shape=Id&_shape=Id", solo.alice)
    assert answer.status_code == 400
    assert solo.tenant.visits(target) == []


@pytest.mark.parametrize(
    "query",
    ["x=1", "_shape=Id&x=1", "_Shape=Id", "%5Fshape=Id", "page=1&size=2", "x", "=", "_depth=3"],
)
async def test_any_other_parameter_is_passed_through_and_never_stored(
    solo: Stage, query: str
) -> None:
    for target in LISTS:
        await solo.get(target, solo.alice)
        for _ in range(2):
            answer = await solo.get(f"{target}?{query}", solo.alice)
            assert answer.status_code == 200
            assert "fwd=bypass" in answer.headers["cache-status"]
            assert answer.headers["cache-control"].startswith(("private", "no-store"))
        assert [visit.query for visit in solo.tenant.visits(target)] == ["", query, query]


async def test_an_unpublished_coworker_is_a_404_with_nexudus_own_body(solo: Stage) -> None:
    target = related(999)
    body = '{"Message":"not published"}'
    solo.tenant.fault(Status(404, body), target)
    first = await solo.get(target, solo.alice)
    second = await solo.get(target, solo.bob)
    assert (first.status_code, first.text) == (404, body)
    assert first.headers["content-type"] == "application/json; charset=utf-8"
    # Who may see a profile can depend on the viewer: what one was told holds for no other.
    assert (second.status_code, second.text) == (404, body)
    assert solo.tenant.arrivals(target, token=solo.bob.token) == 1
    for answer in (first, second):
        assert answer.headers["cache-control"] == "private, no-cache"
    assert solo.tenant.arrivals(target) == 2
    head = await solo.send("HEAD", target, solo.alice)
    assert (head.status_code, head.content) == (404, b"")
    for tag in (second.headers["etag"], "*"):
        again = await solo.get(target, solo.alice, headers={"if-none-match": tag})
        assert (again.status_code, again.text) == (404, body), "no 304 is a 404 (RFC 9110 13.2.1)"
    shaped = await solo.get(f"{target}?_shape=Message.X", solo.alice)
    assert (shaped.status_code, shaped.text) == (404, body), "errors are not shaped"
    assert solo.tenant.arrivals(target) == 2
    solo.clock.advance(61)
    await solo.get(target, solo.alice)
    assert solo.tenant.arrivals(target) == 3


async def test_that_a_member_is_unlisted_is_shared_once_nexudus_told_himself(solo: Stage) -> None:
    page = f"<html>Hello {solo.alice.canary}</html>"
    solo.tenant.fault(Status(404, page), OF_ALICE)
    assert (await solo.get(OF_ALICE, solo.alice)).text == page
    await solo.prove(solo.bob)
    told = await solo.get(OF_ALICE, solo.bob)
    assert (told.status_code, told.text) == (404, ""), "the status, not her text"
    assert solo.tenant.arrivals(OF_ALICE) == 1


async def test_an_error_page_is_not_shared(solo: Stage) -> None:
    page = f"<html>Hello {solo.alice.canary}</html>"
    solo.tenant.fault(Status(404, page, content_type="text/html"), OF_ALICE, token=solo.alice.token)
    assert (await solo.get(OF_ALICE, solo.alice)).status_code == 404
    other = await solo.get(OF_ALICE, solo.bob)
    assert other.status_code == 404
    assert solo.alice.canary not in other.text


@pytest.mark.parametrize(
    ("coworker", "cached"),
    [
        ("101", True),
        ("9223372036854775807", True),
        ("9223372036854775808", False),
        ("0101", False),
        ("0", False),
        ("-1", False),
        ("101%20", False),
        ("%31%30%31", False),
        ("abc", False),
    ],
)
async def test_only_a_plain_id_is_cached(solo: Stage, coworker: str, cached: bool) -> None:
    target = f"/api/public/coworkers/published/{coworker}/related"
    answers = [await solo.get(target, solo.alice) for _ in range(2)]
    assert all(("fwd=bypass" not in each.headers["cache-status"]) is cached for each in answers)
    asked = [visit for visit in solo.tenant.visits() if visit.path != PROFILES]
    assert len(asked) == (1 if cached else 2)


async def test_a_list_needs_a_bearer_token(solo: Stage) -> None:
    for target in LISTS:
        for headers in ({}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer a b"}):
            answer = await solo.get(target, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["cache-control"] == "no-store"
    assert solo.tenant.visits() == []


async def test_the_token_in_the_answer_is_the_callers_own(solo: Stage) -> None:
    other = solo.tenant.another(solo.alice)
    solo.tenant.fault(
        Override('{"User":{"Id":7001,"AccessToken":"another"},"Profiles":[]}'), PROFILES, count=1
    )
    for _ in range(2):
        answer = await solo.get(PROFILES, other)
        assert answer.json()["User"]["AccessToken"] == other.token


@pytest.mark.parametrize("effect", [SetCookie(), NoStore(), NoStore("private, No-Store , x")])
async def test_what_forbids_storing_is_served_and_not_stored(
    solo: Stage, effect: SetCookie | NoStore
) -> None:
    for target in LISTS:
        solo.tenant.fault(effect, target)
    first = [await solo.get(target, solo.alice) for target in LISTS]
    second = [await solo.get(target, solo.alice) for target in LISTS]
    for answer in (*first, *second):
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        assert "stored" not in answer.headers["cache-status"]
    assert solo.tenant.arrivals(OF_ALICE) == 2
    assert solo.tenant.arrivals(PROFILES) == 4, "the related list asks for a proof each time"


async def test_an_html_page_on_a_list_is_a_502(solo: Stage) -> None:
    await solo.get(PROFILES, solo.alice)
    solo.tenant.fault(Html200(), OF_ALICE)
    answer = await solo.get(OF_ALICE, solo.alice)
    assert answer.status_code == 502
    assert answer.json()["type"] == "urn:bff:problem:unusable-answer"


class TestVariants:
    """What is forwarded is in the key, and what is not in the key is not forwarded."""

    async def test_each_variant_is_a_document_of_its_own(self, solo: Stage) -> None:
        solo.tenant.sandbox.world.behaviour = Behaviour(variants=True)
        variants = [
            {},
            {"accept-language": "de"},
            {"accept-language": "de, en;q=0.5"},
            {"accept-language": "de", "x-use-timezone": "true"},
            {"x-use-timezone": "true"},
            {"x-use-timezone": "False"},
        ]
        for target in LISTS:
            for _ in range(2):
                for headers in variants:
                    document = (await solo.get(target, solo.alice, headers=headers)).json()
                    assert document["Culture"] == headers.get("accept-language", "")
                    assert document["UseTimezone"] == headers.get("x-use-timezone", "").lower()
            assert solo.tenant.arrivals(target) == len(variants)

    async def test_what_is_unusual_is_not_forwarded(self, solo: Stage) -> None:
        for headers in (
            {"accept-language": "x" * 129},
            {"accept-language": ""},
            {"x-use-timezone": "yes"},
            {"x-use-timezone": "true, true"},
        ):
            await solo.get(PROFILES, solo.alice, headers=headers)
        [visit] = solo.tenant.visits(PROFILES)
        assert (visit.header("accept-language"), visit.header("x-use-timezone")) == ("", "")

    async def test_pitfall_10_nothing_else_of_the_request_reaches_nexudus(
        self, solo: Stage
    ) -> None:
        """Each header that is ever forwarded, and some that never are, on both cached lists."""
        own = {"accept-language", "x-use-timezone", "authorization", "content-length"}
        names = [*sorted(name.decode() for name in UP), "x-forwarded-host", "x-original-url"]
        plain: dict[str, list[tuple[bytes, bytes]]] = {}
        for target in LISTS:
            await solo.get(target, solo.alice)
            plain[target] = list(solo.tenant.visits(target)[0].headers)
        for name in names:
            if name in own:
                continue
            solo.clock.advance(3 * 86400)
            fresh = solo.tenant.another(solo.alice)
            solo.tenant.forget_visits()
            for target in LISTS:
                await solo.get(target, fresh, headers={name: "fuzz"})
            await solo.quiet()
            for target in LISTS:
                for visit in solo.tenant.visits(target):
                    unlike = set(visit.headers) ^ set(plain[target])
                    assert {key for key, _ in unlike} <= {b"authorization"}, name
            assert solo.tenant.arrivals(OF_ALICE) == 1, "it was asked for, not found"


async def test_an_unknown_method_of_a_list_is_passed_through(solo: Stage) -> None:
    for method in ("POST", "DELETE", "OPTIONS"):
        answer = await solo.send(method, PROFILES, solo.alice, content=b"{}")
        assert "fwd=bypass" in answer.headers["cache-status"]


async def test_garbage_tokens_learn_nothing(solo: Stage) -> None:
    await solo.get(OF_ALICE, solo.alice)
    for target in LISTS:
        answer = await solo.get(target, headers=bearer("garbage"))
        assert (answer.status_code, answer.content) == (401, b"")
