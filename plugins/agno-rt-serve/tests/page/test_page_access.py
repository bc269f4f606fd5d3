"""Access to the page for everybody: axe-core finds nothing serious in any view, in light and in dark."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def find_faults(page: Page) -> list[str]:
    """Return what axe-core calls serious or critical, each with the element."""
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate(f"axe.run({{runOnly: {RULES}}})")
    assert found["passes"], "axe-core checked nothing"
    return [
        f"{fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_views(browser: Browser, url: str, scheme: Any) -> None:
    """No view has a serious fault."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(30_000)
    faults: dict[str, list[str]] = {}

    def ask(text: str) -> None:
        page.get_by_label("Message", exact=True).fill(text)
        page.get_by_label("Message", exact=True).press("Enter")
        expect(page.locator(".turn").last).to_contain_text(text)
        expect(page.get_by_role("button", name="Stop")).to_be_hidden()

    page.goto(f"{url}/#/readers")
    expect(page.get_by_role("img", name="readers as a graph")).to_be_visible()
    faults["start"] = find_faults(page)
    ask("weather")
    page.locator("details.run > summary").first.click()
    page.locator(".member summary").first.click()
    faults["team"] = find_faults(page)
    page.get_by_role("link", name="Open the stored run").click()
    expect(page.locator("#view .timeline").first).to_be_visible()
    faults["run"] = find_faults(page)
    page.goto(f"{url}/#/keeper")
    ask("delete")
    page.get_by_label("Later calls of delete_file").select_option("In this conversation, for an hour")
    faults["card"] = find_faults(page)
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".said")).to_be_visible()
    ask("notify")
    expect(page.locator(".card")).to_be_visible()
    ask("say # Head\n\n`code`\n\n| a | b |\n|-|-|\n| 1 | 2 |")
    faults["chat"] = find_faults(page)
    for place in ("runs", "approvals", "live"):
        page.goto(f"{url}/#{place}")
        expect(page.locator("#view h2").first).to_be_visible()
        if place == "approvals":
            expect(page.locator(".grants li")).not_to_have_count(0)
        faults[place] = find_faults(page)
    context.close()

    assert {view: found for view, found in faults.items() if found} == {}
