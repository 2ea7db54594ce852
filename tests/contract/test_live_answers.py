"""What a running gateway answers is what its own document declares for that route and status."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from bff.edge.routes import BOOTSTRAP_PATH
from bff.resources import PROFILES, RELATED
from bff.sandbox.effects import Effect, Hang, Html200, Reset, Status
from bff.sandbox.faults import Match, Rule
from bff.sandbox.seed import JANE
from tests.contract.contract import Contract, ContractError
from tests.contract.live import PUBLISHED, UNPUBLISHED, WEBHOOK_SECRET, Live, live
from tests.support.serving import listening_socket

HOOK, SPACE_HOOK = "/hooks/nexudus", "/hooks/nexudus/{space}"
PURGE, SHARING = "/ops/api/purge", "/ops/api/sharing"
EVENT = b'[{"Id":101,"UserId":7001,"FullName":"Jane Doe"}]'
CACHED = [BOOTSTRAP_PATH, PROFILES.path, RELATED.path]
HURRIED = {"BFF_DEADLINE_S": "0.3", "BFF_READ_TIMEOUT_S": "0.3"}

healthy = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Live]:
    """One gateway for all tests in which nothing fails."""
    async with live() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def contract(gateway: Live) -> Contract:
    """The document as that gateway serves it."""
    return await contract_of(gateway)


async def contract_of(gateway: Live) -> Contract:
    """The document as a gateway serves it."""
    return Contract((await gateway.anyone.get("/openapi.json")).json())


def problem(answer: httpx.Response) -> str:
    """The kind of problem that an answer is, without its namespace."""
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["type"]).removeprefix("urn:bff:problem:")


def signed(body: bytes) -> dict[str, str]:
    """The header that proves a webhook."""
    digest = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {"x-nexudus-hook-signature": digest.upper()}


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
@pytest.mark.parametrize("path", [*CACHED, "/openapi.json", "/healthz", "/readyz", "/metrics"])
async def test_a_head_is_declared(gateway: Live, contract: Contract, path: str) -> None:
    client = gateway.operator if path == "/metrics" else gateway.member
    answer = await client.head(path.replace("{id}", str(PUBLISHED)))
    assert answer.status_code == 200
    contract.check(path, answer)


@healthy
@pytest.mark.parametrize("path", [*CACHED, "/openapi.json"])
async def test_a_304_is_declared(gateway: Live, contract: Contract, path: str) -> None:
    url = path.replace("{id}", str(PUBLISHED))
    validator = (await gateway.member.get(url)).headers["etag"]
    for method in ("GET", "HEAD"):
        answer = await gateway.member.request(method, url, headers={"if-none-match": validator})
        assert answer.status_code == 304
        contract.check(path, answer)


@healthy
@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [
        ("_shape=A..B", 400, "bad-shape"),
        ("_shape=@unknown", 400, "bad-shape"),
        (f"_shape={'x' * 4097}", 400, "bad-shape"),
        ("coworkerId=0", 400, "bad-parameter"),
        ("coworkerId=1&coworkerId=1", 400, "bad-parameter"),
        ("shape=Id", 400, "bad-parameter"),
        ("_shape=%zz", 404, "bad-target"),
    ],
)
async def test_a_refused_bootstrap_is_declared(
    gateway: Live, contract: Contract, query: str, status: int, kind: str
) -> None:
    answer = await gateway.member.get(f"{BOOTSTRAP_PATH}?{query}")
    assert (answer.status_code, problem(answer)) == (status, kind)
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
@pytest.mark.parametrize("path", [*CACHED, HOOK, "/openapi.json"])
async def test_pitfall_4_an_unknown_host_is_declared(
    gateway: Live, contract: Contract, path: str
) -> None:
    method = "POST" if path == HOOK else "GET"
    url, headers = path.replace("{id}", str(PUBLISHED)), {"host": "elsewhere.example.com"}
    answer = await gateway.member.request(method, url, headers=headers)
    assert (answer.status_code, problem(answer)) == (421, "unknown-host")
    contract.check(path, answer)


@healthy
@pytest.mark.parametrize("path", [HOOK, SPACE_HOOK])
async def test_an_accepted_webhook_is_declared(
    gateway: Live, contract: Contract, path: str
) -> None:
    url = path.replace("{space}", gateway.space)
    for _ in ("first", "again"):
        answer = await gateway.anyone.post(url, content=EVENT, headers=signed(EVENT))
        assert answer.status_code == 204
        contract.check(path, answer)


@healthy
@pytest.mark.parametrize(
    ("url", "body", "headers", "status"),
    [
        (HOOK, EVENT, {}, 401),
        (HOOK, EVENT, signed(EVENT + b" "), 401),
        (HOOK, b" " * (2**20 + 1), signed(EVENT), 413),
        ("/hooks/nexudus/nobody", EVENT, signed(EVENT), 421),
    ],
)
async def test_pitfall_20_a_refused_webhook_is_declared(
    gateway: Live, contract: Contract, url: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await gateway.anyone.post(url, content=body, headers=headers)
    assert answer.status_code == status
    contract.check(HOOK if url == HOOK else SPACE_HOOK, answer)


@healthy
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (PURGE, b'{"user":7001}', 200),
        (PURGE, b'{"coworker":"101"}', 200),
        (PURGE, b'{"token":"no-such-digest"}', 200),
        (PURGE, b'{"everything":true}', 200),
        (PURGE, b'{"user":7001,"everything":true}', 400),
        (PURGE, b'{"space":"nobody","user":7001}', 400),
        (PURGE, b"[]", 400),
        (PURGE, b" " * 4097, 413),
        (SHARING, b'{"scope":"token"}', 200),
        (SHARING, b'{"scope":"coworker"}', 200),
        (SHARING, b'{"scope":"everybody"}', 400),
    ],
)
async def test_an_operators_wish_is_declared(
    gateway: Live, contract: Contract, path: str, body: bytes, status: int
) -> None:
    answer = await gateway.operator.post(path, content=body)
    assert answer.status_code == status
    contract.check(path, answer)


@healthy
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json"])
async def test_what_anyone_may_read_is_declared(
    gateway: Live, contract: Contract, path: str
) -> None:
    answer = await gateway.anyone.get(path)
    assert answer.status_code == 200
    contract.check(path, answer)


@healthy
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/metrics"), ("POST", PURGE), ("POST", SHARING)]
)
async def test_pitfall_20_what_only_operators_may_do_is_declared(
    gateway: Live, contract: Contract, method: str, path: str
) -> None:
    for client in (gateway.anyone, gateway.member):
        answer = await client.request(method, path)
        assert answer.status_code == 401
        contract.check(path, answer)
    if method == "GET":
        answer = await gateway.operator.get(path)
        assert answer.status_code == 200
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
    async with live(HURRIED) as gateway:
        contract = await contract_of(gateway)
        gateway.sandbox.faults.add(Rule(effect))
        for path in CACHED:
            answer = await gateway.member.get(path.replace("{id}", str(PUBLISHED)))
            assert (answer.status_code, problem(answer)) == (status, kind)
            contract.check(path, answer)


async def test_an_absent_upstream_is_declared() -> None:
    with listening_socket() as nobody:  # bound, so that nobody else is there, and never listening
        upstream = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        async with live({"BFF_SPACES": f"members.example.com={upstream}"}) as gateway:
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
        assert (answer.status_code, answer.headers["retry-after"]) == (409, "1")
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
