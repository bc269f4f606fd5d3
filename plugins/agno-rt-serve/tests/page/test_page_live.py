"""Runs under way: teams and workflows in the chat, nested timelines, graphs, limits and the task tree."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect


def test_a_team(chat: Any) -> None:
    """Each member's words are a part that folds; the timeline nests the members' calls; the graph shows the members."""
    chat.open("/readers")
    expect(chat.page.locator("#welcome")).to_contain_text("ann, bob")
    expect(chat.page.get_by_role("img", name="readers as a graph")).to_be_visible()
    assert chat.page.locator("#welcome img").evaluate("node => node.naturalWidth") > 100
    assert chat.page.locator("#agent optgroup").evaluate_all("all => all.map(one => one.label)") == [
        "Agents",
        "Teams",
        "Workflows",
    ]
    chat.asked("weather")

    members = chat.page.locator(".member")
    expect(members).to_have_count(2)
    assert sorted(members.locator(".name").all_inner_texts()) == ["ann", "bob"]
    expect(members.first).to_contain_text("Told: ")
    expect(members.first).to_have_attribute("data-state", "completed")
    chat.page.locator("details.run summary").first.click()
    nested = chat.page.locator(".timeline > li[data-kind=run] > .timeline")
    expect(nested).to_have_count(2)
    expect(nested.first.locator(".what")).to_have_text(["Turn 1: test", "weather", "Turn 2: test"])
    nested.first.locator("summary").click()
    expect(nested.first.locator("pre")).to_have_text(['{\n  "city": "Seoul"\n}', "<b>17 degrees</b> in Seoul"])

    chat.page.get_by_role("link", name="Open the stored run").click()
    stored = chat.page.locator("#view .timeline").first
    expect(stored).to_contain_text("ann")
    expect(stored).to_contain_text("weather")
    expect(chat.page.get_by_role("img", name="The run as a graph")).to_be_visible()


def test_a_run_under_way(chat: Any) -> None:
    """A run is seen while it runs: in the task tree with its calls, in the limits, and in its own timeline."""
    chat.open("/waiter")
    chat.ask("begin")
    expect(chat.page.locator(".member")).to_have_count(2)
    expect(chat.page.locator(".member[data-state=running]")).to_contain_text("on and on")
    chat.page.get_by_role("link", name="Live").click()
    task = chat.page.locator(".tree > li").first
    expect(task).to_contain_text("waiter")
    clerk = task.locator(".within > .tree > li")
    expect(clerk).to_contain_text("asking test")
    clerk.locator("summary").click()
    expect(clerk).to_contain_text("(page_agents.py:")
    chart = chat.page.get_by_role("img", name="runs over the last minutes; now 1")
    expect(chart.locator("canvas")).to_be_visible()

    chat.page.get_by_role("link", name="Runs").click()
    chat.page.locator(".runs li", has_text="begin").first.get_by_role("link").click()
    expect(chat.page.locator(".facts .status")).to_have_text("running")
    row = chat.page.locator("#view .timeline li", has_text="clerk").last
    expect(row).to_have_attribute("data-state", "running")
    chat.page.get_by_role("button", name="Cancel this run").click()
    expect(chat.page.locator(".facts .status")).to_have_text("cancelled")
    expect(row).to_have_attribute("data-state", "cancelled")


@pytest.mark.parametrize("by", ["isComposing", "key code", "a moment after the end"])
def test_an_input_method(chat: Any, by: str) -> None:
    """The Enter that confirms an input method's candidate sends nothing; the next Enter sends the message once."""
    chat.open("/plain")
    chat.box.fill("ni hao")
    enter = {"isComposing": "isComposing: true", "key code": "keyCode: 229"}.get(by, "")
    chat.box.evaluate(
        """(node, end) => {
            if (end) node.dispatchEvent(new CompositionEvent("compositionend", {data: "x", bubbles: true}));
            const more = {key: "Enter", bubbles: true, cancelable: true, ENTER};
            node.dispatchEvent(new KeyboardEvent("keydown", more));
        }""".replace("ENTER", enter),
        not enter,
    )
    expect(chat.page.locator(".turn")).to_have_count(0)
    expect(chat.box).to_have_value("ni hao")
    chat.page.wait_for_timeout(60)  # the next Enter of a person comes later
    chat.box.press("Enter")
    expect(chat.page.locator(".turn")).to_have_count(1)
    chat.answered()
    assert sum(request.endswith("/agents/plain/runs") for request in chat.requests) == 1
