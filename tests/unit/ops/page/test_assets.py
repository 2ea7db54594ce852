"""The page's files: all there, none from elsewhere, nothing inline, revalidated."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import orjson
import pytest
from starlette.applications import Starlette

from bff.edge import exchange as exchanges
from bff.ops.page.assets import POLICY, TYPES, Assets
from tests.support.asgi_call import AsgiCall

ASSETS = Assets()
NAMES = sorted(ASSETS.names())
VOID = {"meta", "link", "input", "br"}


async def fetched(path: str, *headers: tuple[bytes, bytes]) -> AsgiCall:
    call = AsgiCall("GET", path.encode(), headers=headers)
    exchanges.begin(call.scope, call.scope["headers"], 0.0)
    await Starlette(routes=ASSETS.routes())(call.scope, call.receive, call.send)
    return call


class Page(HTMLParser):
    """The tags of a page and what they refer to; `open`: those that nothing closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, attribute: str) -> list[str]:
        return [found[attribute] for _, found in self.tags if attribute in found]


@pytest.fixture
async def page() -> Page:
    return Page((await fetched("/ops")).body.decode())


async def test_the_page_is_sent_with_a_strict_policy() -> None:
    for path in ("/ops", *(f"/ops/assets/{name}" for name in NAMES)):
        headers = dict((await fetched(path)).headers)
        assert headers[b"content-security-policy"].decode() == POLICY
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert headers[b"referrer-policy"] == b"no-referrer"
        assert headers[b"cross-origin-opener-policy"] == b"same-origin"
        assert headers[b"cache-control"] == b"no-cache"
    assert "unsafe" not in POLICY
    assert "http" not in POLICY


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_is_revalidated_by_its_etag(name: str) -> None:
    first = await fetched(f"/ops/assets/{name}")
    headers = dict(first.headers)
    assert headers[b"content-type"].decode() == TYPES[name[name.rindex(".") :]]
    again = await fetched(f"/ops/assets/{name}", (b"if-none-match", headers[b"etag"]))
    assert (again.status, again.body) == (304, b"")
    assert dict(again.headers)[b"etag"] == headers[b"etag"]


@pytest.mark.parametrize("name", ["nothing.js", "index.html.bak", "..", "__init__.py", "%2e%2e"])
async def test_what_is_no_file_of_the_page_is_a_problem_404(name: str) -> None:
    call = await fetched(f"/ops/assets/{name}")
    assert call.status == 404
    assert orjson.loads(call.body)["type"] == "urn:bff:problem:not-found"


async def test_everything_comes_from_the_gateway_itself(page: Page) -> None:
    for reference in page.all("src") + page.all("href"):
        assert reference.startswith(("#", "ops/assets/", "data:image/svg+xml,")), reference
        if reference.startswith("ops/assets/"):
            assert (await fetched(f"/{reference}")).status == 200
    for name in NAMES:
        text = (await fetched(f"/ops/assets/{name}")).body.decode()
        links = re.findall(r"(?:https?:)?//[a-z][\w.-]+\.\w+", text)
        assert [link for link in links if ".example" not in link and "w3.org" not in link] == []
        for module in re.findall(r' from "\./([^"]+)"', text):
            assert f"ops/assets/{module}" in page.all("href")


async def test_nothing_is_inline(page: Page) -> None:
    attributes = {name for _, found in page.tags for name in found}
    assert not {name for name in attributes if name.startswith("on")} | attributes & {"style"}
    assert "style" not in {tag for tag, _ in page.tags}
    assert all("src" in found for tag, found in page.tags if tag == "script")
    assert page.open == []


async def test_figures_never_become_markup() -> None:
    for name in NAMES:
        text = (await fetched(f"/ops/assets/{name}")).body.decode()
        found = re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        assert found == []


async def test_the_token_is_kept_for_the_tab_only() -> None:
    scripts = [(await fetched(f"/ops/assets/{n}")).body.decode() for n in NAMES if n.endswith("js")]
    assert not any("localStorage" in text or "document.cookie" in text for text in scripts)


async def test_headings_are_in_order_and_references_lead_somewhere(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    referred = [
        each
        for attribute in ("aria-labelledby", "aria-describedby", "for")
        for value in page.all(attribute)
        for each in value.split()
    ]
    assert set(referred) <= set(ids)


async def test_every_control_has_a_name(page: Page) -> None:
    labelled = set(page.all("for"))
    controls = [found for tag, found in page.tags if tag in ("input", "select", "textarea")]
    assert len(controls) > 8
    assert {found["id"] for found in controls} <= labelled
    secret = next(found for found in controls if found["id"] == "token")
    assert (secret["type"], secret["autocomplete"]) == ("password", "off")


async def test_every_place_that_the_scripts_fill_is_in_the_page(page: Page) -> None:
    scripts = [(await fetched(f"/ops/assets/{n}")).body.decode() for n in NAMES if n.endswith("js")]
    wanted = {each for text in scripts for each in re.findall(r'byId\("([^"]+)"\)', text)}
    assert len(wanted) > 40
    assert wanted <= set(page.all("id"))
