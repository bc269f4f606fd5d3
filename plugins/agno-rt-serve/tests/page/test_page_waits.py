"""Paused workflows on the page: it says what a run waits for, asks plainly, and shows the run anew when it goes on."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect


def run_of(chat: Any) -> str:
    """Return the id of the run to which the page links."""
    link: str = chat.page.get_by_role("link", name="See or cancel the run").get_attribute("href")
    return link.rpartition("/")[2]


def test_a_signal(chat: Any) -> None:
    """A run that waits for a signal says so, also after a reload; when the run goes on, the page shows the answer."""
    chat.open("/mailroom")
    chat.asked("begin")
    expect(chat.page.locator(".waits")).to_contain_text("This run waits for a signal.")
    expect(chat.page.locator("#sessions li").first).to_contain_text("waits for a signal")
    chat.page.reload()
    expect(chat.page.locator(".waits")).to_contain_text("This run waits for a signal.")
    chat.click("Go on")
    expect(chat.page.get_by_text("This run waits for a signal.")).to_have_count(1)

    address = f"{chat.url}/runs/{run_of(chat)}"
    assert chat.page.request.post(f"{address}/signals", data={"name": "mail", "value": "a letter"}).ok
    assert chat.page.request.post(f"{address}/resume", data={}).ok
    expect(chat.said).to_have_text("Received a letter.")
    expect(chat.page.locator(".waits")).to_have_count(0)


def test_a_sleep(chat: Any) -> None:
    """A run that sleeps says until when, in the conversation, in the list and on the run's own view."""
    chat.open("/sleeper")
    chat.asked("begin")
    expect(chat.page.locator(".waits")).to_contain_text("This run sleeps until ")
    expect(chat.page.locator("#sessions li").first).to_contain_text("sleeps until ")
    chat.page.get_by_role("link", name="See or cancel the run").click()
    expect(chat.page.locator("#view")).to_contain_text("This run sleeps until ")
    chat.click("Cancel this run")
    expect(chat.page.locator("#view .status")).to_have_text("cancelled")


def test_a_question(chat: Any) -> None:
    """A question is asked once, and a person has to choose yes or no: an untouched box says nothing."""
    chat.open("/seller")
    chat.asked("a lamp")
    card = chat.page.get_by_role("form", name="seller asks you")
    expect(card.get_by_text("Sell a lamp?")).to_have_count(1)
    card.get_by_role("button", name="Answer").click()
    expect(card.get_by_role("alert")).to_have_text("answer is missing.")
    card.get_by_label("answer").select_option("Yes")
    card.get_by_role("button", name="Answer").click()
    expect(chat.said).to_have_text("sold")
