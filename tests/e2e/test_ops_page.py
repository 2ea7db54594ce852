"""The operators' page, before a real gateway of two workers with members, a Redis, and outages."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from bff.ops.page.live import event
from tests.support.ops_figures import HOSTILE, healthy, hostile
from tests.support.ops_page import CHROMIUM, WHY_NOT, Console, chromium, console
from tests.support.ops_stage import ACTS, READS, OpsStage, number_in, ops_stage
from tests.support.redis_server import Origin, RedisServer, find_binary

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason=WHY_NOT),
]

Opened = Callable[..., AbstractAsyncContextManager[Console]]
STOP_TIMEOUT_S = 10.0
"""After which a gateway that somebody holds up ends all the same."""
SEEN_S = 5.0
"""Within which an outage is to be seen."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory, redis_origin: Origin
) -> AsyncIterator[OpsStage]:
    with RedisServer(find_binary(redis_origin)) as redis:
        async with ops_stage(tmp_path_factory.mktemp("ops"), redis) as running:
            await running.load().some(60)
            yield running
    assert_well_logged(running)


def assert_well_logged(stage: OpsStage) -> None:
    """Nothing that nobody expected, and no token (pitfall 6)."""
    log = stage.gateway.said()
    assert '"level":"error"' not in log
    assert not any(token in log for token in (ACTS, READS, stage.jane.token))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest.fixture
def opened(stage: OpsStage, browser: Browser) -> Opened:
    return partial(console, browser, stage.url)


async def test_a_token_is_asked_for_and_kept_in_the_tab_only(opened: Opened) -> None:
    async with opened() as ops:
        page = ops.page
        await page.goto(ops.url)
        assert await ops.focused() == "token"
        assert await page.get_attribute("#token", "type") == "password"
        assert not await page.is_visible("#figures")
        await page.keyboard.type("not-the-token-of-anybody")
        await page.keyboard.press("Enter")
        await ops.says("token-error", "This token is not known here.")
        assert await page.input_value("#token") == ""
        await ops.enter(READS)
        assert await ops.text("who") == "carl · may read"
        assert READS not in page.url
        kept = "[JSON.stringify({...localStorage}) + document.cookie, {...sessionStorage}]"
        elsewhere, here = await page.evaluate(kept)
        assert elsewhere == "{}"
        assert list(here.values()) == [READS]
        await page.reload()
        await ops.says("who", "carl")
        await page.click("#forget")
        assert await ops.focused() == "token"
        assert await page.evaluate("sessionStorage.length") == 0
        assert not await page.is_visible("#figures")


async def test_figures_move_and_are_those_of_metrics_and_of_the_members(
    stage: OpsStage, opened: Opened
) -> None:
    load = stage.load()
    label = 'route="/session/bootstrap"'
    before = await stage.counted("bff_requests", label)
    async with opened() as ops:
        await ops.enter(ACTS)
        async with load.running():
            await ops.says("connection-text", "live")
            await ops.changes("key-rate-note")
            await take_nothing_away(ops)
        assert await stage.counted("bff_requests", label) == before + load.requests
        assert load.answers == {200: load.requests}
        told = f"{int(before) + load.requests:,}"
        await ops.page.wait_for_function(
            "(told) => [...document.querySelectorAll('#table-routes tr')].some((row) =>"
            " row.cells[0].textContent === '/session/bootstrap'"
            " && row.cells[1].textContent === told)",
            arg=told,
            timeout=SEEN_S * 1000,
        )
        await agrees(stage, ops)


async def take_nothing_away(ops: Console) -> None:
    """New figures leave focus, selection, open tables and all places where they are."""
    page = ops.page
    await page.click("#table-traffic summary")
    await page.wait_for_selector("#table-traffic tbody tr:nth-child(60)")
    await page.fill("#explain-url", "https://half-a-url")
    await page.evaluate("document.getElementById('table-traffic').scrollTop = 40")
    await page.evaluate("document.getElementById('explain-url').setSelectionRange(3, 7)")
    kept = """[document.activeElement.id, document.activeElement.selectionStart,
      document.getElementById('table-traffic').open,
      document.getElementById('table-traffic').scrollTop, scrollY]"""
    before = await page.evaluate(kept)
    await page.evaluate("window.shifted = 0")
    await ops.changes("key-rate-note")
    assert await page.evaluate(kept) == before
    assert before[:4] == ["explain-url", 3, True, 40]
    assert await page.evaluate("window.shifted") < 0.01


async def agrees(stage: OpsStage, ops: Console) -> None:
    """Every sum on the page is the one in `/metrics`."""
    made = await stage.counted("bff_upstream_calls")
    saved = await stage.counted("bff_upstream_calls_saved")
    assert number_in(await ops.text("key-saved-note"), "made") == made
    assert (await ops.text("key-saved")).replace(",", "") == f"{saved:.0f}"
    await ops.page.click("#table-reads summary")
    await ops.page.wait_for_selector("#table-reads tbody tr")
    rows = await ops.page.eval_on_selector_all(
        "#table-reads tbody tr",
        "(rows) => rows.map((row) => [...row.cells].map((c) => c.innerText))",
    )
    assert len(rows) > 4
    for resource, which, told in rows:
        count = await stage.counted("bff_cache_reads", f'resource="{resource}"', f'="{which}"')
        assert told.replace(",", "") == f"{count:.0f}", (resource, which)


async def test_one_space_is_chosen_by_link_and_by_list(stage: OpsStage, opened: Opened) -> None:
    first, second = (await stage.ask("snapshot"))["spaces"]
    async with opened() as ops:
        await ops.enter(ACTS, f"#space={first}")
        await ops.says("extent", f"{first} · 2 processes")
        assert await ops.page.input_value("#space") == first
        await ops.page.select_option("#space", second)
        await ops.says("extent", second)
        assert ops.page.url.endswith(f"#space={second.replace(':', '%3A')}")
        shown = await ops.text("table-budget")
        assert first not in await ops.text("table-states") + shown
        await ops.page.evaluate("location.hash = 'space=nobody'")
        await ops.says("notice", "`space` must be one of")
        await ops.says("extent", "all spaces")


async def test_a_purge_is_confirmed_carried_out_and_written_down(
    stage: OpsStage, opened: Opened
) -> None:
    jane = stage.jane
    await stage.get(jane)
    assert "hit" in (await stage.get(jane)).headers["cache-status"]
    space = (await stage.ask("snapshot"))["spaces"]
    answer = await explained(stage)
    async with opened() as ops:
        page = ops.page
        await ops.enter(ACTS)
        await page.select_option("#purge-space", answer["request"]["space"])
        await page.fill("#purge-value", "nobody")
        await page.click("#purge-form button")
        await ops.says("purge-result", "Give the user id.")
        await page.fill("#purge-value", str(jane.user_id))
        await page.click("#purge-form button")
        asked = await ops.text("confirm-text")
        assert f"all tokens of user {jane.user_id} in {answer['request']['space']}" in asked
        assert await ops.focused() == "confirm-no"
        await page.click("#confirm-no")
        assert await ops.text("purge-result") == ""
        assert "hit" in (await stage.get(jane)).headers["cache-status"]
        await page.click("#purge-form button")
        await page.click("#confirm-yes")
        await ops.says("purge-result", f"Purged user {jane.user_id} of")
        await ops.says("purge-result", "in every process")
        assert "fwd=" in (await stage.get(jane)).headers["cache-status"]
        await ops.says("table-latest", f"jane: purge user {jane.user_id}")
    [line] = [each for each in stage.logged("operator_action") if each["action"] == "purge"]
    assert (line["operator"], line["what"], line["outcome"]) == (
        "jane",
        f"user {jane.user_id}",
        "done",
    )
    assert len(space) == 2


async def explained(stage: OpsStage) -> Any:
    """What the gateway says of Jane's bootstrap."""
    jane = stage.jane
    url = f"http://{jane.host}/session/bootstrap?_shape=@mobile"
    return await stage.ask("explain", body={"url": url, "headers": jane.headers})


async def test_switches_reach_every_process(stage: OpsStage, opened: Opened) -> None:
    async with opened() as ops:
        page = ops.page
        await ops.enter(ACTS)
        await ops.says("refreshes-state", "run")
        await page.click("#refreshes-button")
        assert "No process refreshes" in await ops.text("confirm-text")
        await page.click("#confirm-yes")
        await ops.says("refreshes-result", "Refreshes are paused.")
        await ops.says("refreshes-state", "paused")
        await ops.says("causes", "refreshes are paused")
        await page.click("#refreshes-button")
        await page.click("#confirm-yes")
        await ops.says("refreshes-state", "run")
        await page.select_option("#log-level", "debug")
        await page.click("#level-form button")
        await page.click("#confirm-yes")
        await ops.says("level-result", "The log level is debug.")
        await stage.ask("log-level", body={"level": "info"})


async def test_who_may_read_only_is_told_why_and_may_explain(
    stage: OpsStage, opened: Opened
) -> None:
    answer = await stage.get(stage.jane)
    async with opened() as ops:
        page = ops.page
        await ops.enter(READS)
        assert "may read only" in await ops.text("may-not")
        for name in ("purge", "refreshes", "level", "sharing"):
            button = page.locator(f"#{name}-form button")
            assert await button.is_disabled()
            assert await button.get_attribute("aria-describedby") == "may-not"
        await page.fill("#explain-id", answer.headers["x-request-id"])
        await page.press("#explain-id", "Enter")
        await ops.says("explain-result", "profiles: ")
        assert (await ops.text("explain-result")).startswith(("All of it", "It was"))
        await page.fill("#explain-id", "")
        await page.fill("#explain-url", f"http://{stage.jane.host}/session/bootstrap")
        await page.fill("#explain-headers", f"Authorization: Bearer {stage.jane.token}")
        await page.click("#explain-form button")
        await ops.says("explain-result", "profiles: ")
        assert stage.jane.token not in await page.inner_text("body")


async def test_a_shape_that_is_none_is_not_shown(stage: OpsStage, opened: Opened) -> None:
    for shape in ("%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E%22%27", "jane%40example.com"):
        answer = await stage.get(stage.jane, f"/session/bootstrap?_shape={shape}")
        assert answer.status_code == 200
    async with opened() as ops:
        await ops.enter(ACTS)
        await ops.says("table-shapes", "~other")
        assert "example.com" not in await ops.text("table-shapes")


async def test_whatever_is_told_is_text(opened: Opened) -> None:
    """Every text of the figures as somebody would write it who wants operators' tokens."""
    async with opened() as ops:
        ops.page.on("dialog", lambda dialog: ops.errors.append(dialog.message))
        await ops.page.route(
            "**/ops/api/live*",
            lambda route: route.fulfill(body=event(hostile()), content_type="text/event-stream"),
        )
        await ops.enter(ACTS)
        await ops.says("table-shapes", HOSTILE)
        assert await ops.page.locator("#figures img, #figures script").count() == 0


async def test_the_keyboard_is_enough(stage: OpsStage, opened: Opened) -> None:
    async with opened() as ops:
        page = ops.page
        await ops.enter(ACTS)
        await page.focus("#skip")
        order = []
        for _ in range(3):
            await page.keyboard.press("Tab")
            order.append(await ops.focused())
        assert order == ["space", "forget", "Table: requests and failures a minute"]
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await page.evaluate(outline) != "none"
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#table-traffic tbody tr:nth-child(60)")
        await page.focus("#skip")
        await page.keyboard.press("Enter")
        assert await ops.focused() == "main"
        await page.focus("#purge-what")
        await page.keyboard.type("ev")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        assert "Every document of every member" in await ops.text("confirm-text")
        await page.keyboard.press("Escape")
        assert not await page.locator("#confirm").is_visible()
        assert await ops.focused() == "Purge …"
        assert await ops.text("purge-result") == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_can_be_read_also_on_a_phone(
    stage: OpsStage, opened: Opened, scheme: str
) -> None:
    phone = {"width": 320, "height": 640}
    async with opened(viewport=phone, color_scheme=scheme) as ops:
        page = ops.page
        await page.goto(ops.url)
        assert await ops.overflow() <= 0
        assert await ops.unreadable() == []
        await ops.enter(READS)
        await page.evaluate(
            "for (const each of document.querySelectorAll('details')) each.open = true"
        )
        await page.wait_for_selector("#table-events tbody tr")
        assert await ops.overflow() <= 0
        assert await ops.nameless() == []
        for level in ("well", "impaired", "failing", "quiet"):
            await page.evaluate(f"document.getElementById('verdict').dataset.level = '{level}'")
            await page.evaluate("document.getAnimations().forEach((each) => each.finish())")
            assert await ops.unreadable() == [], level


async def test_redis_away_turns_the_verdict_and_is_named(stage: OpsStage, opened: Opened) -> None:
    async with opened() as ops, stage.load().running():
        await ops.enter(ACTS)
        await ops.level("well", "impaired")
        stage.redis.kill()
        try:
            await ops.level("impaired", "failing", within_s=SEEN_S)
            await ops.says("causes", "Redis", within_s=SEEN_S)
            await ops.says("extent", "the answering process only", within_s=SEEN_S)
        finally:
            stage.redis.restart()
        await ops.says("extent", "2 processes")


async def test_one_process_alone_is_not_subtracted_from_the_fleet(opened: Opened) -> None:
    """As Redis goes: what is told is what that process answers a second, and not nothing."""
    fleet = healthy()
    half = tuple(replace(each, requests=each.requests // 2) for each in fleet.minutes)
    alone = replace(fleet, at=fleet.at + 2, fleet=False, minutes=half)
    async with opened() as ops:
        await ops.page.route(
            "**/ops/api/live*",
            lambda route: route.fulfill(
                body=event(fleet) + event(alone), content_type="text/event-stream"
            ),
        )
        await ops.enter(ACTS)
        await ops.says("extent", "the answering process only")
        a_second = sum(each.per_second for each in alone.routes)
        assert await ops.text("key-rate") == f"{a_second:.2f}"


async def test_nexudus_away_turns_the_verdict_and_is_named(stage: OpsStage, opened: Opened) -> None:
    async with opened() as ops, stage.load().running():
        await ops.enter(ACTS)
        await ops.level("well", "impaired")
        assert "Nexudus" not in await ops.text("causes")
        await stage.ask("purge", body={"everything": True, "spaces": "all"})
        await stage.fail(kind="status", status=503)
        await ops.level("failing", "impaired", within_s=SEEN_S)
        await ops.says("causes", "Nexudus", within_s=SEEN_S)
        await ops.says("announced", "Nexudus", within_s=SEEN_S)
        await ops.level("failing", within_s=SEEN_S)
        assert await ops.text("level") == "FAILING"
        while "503" not in await explained_problem(ops):
            # The process that remembers it answers too late where the machine is busy.
            await ops.says("explain-result", "No process that answers remembers this request")
        await stage.recover()


async def explained_problem(ops: Console) -> str:
    """What the page says of the first problem that it shows."""
    await ops.page.locator("#table-problems button").first.click()
    await ops.page.wait_for_function(
        "() => !/^(Asking …)?$/.test(document.getElementById('explain-result').textContent)"
    )
    return await ops.text("explain-result")


async def test_a_gateway_that_restarts_is_waited_for(stage: OpsStage, opened: Opened) -> None:
    """And a page that looks at it does not hold up its end."""
    async with opened() as ops:
        await ops.enter(ACTS)
        await ops.says("connection-text", "live")
        assert_well_logged(stage)  # which begins anew with the gateway
        began = time.monotonic()
        assert await stage.gateway.end() == 0
        assert time.monotonic() - began < STOP_TIMEOUT_S
        await ops.says("connection-text", "reconnecting in")
        await stage.gateway.start()
        await ops.says("connection-text", "live")
        assert Path(ops.page.url).name == "ops"
