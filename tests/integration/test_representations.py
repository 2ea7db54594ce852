"""One document, many representations: encodings, validators, 304, HEAD, and what headers say."""

from __future__ import annotations

import gzip

import brotli  # type: ignore[import-untyped]
import httpx
import orjson
import pytest
import zstandard

from bff.sandbox.effects import Effect, Html200, Status
from tests.support.gateway import BOOTSTRAP, PROFILES, Member, Stage, bearer, related, stage

OF_ALICE = related(101)
CACHED = (BOOTSTRAP, PROFILES, OF_ALICE)
DECODERS = {
    "br": brotli.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
    "gzip": gzip.decompress,
    "identity": bytes,
}


async def raw(stage: Stage, target: str, member: Member, **headers: str) -> tuple[bytes, str]:
    """The body as it came over the wire, and its content coding."""
    own = {**member.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    url = stage.gateways[0].origin + target
    with stage.apps.one() as client:
        async with client.stream("GET", url, headers=own) as answer:
            assert answer.status_code == 200
            body = b"".join([part async for part in answer.aiter_raw()])
            assert answer.headers["content-length"] == str(len(body))
            return body, answer.headers.get("content-encoding", "identity")


def cache_status(answer: httpx.Response) -> str:
    value: str = answer.headers["cache-status"]
    return value


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("gzip", "gzip"),
        ("x-gzip;q=0.5", "gzip"),
        ("br;q=0.1, gzip;q=0.9, zstd;q=0.5", "gzip"),
        ("br;q=0, zstd;q=0, *", "gzip"),
        ("br;q=0, gzip;q=0.0, zstd;q=0.000", "identity"),
        ("identity, br;q=0.5", "identity"),
        ("deflate", "identity"),
        ("*;q=0", "identity"),
        ("", "identity"),
        ("br;q=nonsense, gzip", "gzip"),
    ],
)
async def test_the_coding_is_negotiated_by_weight(
    solo: Stage, accepted: str, expected: str
) -> None:
    for target in (BOOTSTRAP, PROFILES):
        plain, _ = await raw(solo, target, solo.alice)
        for _ in range(2):  # made, and kept
            body, coding = await raw(solo, target, solo.alice, accept_encoding=accepted)
            assert coding == expected
            assert DECODERS[coding](body) == plain
            assert coding == "identity" or len(body) < len(plain)


async def test_a_small_body_is_not_worth_compressing(solo: Stage) -> None:
    target = f"{BOOTSTRAP}?_shape=User.Id"
    for accepted in ("br", "gzip"):
        body, coding = await raw(solo, target, solo.alice, accept_encoding=accepted)
        assert (body, coding) == (b'{"User":{"Id":7001}}', "identity")


async def test_an_unchanged_document_is_a_304(solo: Stage) -> None:
    for target in (*CACHED, f"{BOOTSTRAP}?_shape=User.Id"):
        first = await solo.get(target, solo.alice)
        tag = first.headers["etag"]
        assert tag.startswith('"'), "a strong validator"
        for given in (tag, f'"other", {tag}', f"W/{tag}", "*"):
            again = await solo.get(target, solo.alice, headers={"if-none-match": given})
            assert (again.status_code, again.content) == (304, b"")
            for name in ("etag", "cache-control", "vary", "age", "cache-status", "x-request-id"):
                assert name in again.headers
            assert again.headers["etag"] == tag
            assert "content-length" not in again.headers
        for given in ('"other"', tag.strip('"'), ""):
            again = await solo.get(target, solo.alice, headers={"if-none-match": given})
            assert again.status_code == 200


async def test_a_304_outlives_the_copies_it_is_about(solo: Stage) -> None:
    """The document is fetched anew and found to be the same."""
    first = await solo.get(BOOTSTRAP, solo.alice)
    solo.clock.advance(3 * 86400)
    given = {"if-none-match": first.headers["etag"]}
    again = await solo.get(BOOTSTRAP, solo.alice, headers=given)
    assert again.status_code == 304
    assert solo.tenant.arrivals(PROFILES) == 2
    solo.tenant.sandbox.world.switch(7001, 145)
    solo.clock.advance(3 * 86400)
    changed = await solo.get(BOOTSTRAP, solo.alice, headers=given)
    assert changed.status_code == 200


async def test_two_gateways_agree_on_a_validator(pair: Stage) -> None:
    first = await pair.get(BOOTSTRAP, pair.alice)
    given = {"if-none-match": first.headers["etag"]}
    assert (await pair.get(BOOTSTRAP, pair.alice, via=1, headers=given)).status_code == 304


async def test_pitfall_11_a_304_never_crosses_shape_coding_variant_user_or_route(
    solo: Stage,
) -> None:
    second = solo.tenant.another(solo.alice)
    requests: list[tuple[str, Member, dict[str, str]]] = [
        (target, member, headers)
        for member in (solo.alice, second, solo.bob)
        for target in (
            *CACHED,
            f"{BOOTSTRAP}?_shape=Profiles",
            f"{PROFILES}?_shape=Profiles",
            *(f"{BOOTSTRAP}?_shape=Nope", f"{BOOTSTRAP}?_shape=Nope2"),
            *(f"{PROFILES}?_shape=Nope", f"{PROFILES}?_shape=Nope2"),
        )
        for headers in (
            {},
            {"accept-encoding": "gzip"},
            {"accept-encoding": "br"},
            {"accept-language": "de"},
        )
    ]
    tags = []
    for target, member, headers in requests:
        tags.append((await solo.get(target, member, headers=headers)).headers["etag"])
    small = {
        number
        for number, (target, _, headers) in enumerate(requests)
        if "Nope" in target and "accept-encoding" in headers
    }
    large = [tag for n, tag in enumerate(tags) if n not in small]
    # A body that is too small to compress has one representation for all codings.
    assert len(set(large)) == len(large)
    for number, (target, member, headers) in enumerate(requests):
        others = ", ".join(tag for tag in tags if tag != tags[number])
        asked = {**headers, "if-none-match": others}
        assert (await solo.get(target, member, headers=asked)).status_code == 200


async def test_an_equal_shape_in_another_writing_is_the_same_representation(solo: Stage) -> None:
    one = await solo.get(f"{BOOTSTRAP}?_shape=User.Id,Profiles", solo.alice)
    other = await solo.get(f"{BOOTSTRAP}?_shape=Profiles.Id,%20Profiles,User[].Id,", solo.alice)
    assert one.headers["etag"] == other.headers["etag"]
    assert "hit; " in cache_status(other)


async def test_a_304_is_only_for_who_is_authorised(solo: Stage) -> None:
    tags = {target: (await solo.get(target, solo.alice)).headers["etag"] for target in CACHED}
    for target, tag in tags.items():
        for given in (tag, "*"):
            headers = {"if-none-match": given}
            assert (await solo.get(target, headers=headers)).status_code == 401
            garbage = {**bearer("garbage"), **headers}
            assert (await solo.get(target, headers=garbage)).status_code == 401
    solo.tenant.sandbox.tokens.revoke(solo.alice.token)
    solo.clock.advance(361)
    for target, tag in tags.items():
        answer = await solo.get(target, solo.alice, headers={"if-none-match": tag})
        assert answer.status_code == 401


async def test_head_is_get_without_a_body(solo: Stage) -> None:
    for target in CACHED:
        whole = await solo.get(target, solo.alice)
        head = await solo.send("HEAD", target, solo.alice)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-length", "etag", "content-type", "vary", "cache-control"):
            assert head.headers[name] == whole.headers[name]
        same = {"if-none-match": whole.headers["etag"]}
        assert (await solo.send("HEAD", target, solo.alice, headers=same)).status_code == 304
        refused = await solo.send("HEAD", target, headers=bearer("garbage"))
        assert (refused.status_code, refused.content) == (401, b"")
        assert (await solo.send("HEAD", target)).status_code == 401
    assert solo.tenant.arrivals(PROFILES, token=solo.alice.token) == 1


async def test_age_and_cache_status_tell_where_an_answer_came_from(pair: Stage) -> None:
    first = await pair.get(PROFILES, pair.alice)
    assert first.headers["age"] == "0"
    assert cache_status(first) == "bff; fwd=uri-miss; fwd-status=200; stored"
    pair.clock.advance(18)
    local = await pair.get(PROFILES, pair.alice)
    assert (local.headers["age"], cache_status(local)) == ("18", "bff; hit; ttl=42; detail=l1")
    shared = await pair.get(PROFILES, pair.alice, via=1)
    assert (shared.headers["age"], cache_status(shared)) == ("18", "bff; hit; ttl=42; detail=l2")
    pair.clock.advance(72)
    stale = await pair.get(PROFILES, pair.alice)
    assert (stale.headers["age"], cache_status(stale)[:18]) == ("90", "bff; hit; ttl=-30;")
    await pair.quiet()
    renewed = await pair.get(PROFILES, pair.alice)
    assert renewed.headers["age"] == "0"
    for answer in (first, local, shared, stale, renewed):
        assert "total;dur=" in answer.headers["server-timing"]


async def test_the_age_of_a_bootstrap_is_that_of_its_oldest_part(solo: Stage) -> None:
    await solo.get(OF_ALICE, solo.alice)
    solo.clock.advance(100)
    await solo.get(f"{BOOTSTRAP}?_shape=User", solo.tenant.another(solo.alice))
    answer = await solo.get(BOOTSTRAP, solo.tenant.another(solo.alice))
    assert answer.headers["age"] == "100"


@pytest.mark.parametrize(
    "effect", [Status(401), Status(409, retry_after=0), Status(500), Html200()]
)
async def test_pitfall_19_errors_say_how_they_may_be_kept(solo: Stage, effect: Effect) -> None:
    solo.tenant.fault(effect)
    for target in (*CACHED, "/api/public/x", "/en/profile", f"{BOOTSTRAP}?x=1"):
        answer = await solo.get(target, solo.alice)
        assert answer.headers["cache-control"].startswith(("private", "no-store"))
        assert "Authorization" in answer.headers["vary"]
        assert "Origin" in answer.headers["vary"]
        assert "x-request-id" in answer.headers
        assert "server-timing" in answer.headers


ORIGIN = "https://members.acme.com"
EXPOSED = {
    *("ETag", "Age", "Cache-Status", "Server-Timing"),
    *("BFF-Complete", "Retry-After", "X-Request-Id"),
}


async def test_cors_lets_the_app_read_what_it_needs_on_every_answer() -> None:
    async with stage(env={"BFF_CORS_ORIGINS": ORIGIN}) as s:
        own = {"origin": ORIGIN}
        first = await s.get(BOOTSTRAP, s.alice, headers=own)
        same = {**own, "if-none-match": first.headers["etag"]}
        answers = [
            first,
            await s.get(BOOTSTRAP, s.alice, headers=same),
            await s.get(BOOTSTRAP, headers=own),
            await s.get(f"{BOOTSTRAP}?x=1", s.alice, headers=own),
            await s.get("/api/public/businesses/current", s.alice, headers=own),
            await s.get("/nowhere", s.alice, headers=own),
        ]
        assert [a.status_code for a in answers] == [200, 304, 401, 400, 200, 404]
        for answer in answers:
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            assert answer.headers["timing-allow-origin"] == ORIGIN
            assert answer.headers["access-control-allow-credentials"] == "true"
            exposed = answer.headers["access-control-expose-headers"].split(", ")
            assert set(exposed) >= EXPOSED
            assert answer.headers["vary"].lower().count("origin") == 1
        # The origin is not part of the representation.
        bare = await s.get(BOOTSTRAP, s.alice)
        assert bare.headers["etag"] == first.headers["etag"]
        assert "access-control-allow-origin" not in bare.headers
        other = await s.get(BOOTSTRAP, s.alice, headers={"origin": "https://evil.example"})
        for answer in (bare, other):
            assert answer.headers["vary"].lower().count("origin") == 1
            assert "timing-allow-origin" not in answer.headers
        assert "access-control-allow-origin" not in other.headers


async def test_preflights_are_answered_here() -> None:
    async with stage(env={"BFF_CORS_ORIGINS": ORIGIN}) as s:
        for target in (BOOTSTRAP, PROFILES, "/api/public/bookings"):
            asked = {
                "origin": ORIGIN,
                "access-control-request-method": "PATCH",
                "access-control-request-headers": "authorization, if-none-match, x-use-timezone",
            }
            answer = await s.send("OPTIONS", target, headers=asked)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            assert answer.headers["access-control-max-age"] == "7200"
            assert "PATCH" in answer.headers["access-control-allow-methods"]
            allowed = answer.headers["access-control-allow-headers"].lower()
            assert "authorization" in allowed
            assert "if-none-match" in allowed
            evil = {**asked, "origin": "https://evil.example"}
            refused = await s.send("OPTIONS", target, headers=evil)
            assert refused.status_code == 400
            assert refused.headers["content-type"] == "application/problem+json"
            assert "Disallowed CORS origin" in refused.json()["detail"]
            assert "`BFF_CORS_ORIGINS`" in refused.json()["detail"]
            assert refused.json()["request_id"] == refused.headers["x-request-id"]
            unknown = {**asked, "access-control-request-method": "BREW"}
            other = await s.send("OPTIONS", target, headers=unknown)
            assert other.json()["detail"].startswith("Disallowed CORS method: ")
            assert "BFF_CORS_ORIGINS" not in other.json()["detail"]
            for told in (answer, refused):
                names = told.headers["vary"].lower().split(", ")
                assert len(set(names)) == len(names)
        assert s.tenant.visits() == []


async def test_without_origins_preflights_are_refused_and_other_options_pass(solo: Stage) -> None:
    asked = {"origin": ORIGIN, "access-control-request-method": "GET"}
    for target in (BOOTSTRAP, PROFILES, "/api/public/bookings"):
        refused = await solo.send("OPTIONS", target, headers=asked)
        assert refused.status_code == 400
        assert "`BFF_CORS_ORIGINS`" in refused.json()["detail"]
        assert refused.json()["request_id"] == refused.headers["x-request-id"]
        assert "access-control-allow-origin" not in refused.headers
    assert solo.tenant.visits() == []
    for part, value in asked.items():  # by one of them alone, it is none
        await solo.send("OPTIONS", "/api/public/bookings", headers={part: value})
    assert len(solo.tenant.visits()) == 2


async def test_a_document_survives_its_encoding(solo: Stage) -> None:
    solo.tenant.sandbox.world.edit(101, {"Odd": 'ü€😀 <b>\\" \u2028'})
    body, _ = await raw(solo, BOOTSTRAP, solo.alice, accept_encoding="br")
    assert orjson.loads(brotli.decompress(body))["Profiles"][0]["Odd"] == 'ü€😀 <b>\\" \u2028'
