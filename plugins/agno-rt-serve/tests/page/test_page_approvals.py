"""Approvals on the page: a paused run asks, and goes on in the same turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

AGENTS = Path(__file__).with_name("page_agents.py")


@pytest.fixture
def keeper(chat: Any) -> Any:
    """The page, at the agent whose tools ask for a person."""
    chat.open("/keeper")
    return chat


def card(chat: Any, text: str) -> Any:
    return chat.page.get_by_role("form").filter(has_text=text, visible=True).last


def test_approve(keeper: Any) -> None:
    """The call and its arguments are shown; approved, the run goes on in the same turn."""
    keeper.asked("delete")
    asks = card(keeper, "delete_file")
    expect(asks).to_contain_text("Let the agent call delete_file?")
    expect(asks).to_contain_text("a.txt")
    expect(keeper.page.locator("details.tool .state")).to_have_text("waits for a person")
    expect(keeper.page.locator("#badge")).not_to_have_text("0")
    expect(keeper.box).to_be_focused()

    asks.get_by_role("button", name="Approve").click()
    expect(keeper.said).to_have_text("Told: deleted a.txt, False")
    expect(keeper.page.locator(".turn")).to_have_count(1)
    expect(keeper.page.locator(".note")).to_have_text("You approved delete_file.")
    expect(keeper.page.locator("details.tool .state")).to_have_text("done")


def test_edit(keeper: Any) -> None:
    """The arguments can be changed in a form made from the tool's schema."""
    keeper.asked("delete")
    asks = card(keeper, "delete_file")
    asks.get_by_role("button", name="Edit").click()
    expect(asks.get_by_label("path")).to_be_focused()
    asks.get_by_label("path").fill("")
    asks.get_by_label("path").fill("c.txt")
    asks.get_by_label("force").check()
    asks.get_by_role("button", name="Approve with these").click()
    expect(keeper.said).to_have_text("Told: deleted c.txt, True")
    expect(keeper.page.locator(".note")).to_have_text("You approved delete_file, with other arguments.")


def test_deny(keeper: Any) -> None:
    """A call is denied with a reason, which the agent is told."""
    keeper.asked("delete")
    asks = card(keeper, "delete_file")
    asks.get_by_role("button", name="Deny").click()
    asks.get_by_label("Why not?").fill("It is still needed.")
    asks.get_by_label("Why not?").press("Enter")
    expect(keeper.said).to_contain_text("denied: It is still needed.")


def test_several_of_one_run(keeper: Any) -> None:
    """A run with two approvals goes on after both decisions; after a reload the undecided one is asked again."""
    keeper.asked("delete both")
    expect(keeper.page.get_by_role("form").filter(has_text="delete_file", visible=True)).to_have_count(2)
    card(keeper, "b.txt").get_by_role("button", name="Deny").click()
    card(keeper, "Why not?").get_by_role("button", name="Deny").click()
    expect(keeper.page.locator(".note")).to_have_text("You denied delete_file.")

    keeper.page.reload()
    expect(keeper.page.locator(".asked")).to_have_text("delete both")
    expect(keeper.page.locator("details.tool summary")).to_contain_text(["a.txt", "b.txt"])
    expect(keeper.page.locator(".settled")).to_have_text("delete_file was denied.")
    expect(keeper.page.get_by_role("form").filter(has_text="delete_file", visible=True)).to_have_count(1)
    card(keeper, "a.txt").get_by_role("button", name="Approve").click()
    expect(keeper.said).to_contain_text("deleted a.txt")
    expect(keeper.said).to_contain_text("denied")


def test_input(keeper: Any) -> None:
    """A form asks for input from the user, and names a missing value."""
    keeper.asked("notify")
    asks = card(keeper, "notify")
    expect(asks).to_contain_text("notify needs information from you")
    asks.get_by_role("button", name="Answer").click()
    expect(asks.get_by_role("alert")).to_have_text("phone is missing.")
    asks.get_by_label("phone").fill("555-0100")
    asks.get_by_label("place").select_option("work")
    asks.get_by_role("button", name="Answer").click()
    expect(keeper.said).to_have_text("Told: sent to 555-0100 (work): It is on its way.")


def test_external(keeper: Any) -> None:
    """The result of a call that is carried out elsewhere is given as JSON or text."""
    keeper.asked("inspect")
    asks = card(keeper, "inspect")
    asks.get_by_label("Result").fill('{"opened": ')
    asks.get_by_role("button", name="Send the result").click()
    expect(asks.get_by_role("alert")).to_contain_text("This is not JSON.")
    asks.get_by_label("Result").fill("Never opened.")
    asks.get_by_role("button", name="Send the result").click()
    expect(keeper.said).to_have_text("Told: Never opened.")


def test_expired(keeper: Any, serve_page: Callable[..., Any], tmp_path: Path) -> None:
    """An expired approval is shown as expired, and "Go on" resumes the run."""
    (tmp_path / "agents.py").write_text(AGENTS.read_text())
    # Else the server may resume the run before anybody has seen the approval: then the page shows the answer.
    settings = "[plugins.serve]\nwakes = false\n"
    (tmp_path / "agno-rt.toml").write_text(f'[runtime]\nload = ["agents.py"]\n{settings}')
    url, _ = serve_page(folder=tmp_path)
    keeper.page.goto(f"{url}/#/keeper")
    keeper.asked("refund")
    expect(keeper.page.locator(".settled")).to_have_text("Nobody decided about refund in time.")
    keeper.click("Go on")
    expect(keeper.said).to_contain_text("Told: ")
    expect(keeper.said).to_contain_text("refund")


def test_decided_elsewhere(keeper: Any) -> None:
    """A late decision shows the earlier one; then the run goes on."""
    keeper.asked("delete")
    session = keeper.page.url.rpartition("/")[2]
    waiting = keeper.page.request.get(f"{keeper.url}/approvals?status=pending").json()["approvals"]
    approval = next(one["id"] for one in waiting if one["session"] == session)
    assert keeper.page.request.post(f"{keeper.url}/approvals/{approval}", data={"decision": "approve"}).ok

    card(keeper, "delete_file").get_by_role("button", name="Approve").click()
    expect(keeper.page.locator(".settled")).to_have_text("Somebody else approved delete_file meanwhile.")
    keeper.click("Go on")
    expect(keeper.said).to_have_text("Told: deleted a.txt, False")
    keeper.complaints.clear()  # the browser's own line about the 409


def test_two_windows(keeper: Any) -> None:
    """When another window decides, and the run goes on there, this window shows the answer too."""
    keeper.asked("delete")
    other = keeper.page.context.new_page()
    other.goto(keeper.page.url)
    other.get_by_role("button", name="Approve").click()
    expect(other.locator(".said")).to_contain_text("deleted a.txt")
    expect(keeper.said).to_have_text("Told: deleted a.txt, False")
    expect(keeper.page.locator(".card")).to_have_count(0)


def test_the_list_of_all(keeper: Any) -> None:
    """All pending approvals are listed with links to their conversations, and can be decided there."""
    keeper.asked("delete")
    address = keeper.page.url
    keeper.page.get_by_role("link", name="Approvals").click()
    expect(keeper.page.get_by_role("heading", name="Approvals")).to_be_visible()
    section = keeper.page.locator("section.waits").filter(
        has=keeper.page.locator(f'a[href="#{address.partition("#")[2]}"]')
    )
    expect(section).to_contain_text("keeper asked")
    section.get_by_role("button", name="Approve").click()
    expect(section.locator(".said")).to_have_text("Told: deleted a.txt, False")

    section.get_by_role("link", name="Open the conversation").click()
    expect(keeper.page.locator(".asked")).to_have_text("delete")
    expect(keeper.said).to_have_text("Told: deleted a.txt, False")


def test_messages_wait_for_the_decision(keeper: Any) -> None:
    """While a run waits another chat can be used, and the card is still there later."""
    keeper.asked("delete")
    address = keeper.page.url.partition("#")[2]
    keeper.click("New chat")
    keeper.asked("hello")
    expect(keeper.said).to_have_text("You said hello.")
    keeper.open(address)
    card(keeper, "delete_file").get_by_role("button", name="Approve").click()
    expect(keeper.said).to_have_text("Told: deleted a.txt, False")
