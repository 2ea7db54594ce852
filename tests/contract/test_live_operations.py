"""What the routes for everybody else answer is what the document declares: webhooks, operators."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from tests.contract.contract import Contract
from tests.contract.live import HOST, WEBHOOK_SECRET, Live, healthy

HOOK, SPACE_HOOK = "/hooks/nexudus", "/hooks/nexudus/{space}"
PURGE, SHARING, EXPLAIN = "/ops/api/purge", "/ops/api/sharing", "/ops/api/explain"
EVENT = b'[{"Id":101,"UserId":7001,"FullName":"Jane Doe"}]'


def signed(body: bytes) -> dict[str, str]:
    """The header that proves a webhook."""
    digest = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {"x-nexudus-hook-signature": digest.upper()}


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
        (HOOK, EVENT, {**signed(EVENT), "host": "elsewhere.example.com"}, 421),
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
        (PURGE, b'{"token":"EAg26V7VBg1vE8r6ThJ92dac4nEVNWPo"}', 200),
        (PURGE, b'{"token":"not-a-digest-but-perhaps-a-token-itself"}', 400),
        (PURGE, b'{"everything":true}', 200),
        (PURGE, b'{"user":7001,"everything":true}', 400),
        (PURGE, b'{"space":"nobody","user":7001}', 400),
        (PURGE, b"[]", 400),
        (PURGE, b" " * 4097, 413),
        (SHARING, b'{"scope":"token"}', 200),
        (SHARING, b'{"scope":"coworker"}', 200),
        (SHARING, b'{"scope":"everybody"}', 400),
        (PURGE, b'{"everything":true,"spaces":"all"}', 200),
        ("/ops/api/refreshes", b'{"paused":false}', 200),
        ("/ops/api/refreshes", b'{"paused":0}', 400),
        ("/ops/api/log-level", b'{"level":"info"}', 200),
        ("/ops/api/log-level", b'{"level":"loud"}', 400),
        (EXPLAIN, b'{"path":"/session/bootstrap","headers":{"Authorization":"Bearer x"}}', 200),
        (EXPLAIN, b'{"path":"/api/public/x","method":"DELETE"}', 200),
        (EXPLAIN, b'{"url":"https://elsewhere.example.com/"}', 200),
        (EXPLAIN, b"{}", 400),
        (EXPLAIN, b" " * 32769, 413),
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
    for host in (HOST, "127.0.0.1"):
        answer = await gateway.anyone.get(path, headers={"host": host})
        assert answer.status_code == 200
        contract.check(path, answer)


@healthy
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/metrics"),
        ("GET", "/ops/api/whoami"),
        ("GET", "/ops/api/snapshot"),
        ("POST", PURGE),
        ("POST", SHARING),
        ("POST", EXPLAIN),
    ],
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


@healthy
@pytest.mark.parametrize("path", ["/openapi.json", "/healthz", "/readyz", "/metrics"])
async def test_a_head_is_declared(gateway: Live, contract: Contract, path: str) -> None:
    answer = await gateway.operator.head(path)
    assert answer.status_code == 200
    contract.check(path, answer)


@healthy
async def test_a_304_of_the_document_is_declared(gateway: Live, contract: Contract) -> None:
    validator = (await gateway.anyone.get("/openapi.json")).headers["etag"]
    for method in ("GET", "HEAD"):
        headers = {"if-none-match": validator}
        answer = await gateway.anyone.request(method, "/openapi.json", headers=headers)
        assert answer.status_code == 304
        contract.check("/openapi.json", answer)
