"""Standing approvals on the page: a card offers them, a list shows them, and a button that asks first revokes them."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from agno_rt_serve.auth.key_store import KeyStore, Rights
from playwright.sync_api import expect

AGENTS = Path(__file__).with_name("page_agents.py")


@pytest.fixture
def keeper(chat: Any) -> Any:
    """The page, at the agent whose tools ask for a person."""
    chat.open("/keeper")
    return chat


def allow(chat: Any, reach: str, values: str = "only with the same values") -> None:
    """Ask for a call of delete_file, and approve later calls too."""
    chat.asked("delete")
    card = chat.page.get_by_role("form").filter(has_text="delete_file", visible=True).last
    card.get_by_label("Later calls of delete_file").select_option(reach)
    card.get_by_label("Allow them").select_option(values)
    card.get_by_role("button", name="Approve").click()
    expect(chat.said).to_contain_text("Told: deleted a.txt")


def listed(page: Any) -> Any:
    return page.get_by_role("region", name="Allowed without asking").get_by_role("listitem")


def revoke_all(chat: Any) -> None:
    for _ in range(listed(chat.page).count()):
        count = listed(chat.page).count()
        listed(chat.page).first.get_by_role("button").click()
        chat.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        expect(listed(chat.page)).to_have_count(count - 1)


def test_allow_revoke_and_ask_again(keeper: Any) -> None:
    """Allowed in advance, the next call asks nobody, and says so; listed and revoked, the call asks again."""
    allow(keeper, "In this conversation, until I revoke it", "with any values")
    expect(keeper.page.locator(".note").last).to_have_text("You approved delete_file, and later calls.")
    address = keeper.page.url.partition("#")[2]
    keeper.asked("delete")
    expect(keeper.page.locator(".turn")).to_have_count(2)
    expect(keeper.said.last).to_contain_text("deleted a.txt, False; deleted a.txt, False")
    expect(keeper.page.locator(".turn").last.locator(".note")).to_have_text(
        "delete_file needed no decision: a standing approval allows it."
    )

    keeper.page.get_by_role("link", name="Approvals").click()
    grant = listed(keeper.page).first
    expect(grant).to_contain_text("delete_file with any values")
    expect(grant).to_contain_text("keeper in one conversation · allowed just now · until you revoke it")
    expect(grant.get_by_role("link", name="one conversation")).to_have_attribute("href", f"#{address}")
    button = grant.get_by_role("button", name="Revoke the approval of delete_file")
    button.focus()
    keeper.page.keyboard.press("Enter")
    asks = keeper.page.get_by_role("dialog")
    expect(asks).to_contain_text("Later calls wait for a decision again.")
    keeper.page.keyboard.press("Escape")
    expect(button).to_be_focused()
    keeper.page.keyboard.press("Enter")
    asks.get_by_role("button", name="Revoke").press("Enter")
    expect(listed(keeper.page)).to_have_count(0)
    expect(keeper.page.get_by_text("Nothing is allowed in advance.")).to_be_focused()

    keeper.open(address)
    keeper.asked("delete")
    expect(keeper.page.get_by_role("form").filter(has_text="Let the agent call", visible=True)).to_have_count(1)


def test_each_reach(keeper: Any) -> None:
    """Every reach is stored as worded, also when the call is approved with other values in the list of all."""
    for reach in ("In this conversation, for an hour", "With every agent, until I revoke it"):
        allow(keeper, reach)
        keeper.click("New chat")
        keeper.page.get_by_role("link", name="Approvals").click()
        text = {"In": "keeper in one conversation", "Wi": "Every agent"}[reach[:2]]
        expect(listed(keeper.page)).to_have_count(1)
        expect(listed(keeper.page).first).to_contain_text("delete_file with exactly these values")
        expect(listed(keeper.page).first).to_contain_text("a.txt")
        expect(listed(keeper.page).first).to_contain_text(text)
        expect(listed(keeper.page).first).to_contain_text("ends in 1 h" if reach[0] == "I" else "until you revoke it")
        revoke_all(keeper)
        keeper.open("/keeper")

    keeper.asked("delete")
    keeper.page.get_by_role("link", name="Approvals").click()
    card = keeper.page.locator("#view").get_by_role("form").filter(has_text="delete_file").last
    later = card.get_by_label("Later calls of delete_file")
    later.select_option("In every conversation with keeper, until I revoke it")
    card.get_by_role("button", name="Edit").click()
    card.get_by_label("path").fill("c.txt")
    card.get_by_role("button", name="Approve with these").click()
    expect(listed(keeper.page).first).to_contain_text("c.txt")
    expect(listed(keeper.page).first).to_contain_text("keeper in every conversation")
    revoke_all(keeper)


def test_without_the_right(chat: Any, serve_page: Any, tmp_path: Path) -> None:
    """A person whose key may not decide reads the server's words at the card and in the list."""
    (tmp_path / "agents.py").write_text(AGENTS.read_text())
    settings = '[plugins.serve]\nkeys_file = "keys.json"\n'
    (tmp_path / "agno-rt.toml").write_text(f'[runtime]\nload = ["agents.py"]\nmemory = "sqlite:///kept.db"\n{settings}')
    store = KeyStore(tmp_path / "keys.json")
    key, _ = store.add("una", Rights(), now=time.time(), user="una")
    reader, _ = store.add("reader", Rights(("agents:*:run", "sessions:*:*")), now=time.time(), user="una")
    url, _ = serve_page(folder=tmp_path)
    chat.page.goto(url)

    def sign_in(key: str) -> None:
        chat.page.get_by_label("Key").fill(key)
        chat.page.get_by_role("button", name="Sign in").click()
        chat.page.get_by_label("Agent", exact=True).select_option("keeper")
        expect(chat.page.get_by_role("heading", name="keeper", exact=True)).to_be_visible()

    sign_in(key)
    allow(chat, "In every conversation with keeper, until I revoke it")
    chat.page.get_by_role("link", name="Approvals").click()
    expect(listed(chat.page).first).to_contain_text(re.compile("keeper in every conversation of una · allowed by una"))
    chat.page.get_by_role("button", name="Sign out").click()
    sign_in(reader)
    chat.asked("delete both")
    card = chat.page.get_by_role("form").filter(has_text="b.txt", visible=True)
    card.get_by_role("button", name="Approve").click()
    expect(card.get_by_role("alert")).to_contain_text("This key does not allow that. It needs the scope agents:keeper")
    chat.page.get_by_role("link", name="Approvals").click()
    listed(chat.page).first.get_by_role("button").click()
    chat.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(listed(chat.page).first.get_by_role("alert")).to_contain_text("this key does not allow that")
    chat.complaints.clear()  # the browser's own lines about 401 and 403
