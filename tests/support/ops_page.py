"""The operators' page in a headless Chromium, watched for errors, violations and shifts."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from playwright.async_api import Browser, Page, async_playwright

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
WHY_NOT: Final = "no Chromium on PATH: install it, on Debian with `apt-get install chromium`"
OPTIONS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_WATCH: Final = """
window.shifted = 0;
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
_UNREADABLE: Final = """
() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b]
    .map((each) => each / 255)
    .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, index) => sum + each * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
    const box = element.getBoundingClientRect();
    if (!own || box.width < 2 || !element.checkVisibility()) continue;
    if (element.closest("fieldset:disabled, .unseen, noscript, title, desc")) continue;
    const style = getComputedStyle(element);
    const ink = parse(element instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      found.push(`${element.tagName}.${element.className?.baseVal ?? element.className}: `
        + `${element.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
    }
  }
  return found;
}
"""
_NAMELESS: Final = """
() => [...document.querySelectorAll("a, button, input, select, textarea, summary, [role=img]")]
  .filter((each) => each.checkVisibility())
  .filter((each) => {
    const by = (each.getAttribute("aria-labelledby") ?? "").split(" ").filter(Boolean);
    const named = by.map((id) => document.getElementById(id)?.textContent ?? "").join("");
    const labels = [...(each.labels ?? [])].map((label) => label.textContent).join("");
    return !(named || labels || each.getAttribute("aria-label") || each.textContent).trim();
  })
  .map((each) => each.outerHTML.slice(0, 120))
"""


class Console:
    """One tab. `errors`: what it said that it should not have."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = f"{url}/ops"
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        # Chromium reports every answer that is an error, also those that the page deals with.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.errors.append(message.text)

    async def enter(self, token: str, fragment: str = "") -> None:
        """Open the page and show the figures."""
        await self.page.goto(f"{self.url}{fragment}")
        await self.page.fill("#token", token)
        await self.page.press("#token", "Enter")
        await self.page.wait_for_selector("#chart-traffic svg")

    async def text(self, place: str) -> str:
        """What stands in an element."""
        return await self.page.inner_text(f"#{place}")

    async def says(self, place: str, words: str, within_s: float = 20) -> None:
        """Returns once an element holds these words."""
        await self.page.wait_for_function(
            "([id, words]) => document.getElementById(id).textContent.includes(words)",
            arg=[place, words],
            timeout=within_s * 1000,
        )

    async def level(self, *levels: str, within_s: float = 20) -> None:
        """Returns once the verdict is one of these."""
        await self.page.wait_for_function(
            "(levels) => levels.includes(document.getElementById('verdict').dataset.level)",
            arg=list(levels),
            timeout=within_s * 1000,
        )

    async def changes(self, place: str) -> None:
        """Returns once an element says something else."""
        await self.page.wait_for_function(
            "([id, text]) => document.getElementById(id).innerText !== text",
            arg=[place, await self.text(place)],
            timeout=20_000,
        )

    async def focused(self) -> str:
        """The id of what has the focus, or its words."""
        return str(
            await self.page.evaluate(
                "document.activeElement.id || document.activeElement.textContent.trim()"
            )
        )

    async def unreadable(self) -> list[str]:
        """Texts of less contrast than WCAG 2.2 AA asks for (1.4.3)."""
        found: list[str] = await self.page.evaluate(_UNREADABLE)
        return found

    async def nameless(self) -> list[str]:
        """Controls and pictures that a screen reader has no name for."""
        found: list[str] = await self.page.evaluate(_NAMELESS)
        return found

    async def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(await self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Ends with the block."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def console(browser: Browser, url: str, **context: Any) -> AsyncIterator[Console]:
    """A tab of its own, in which nothing may go wrong; `context` as playwright takes it."""
    opened = await browser.new_context(**context)
    try:
        await opened.add_init_script(_WATCH)
        page = await opened.new_page()
        watched = Console(page, url)
        yield watched
        assert watched.errors == []
    finally:
        await opened.close()
