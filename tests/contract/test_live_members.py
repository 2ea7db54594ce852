"""What the members' routes of a running gateway answer is what its own document declares."""

from __future__ import annotations

import httpx
import pytest

from bff.edge.target import BOOTSTRAP_PATH
from bff.resources import PROFILES, RELATED
from bff.sandbox.effects import Effect, Hang, Html200, Reset, Status
from bff.sandbox.faults import Match, Rule
from bff.sandbox.seed import JANE
from tests.contract.contract import Contract, ContractError
from tests.contract.live import (
    HOST,
    PUBLISHED,
    UNPUBLISHED,
    Live,
    contract_of,
    healthy,
    live,
    problem,
)
from tests.support.serving import listening_socket

CACHED = [BOOTSTRAP_PATH, PROFILES.path, RELATED.path]
HURRIED = {"BFF_DEADLINE_S": "0.3", "BFF_READ_TIMEOUT_S": "0.3"}


@healthy
@pytest.mark.parametrize(
    ("path", "schema"),
    [
        (BOOTSTRAP_PATH, "UnshapedBootstrapDocument"),
        (PROFILES.path, "UnshapedProfilesList"),
        (RELATED.path, "UnshapedRelatedList"),
    ],
)
async def test_a_whole_document_is_what_the_gateway_vouches_for(
    gateway: Live, contract: Contract, path: str, schema: str
) -> None:
    url = path.replace("{id}", str(PUBLISHED))
    for _ in ("from Nexudus", "from the cache"):
        answer = await gateway.member.get(url)
        assert answer.status_code == 200
        contract.check(path, answer)
        contract.validate_as(answer.json(), schema)


@healthy
@pytest.mark.parametrize("path", CACHED)
@pytest.mark.parametrize(
    "shape", ["@mobile", "@portal", "User.FullName,Profiles.Id,RelatedProfiles.Id", "No.Such"]
)
async def test_a_shaped_document_is_declared(
    gateway: Live, contract: Contract, path: str, shape: str
) -> None:
    url = path.replace("{id}", str(PUBLISHED))
    answer = await gateway.member.get(url, params={"_shape": shape})
    assert answer.status_code == 200
    contract.check(path, answer)


@healthy
async def test_a_hinted_bootstrap_is_declared(gateway: Live, contract: Contract) -> None:
    for hint in (PUBLISHED, UNPUBLISHED, 2**63 - 1):
        answer = await gateway.member.get(BOOTSTRAP_PATH, params={"coworkerId": str(hint)})
        assert answer.status_code == 200
        contract.check(BOOTSTRAP_PATH, answer)
        contract.validate_as(answer.json(), "UnshapedBootstrapDocument")


@healthy
@pytest.mark.parametrize("path", CACHED)
async def test_a_head_is_declared(gateway: Live, contract: Contract, path: str) -> None:
    answer = await gateway.member.head(path.replace("{id}", str(PUBLISHED)))
    assert answer.status_code == 200
    contract.check(path, answer)


@healthy
@pytest.mark.parametrize("path", CACHED)
async def test_a_304_is_declared(gateway: Live, contract: Contract, path: str) -> None:
    url = path.replace("{id}", str(PUBLISHED))
    validator = (await gateway.member.get(url)).headers["etag"]
    for method in ("GET", "HEAD"):
        answer = await gateway.member.request(method, url, headers={"if-none-match": validator})
        assert answer.status_code == 304
        contract.check(path, answer)


@healthy
@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("_shape=A..B", "bad-shape"),
        ("_shape=@unknown", "bad-shape"),
        (f"_shape={'x' * 4097}", "bad-shape"),
        ("_shape=%zz", "bad-parameter"),
        ("coworkerId=0", "bad-parameter"),
        ("coworkerId=1&coworkerId=1", "bad-parameter"),
        ("shape=Id", "bad-parameter"),
    ],
)
async def test_a_refused_bootstrap_is_declared(
    gateway: Live, contract: Contract, query: str, kind: str
) -> None:
    answer = await gateway.member.get(f"{BOOTSTRAP_PATH}?{query}")
    assert (answer.status_code, problem(answer)) == (400, kind)
    contract.check(BOOTSTRAP_PATH, answer)


@healthy
@pytest.mark.parametrize("path", CACHED)
@pytest.mark.parametrize(
    ("credentials", "kind"), [(None, "no-credentials"), ("Basic amFuZQ==", "bad-credentials")]
)
async def test_pitfall_2_a_refused_caller_is_declared(
    gateway: Live, contract: Contract, path: str, credentials: str | None, kind: str
) -> None:
    headers = {} if credentials is None else {"authorization": credentials}
    answer = await gateway.anyone.get(path.replace("{id}", str(PUBLISHED)), headers=headers)
    assert (answer.status_code, problem(answer)) == (401, kind)
    contract.check(path, answer)


@healthy
@pytest.mark.parametrize("path", CACHED)
async def test_pitfall_2_the_401_of_nexudus_is_declared(
    gateway: Live, contract: Contract, path: str
) -> None:
    url = path.replace("{id}", str(PUBLISHED))
    answer = await gateway.anyone.get(url, headers={"authorization": "Bearer never-issued"})
    assert (answer.status_code, answer.content) == (401, b"")
    contract.check(path, answer)


@healthy
async def test_the_404_of_nexudus_is_declared(gateway: Live, contract: Contract) -> None:
    for _ in ("from Nexudus", "from the cache"):
        answer = await gateway.member.get(RELATED.path.replace("{id}", str(UNPUBLISHED)))
        assert (answer.status_code, answer.content) == (404, b"")
        contract.check(RELATED.path, answer)


@healthy
@pytest.mark.parametrize("path", CACHED)
async def test_pitfall_4_an_unknown_host_is_declared(
    gateway: Live, contract: Contract, path: str
) -> None:
    url, headers = path.replace("{id}", str(PUBLISHED)), {"host": "elsewhere.example.com"}
    answer = await gateway.member.get(url, headers=headers)
    assert (answer.status_code, problem(answer)) == (421, "unknown-host")
    contract.check(path, answer)


@pytest.mark.parametrize(
    ("effect", "status", "kind"),
    [
        (Html200(), 502, "unusable-answer"),
        (Reset(), 503, "upstream-down"),
        (Hang(), 504, "upstream-timeout"),
    ],
    ids=["html", "reset", "hang"],
)
async def test_a_failing_upstream_is_declared(effect: Effect, status: int, kind: str) -> None:
    async with live(HURRIED if isinstance(effect, Hang) else {}) as gateway:
        contract = await contract_of(gateway)
        gateway.sandbox.faults.add(Rule(effect))
        for path in CACHED:
            answer = await gateway.member.get(path.replace("{id}", str(PUBLISHED)))
            assert (answer.status_code, problem(answer)) == (status, kind)
            contract.check(path, answer)


async def test_an_absent_upstream_is_declared() -> None:
    with listening_socket() as nobody:  # bound, so that nobody else is there, and never listening
        upstream = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        async with live({"BFF_SPACES": f"{HOST}={upstream}"}) as gateway:
            contract = await contract_of(gateway)
            answer = await gateway.member.get(BOOTSTRAP_PATH)
            assert (answer.status_code, problem(answer)) == (503, "upstream-down")
            contract.check(BOOTSTRAP_PATH, answer)


@pytest.mark.parametrize("path", [BOOTSTRAP_PATH, RELATED.path])
async def test_the_throttle_of_nexudus_is_declared(path: str) -> None:
    async with live(HURRIED) as gateway:
        contract = await contract_of(gateway)
        gateway.sandbox.faults.add(Rule(Status(409, retry_after=1)))
        answer = await gateway.member.get(path.replace("{id}", str(PUBLISHED)))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        contract.check(path, answer)


async def test_a_bootstrap_without_its_related_list_is_declared() -> None:
    async with live() as gateway:
        contract = await contract_of(gateway)
        gateway.sandbox.faults.add(
            Rule(Html200(), Match(path_prefix="/api/public/coworkers/published"))
        )
        answer = await gateway.member.get(BOOTSTRAP_PATH)
        assert (answer.status_code, answer.headers["bff-complete"]) == (200, "false")
        contract.check(BOOTSTRAP_PATH, answer)
        contract.validate_as(answer.json(), "UnshapedBootstrapDocument")
        assert answer.json()["Bootstrap"]["Complete"] is False


async def test_the_bootstrap_of_a_user_without_profiles_is_declared() -> None:
    async with live() as gateway:
        contract = await contract_of(gateway)
        token = gateway.sandbox.tokens.mint(JANE + 6)
        headers = {"authorization": f"Bearer {token}"}
        answer = await gateway.anyone.get(BOOTSTRAP_PATH, headers=headers)
        assert (answer.status_code, answer.json()["Profiles"]) == (200, [])
        contract.check(BOOTSTRAP_PATH, answer)
        contract.validate_as(answer.json(), "UnshapedBootstrapDocument")


@healthy
async def test_an_answer_that_is_not_declared_is_noticed(gateway: Live, contract: Contract) -> None:
    """The checker itself: status, header, media type and body."""
    good = await gateway.member.get(BOOTSTRAP_PATH)
    fields = {name: value for name, value in good.headers.items() if name != "content-encoding"}

    def altered(status: int = 200, body: bytes | None = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = good.content if body is None else body
        kept = {n: v for n, v in {**fields, **named}.items() if v}
        return httpx.Response(status, content=content, headers=kept, request=good.request)

    contract.check(BOOTSTRAP_PATH, altered())
    for wrong in (
        altered(201),
        altered(304),
        altered(etag=""),
        altered(age="soon"),
        altered(content_type="text/html"),
        altered(body=b'{"User":[]}'),
        altered(body=b"[]"),
    ):
        with pytest.raises(ContractError):
            contract.check(BOOTSTRAP_PATH, wrong)
