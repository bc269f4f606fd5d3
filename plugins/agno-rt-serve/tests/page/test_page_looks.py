"""Looks and use of the page: light and dark, small and wide, the side as a drawer. Leaves pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

WIDE = """say # Wide

| a | b | c |
|--|--|--|
| {long} | {long} | {long} |

```text
{long}{long}{long}
```
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for screenshots."""
    folder = Path(os.environ.get("AGNO_RT_SCREENSHOTS", "") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 800, 1440])
def test_looks(browser: Browser, url: str, pictures: Path, scheme: Any, width: int) -> None:
    """Light and dark differ, nothing is wider than the window, and each view leaves a picture."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(30_000)

    def look(name: str) -> None:
        page.screenshot(path=pictures / f"page-{name}-{scheme}-{width}.png")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert page.locator("main").evaluate("main => main.scrollWidth <= main.clientWidth"), name

    page.goto(f"{url}/#/keeper")
    expect(page.locator("#welcome h2")).to_be_visible()
    look("start")
    for number, text in enumerate(["x" * 200, WIDE.format(long="long" * 40), "delete", "fail"]):
        page.get_by_label("Message", exact=True).fill(text)
        page.get_by_label("Message", exact=True).press("Enter")
        expect(page.locator(".turn")).to_have_count(number + 1)
        expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()
        look(f"chat-{number}")
    page.locator("details.run > summary").last.click()
    look("details")
    for place in ("runs", "approvals"):
        page.goto(f"{url}/#{place}")
        expect(page.locator("#view h2")).to_be_visible()
        look(place)
    red = page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
    assert (red > 200) if scheme == "light" else (red < 60)
    context.close()


def test_the_drawer(chat: Any) -> None:
    """On a small screen the conversations are in a drawer, which keeps the focus out while closed."""
    chat.page.set_viewport_size({"width": 375, "height": 700})
    chat.asked("in a drawer")
    side = chat.page.locator("#side")
    expect(side).to_be_hidden()
    chat.click("Show conversations")
    expect(chat.page.get_by_label("Search conversations")).to_be_focused()
    chat.page.keyboard.press("Escape")
    expect(side).to_be_hidden()
    expect(chat.button("Show conversations")).to_be_focused()

    chat.click("New chat")
    chat.click("Show conversations")
    chat.page.get_by_role("link", name="in a drawer").first.click()
    expect(side).to_be_hidden()
    expect(chat.page.locator(".asked")).to_have_text("in a drawer")


def test_long_approvals_begin_at_the_top(chat: Any) -> None:
    """Approvals that are taller than the window are shown from their beginning, where the question is."""
    chat.page.set_viewport_size({"width": 375, "height": 360})
    chat.open("/keeper")
    chat.asked("delete both")
    expect(chat.page.locator(".card h3").first).to_be_in_viewport()
    expect(chat.page.locator(".card button").last).not_to_be_in_viewport()


def test_a_screen_reader_is_told(chat: Any) -> None:
    """Answers come in a log, speakers are headings, and a status line says what happens."""
    chat.asked("hello")
    log = chat.page.get_by_role("log", name="Conversation")
    expect(log.get_by_role("heading", name="You asked")).to_have_count(1)
    expect(log.get_by_role("heading", name="plain answered")).to_have_count(1)
    expect(log).not_to_have_attribute("aria-busy", "true")
    expect(chat.page.locator("#status")).to_have_text("plain has answered")
    chat.ask("endless")
    expect(log).to_have_attribute("aria-busy", "true")
    expect(chat.page.locator("#status")).to_have_text("plain is answering")
    chat.click("Stop")
    expect(chat.page.locator("#status")).to_have_text("Stopped.")
