"""The OpenAPI document is valid, whole, and says the same as the routes and the catalogues."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from schemathesis.specs.openapi import definitions
from starlette.routing import Route

from bff import __version__
from bff.app import build
from bff.edge import routes as front
from bff.edge.gateway import Gateway
from bff.edge.openapi import describe
from bff.edge.openapi.document import documented
from bff.edge.problems import PROBLEMS, ProblemType
from bff.resources import PROFILES, RELATED
from bff.settings import load
from tests.contract.contract import Contract

UPSTREAM = {"BFF_UPSTREAM": "nexudushq"}
OPERATED = {**UPSTREAM, "BFF_OPS_TOKEN": "operator-token-of-the-tests"}
ANSWERED_ELSEWHERE = {"forwarded", "unmatched"}
CACHED_LISTS = {PROFILES.path, RELATED.path}


@pytest.fixture(scope="module")
def contract() -> Contract:
    """Instead of the one of a running gateway: the whole document, as JSON gives it back."""
    return Contract(orjson.loads(orjson.dumps(describe(documented().keys()))))


def found(document: object, name: str) -> Iterator[Any]:
    """Every value that stands under `name`, anywhere."""
    if isinstance(document, dict):
        if name in document:
            yield document[name]
        for value in document.values():
            yield from found(value, name)
    elif isinstance(document, list):
        for value in document:
            yield from found(value, name)


def test_the_document_is_openapi_3_1(contract: Contract) -> None:
    faults = Draft202012Validator(definitions.OPENAPI_31).iter_errors(contract.document)
    assert [f"{fault.json_path}: {fault.message}" for fault in faults] == []
    assert contract.document["info"]["version"] == __version__


def test_every_schema_is_json_schema(contract: Contract) -> None:
    schemas = [
        *contract.document["components"]["schemas"].values(),
        *found(contract.document["paths"], "schema"),
        *found(contract.document["components"]["responses"], "schema"),
        *found(contract.document["components"]["parameters"], "schema"),
        *found(contract.document["components"]["headers"], "schema"),
    ]
    assert len(schemas) > 100
    for schema in schemas:
        Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere_and_no_component_is_idle(contract: Contract) -> None:
    references = set(found(contract.document, "$ref"))
    components = {
        f"#/components/{section}/{name}"
        for section, named in contract.document["components"].items()
        for name in named
        if section != "securitySchemes"
    }
    assert references <= components
    # A route with several kinds of one status describes them together; prose names the rest.
    text = " ".join(found(contract.document["paths"], "description"))
    schemas = contract.document["components"]["schemas"]
    excused = {f"#/components/responses/{kind.slug}" for kind in PROBLEMS}
    excused |= {f"#/components/schemas/{name}" for name in schemas if f"`{name}`" in text}
    assert components - references <= excused


def test_every_example_is_as_its_schema_says(contract: Contract) -> None:
    checked = 0
    described = [
        *found(contract.document, "application/json"),
        *found(contract.document, "application/problem+json"),
        *(
            contract.resolved(each)
            for each in contract.document["components"]["parameters"].values()
        ),
        *(each for listed in found(contract.document["paths"], "parameters") for each in listed),
    ]
    for thing in map(contract.resolved, described):
        examples = [contract.resolved(each)["value"] for each in thing.get("examples", {}).values()]
        examples += [thing["example"]] if "example" in thing else []
        for example in examples:
            contract.validate(example, thing["schema"])
            checked += 1
    assert checked > 50


def test_the_unshaped_examples_hold_what_the_gateway_vouches_for(contract: Contract) -> None:
    examples = contract.document["components"]["examples"]
    for name, schema in (
        ("bootstrap", "UnshapedBootstrapDocument"),
        ("bootstrapIncomplete", "UnshapedBootstrapDocument"),
        ("profiles", "UnshapedProfilesList"),
        ("related", "UnshapedRelatedList"),
    ):
        contract.validate_as(examples[name]["value"], schema)
    for name, schema in (
        ("bootstrapMobile", "UnshapedBootstrapDocument"),
        ("profilesIds", "UnshapedProfilesList"),
    ):
        with pytest.raises(AssertionError):
            contract.validate_as(examples[name]["value"], schema)


def test_nobody_but_jane_doe_is_in_the_document(contract: Contract) -> None:
    values = list(found(contract.document["components"]["examples"], "value"))
    assert set(found(values, "FullName")) == {"Jane Doe", "Doe Design Ltd"}
    assert set(found(values, "Email")) == {"jane.doe@example.com"}


def test_operations_have_distinct_ids_and_known_tags(contract: Contract) -> None:
    operations = [operation for _, _, operation in contract.operations()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    known = {tag["name"] for tag in contract.document["tags"]}
    assert {tag for operation in operations for tag in operation["tags"]} <= known


def test_every_get_can_be_a_head(contract: Contract) -> None:
    methods = {(path, method) for path, method, _ in contract.operations()}
    assert all((path, "head") in methods for path, method in methods if method == "get")


@pytest.mark.parametrize("kind", PROBLEMS, ids=lambda kind: kind.slug)
def test_every_problem_type_is_a_response(contract: Contract, kind: ProblemType) -> None:
    response = contract.document["components"]["responses"][kind.slug]
    media = response["content"]["application/problem+json"]
    example = contract.resolved(media["examples"][kind.slug])["value"]
    assert (example["type"], example["status"]) == (kind.uri, kind.status)
    contract.validate(example, media["schema"])
    with pytest.raises(AssertionError):
        contract.validate({**example, "type": "urn:bff:problem:other"}, media["schema"])


def routes_of(app: Gateway) -> set[tuple[str, str]]:
    """Path and method of everything that `app` answers itself."""
    served: set[tuple[str, str]] = set()
    for route in app.routes:
        assert isinstance(route, Route), "a mount whose routes nobody compares"
        # An endpoint that is an ASGI application looks at the method itself.
        methods = route.methods or {"GET", "HEAD"}
        served |= {(route.path, method.lower()) for method in methods}
    assert isinstance(app.router.default, front.Front)
    return served | {(path, method) for path in front_paths() for method in ("get", "head")}


def front_paths() -> set[str]:
    """The routes of the front: all that it ever names, but for what Nexudus answers or nobody."""
    named = {
        eval(ast.unparse(node.value), vars(front))
        for node in ast.walk(ast.parse(inspect.getsource(front)))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "exchange.route"
    }
    assert named > ANSWERED_ELSEWHERE
    return named - ANSWERED_ELSEWHERE


def test_the_routes_are_the_documented_ones() -> None:
    app = build(load(OPERATED))
    contract = Contract(describe({path for path, _ in routes_of(app)}))
    assert {(path, method) for path, method, _ in contract.operations()} == routes_of(app)
    assert documented().keys() == {path for path, _ in routes_of(app)}


async def asked(
    settings: dict[str, str], path: str, method: str = "GET", **headers: str
) -> httpx.Response:
    """What a gateway answers that is not started."""
    transport = httpx.ASGITransport(build(load(settings)))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.request(method, path, headers=headers)


async def fetched(settings: dict[str, str], method: str = "GET", **headers: str) -> httpx.Response:
    """`/openapi.json`, which needs nothing running."""
    return await asked(settings, "/openapi.json", method, **headers)


async def test_a_gateway_that_is_not_ready_says_so_as_declared(contract: Contract) -> None:
    answer = await asked(UPSTREAM, "/readyz")
    assert answer.status_code == 503
    contract.check("/readyz", answer)


async def test_a_gateway_describes_the_routes_that_it_has() -> None:
    operated, plain = await fetched(OPERATED), await fetched(UPSTREAM)
    assert operated.json()["paths"].keys() == documented().keys()
    absent = documented().keys() - plain.json()["paths"].keys()
    assert absent == {path for path in documented() if path.startswith(("/ops", "/metrics"))}
    assert absent


async def test_the_document_may_be_kept_and_revalidated() -> None:
    first = await fetched(UPSTREAM)
    assert first.headers["cache-control"] == "public, max-age=300"
    assert first.headers["vary"] == "Accept-Encoding, Origin"
    validator = first.headers["etag"]
    again = await fetched(UPSTREAM, **{"if-none-match": validator})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == validator
    other = await fetched(OPERATED, **{"if-none-match": validator})
    assert other.status_code == 200


async def test_each_coding_of_the_document_has_its_own_validator() -> None:
    answers = [await fetched(UPSTREAM, **{"accept-encoding": c}) for c in ("br", "zstd", "gzip")]
    answers.append(await fetched(UPSTREAM, **{"accept-encoding": "identity"}))
    codings = [answer.headers.get("content-encoding") for answer in answers]
    assert codings == ["br", "zstd", "gzip", None]
    assert len({answer.headers["etag"] for answer in answers}) == 4
    assert len({answer.content for answer in answers}) == 1


async def test_the_document_is_read_only() -> None:
    head = await fetched(UPSTREAM, "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    refused = await fetched(UPSTREAM, "POST")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert refused.json()["type"] == "urn:bff:problem:method-not-allowed"


async def test_every_route_of_its_own_says_which_methods_it_takes() -> None:
    app = build(load(OPERATED))
    taken: dict[str, set[str]] = {}
    for path, method in routes_of(app):
        taken.setdefault(path, set()).add(method.upper())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        for path, methods in taken.items():
            if path in CACHED_LISTS:
                continue  # other methods of theirs are Nexudus' to answer
            for method in {"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"} - methods:
                answer = await client.request(method, path)
                assert answer.status_code == 405, (method, path)
                assert set(answer.headers["allow"].split(", ")) == methods, (method, path)
                assert len(answer.content) == 0 or method != "HEAD"


async def test_what_is_no_route_is_404_whatever_its_method() -> None:
    for method, path in (("GET", "/hooks"), ("POST", "/hooks/nexudus/acme/x"), ("PUT", "/ops")):
        answer = await asked(UPSTREAM, path, method)
        assert (answer.status_code, answer.json()["title"]) == (404, "No such route")
