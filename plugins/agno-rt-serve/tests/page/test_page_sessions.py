"""The conversations on the page are the server's: listed, found, opened by a link, renamed, exported, deleted."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser, Route, expect

COUNT = 60
"""The numbers in the answer to `countdown`, which takes six seconds."""


def titles(chat: Any) -> Any:
    return chat.page.locator("#sessions .title")


def menu(chat: Any, title: str, entry: str) -> None:
    chat.page.get_by_role("link", name=title).hover()
    chat.page.get_by_role("button", name=f"More about {title}").click()
    chat.page.get_by_role("menuitem", name=entry).click()


def test_a_list(chat: Any) -> None:
    """Conversations are listed with their titles, newest first; a new chat keeps the old ones."""
    chat.asked("what is a kiwi")
    expect(titles(chat).first).to_have_text("what is a kiwi")
    chat.click("New chat")
    chat.asked("what is a lemon")
    expect(titles(chat).first).to_have_text("what is a lemon")
    expect(titles(chat).nth(1)).to_have_text("what is a kiwi")
    expect(chat.page.locator("#sessions a[aria-current]")).to_contain_text("what is a lemon")
    expect(chat.page.locator("#sessions .meta").first).to_contain_text("plain")

    chat.page.get_by_role("link", name="what is a kiwi").click()
    expect(chat.page.locator(".asked")).to_have_text("what is a kiwi")
    chat.asked("and now")
    expect(chat.said).to_have_text("You said what is a kiwi / and now.")


def test_a_first_run_under_way(chat: Any) -> None:
    """A new conversation is in the list while its first answer is written, after a reload too, and once stored."""
    chat.ask("endless")
    item = chat.page.locator("#sessions li").filter(has_text="endless")
    expect(item).to_contain_text("answering")
    expect(item.get_by_role("button")).to_have_count(0)
    chat.page.reload()
    expect(item).to_contain_text("answering")
    expect(chat.page.locator("#sessions a[aria-current]")).to_contain_text("endless")
    chat.button("Stop").click()
    chat.answered()
    expect(item).to_have_count(0)
    chat.asked("a word")
    expect(titles(chat).first).to_have_text("a word")


def test_a_new_conversation_that_waits_for_a_person_is_listed(chat: Any) -> None:
    """A conversation whose first run waits for a person is in the list, after a reload too, with its card."""
    chat.open("/keeper")
    chat.asked("delete")
    listed = chat.page.locator("#sessions li").filter(has_text="waits for a person").filter(has_text="delete")
    expect(listed).to_have_count(1)

    chat.page.reload()
    expect(listed).to_have_count(1)
    expect(chat.page.locator("#none")).to_be_hidden()
    chat.click("New chat")
    listed.get_by_role("link").click()
    card = chat.page.get_by_role("form").filter(has_text="Let the agent call", visible=True)
    card.get_by_role("button", name="Approve").click()
    expect(chat.said).to_have_text("Told: deleted a.txt, False")
    expect(listed).to_have_count(0)


def test_searching(chat: Any) -> None:
    """The list is searched while typing; an empty result says so."""
    chat.asked("where do walnuts grow")
    chat.click("New chat")
    chat.asked("where do hazelnuts grow")
    chat.page.get_by_label("Search conversations").fill("walnuts")
    expect(titles(chat)).to_have_text(["where do walnuts grow"])
    chat.page.get_by_label("Search conversations").fill("nothing of that kind")
    expect(chat.page.get_by_text("No conversation has these words.")).to_be_visible()
    chat.page.get_by_label("Search conversations").fill("")
    expect(titles(chat).first).to_have_text("where do hazelnuts grow")


def test_links_and_the_way_back(chat: Any) -> None:
    """A conversation has an address; back and forward lead through the shown ones."""
    chat.asked("first of all")
    first = chat.page.url
    chat.click("New chat")
    chat.asked("second of all")
    assert chat.page.url != first
    chat.page.go_back()
    expect(chat.page.locator(".asked")).to_have_text("first of all")
    chat.page.go_forward()
    expect(chat.page.locator(".asked")).to_have_text("second of all")

    other = chat.page.context.new_page()
    other.goto(first)
    expect(other.locator(".asked")).to_have_text("first of all")
    expect(other.get_by_label("Agent", exact=True)).to_have_value("plain")


def test_renaming(chat: Any) -> None:
    """A title is edited in place; Enter keeps it, Escape does not, and it lasts."""
    chat.asked("an old name")
    menu(chat, "an old name", "Rename")
    field = chat.page.get_by_label("Title")
    expect(field).to_be_focused()
    field.fill("thrown away")
    field.press("Escape")
    menu(chat, "an old name", "Rename")
    chat.page.get_by_label("Title").fill("A new name")
    chat.page.get_by_label("Title").press("Enter")
    expect(chat.page.get_by_role("link", name="A new name")).to_be_focused()
    chat.page.reload()
    expect(titles(chat).first).to_have_text("A new name")
    expect(chat.page).to_have_title("A new name · agno_rt")


def test_deleting(chat: Any) -> None:
    """Deleting asks first, with Cancel as the default; a deleted conversation is closed."""
    chat.asked("to be deleted")
    address = chat.page.url
    menu(chat, "to be deleted", "Delete")
    dialog = chat.page.get_by_role("dialog", name="Delete “to be deleted”?")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    chat.page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    menu(chat, "to be deleted", "Delete")
    dialog.get_by_role("button", name="Delete").click()
    expect(chat.page.locator("#welcome")).to_be_visible()
    expect(titles(chat).get_by_text("to be deleted")).to_have_count(0)

    chat.page.goto(address)
    expect(chat.page.locator(".lost")).to_contain_text("The server does not know this conversation any more.")
    chat.complaints.clear()  # the browser's own line about the 404


def test_exporting(chat: Any, tmp_path: Path) -> None:
    """A conversation is saved as a file, whole."""
    chat.asked("keep this")
    expect(titles(chat).first).to_have_text("keep this")
    chat.page.get_by_role("link", name="keep this").hover()
    chat.page.get_by_role("button", name="More about keep this").click()
    with chat.page.expect_download() as saved:
        chat.page.get_by_role("menuitem", name="Export").click()
    saved.value.save_as(tmp_path / "kept.json")
    text = (tmp_path / "kept.json").read_text()
    assert "You said keep this." in text
    assert json.loads(text.splitlines()[0])


def test_the_menu_by_keyboard(chat: Any) -> None:
    """The list and its menu can be used without a mouse; Escape leads back."""
    chat.asked("by keyboard")
    expect(titles(chat).first).to_have_text("by keyboard")
    chat.page.locator("#sessions a").first.focus()
    chat.page.keyboard.press("Tab")
    expect(chat.page.get_by_role("button", name="More about by keyboard")).to_be_focused()
    chat.page.keyboard.press("Enter")
    expect(chat.page.get_by_role("menuitem", name="Rename")).to_be_focused()
    chat.page.keyboard.press("ArrowUp")
    expect(chat.page.get_by_role("menuitem", name="Delete")).to_be_focused()
    chat.page.keyboard.press("Escape")
    expect(chat.page.get_by_role("button", name="More about by keyboard")).to_be_focused()


def test_a_server_that_forgot(chat: Any, serve_page: Callable[..., Any]) -> None:
    """After a restart on a memory that does not last, the page says so instead of asking on."""
    url, process = serve_page()
    port = int(url.rpartition(":")[2])
    chat.page.goto(f"{url}/#/plain")
    chat.asked("remember me")
    process.kill()
    process.wait()
    chat.asked("anybody there")
    expect(chat.page.locator(".fault")).to_contain_text("The server cannot be reached.")

    serve_page(port=port)
    chat.ask("who am I")
    lost = chat.page.get_by_role("alert").filter(has_text="The server does not know this conversation any more.")
    expect(lost).to_be_visible()
    expect(chat.page.locator(".asked")).to_have_text(["remember me", "anybody there"])
    expect(chat.box).to_have_value("who am I")
    expect(chat.box).to_be_disabled()
    lost.get_by_role("button", name="Start a new chat").click()
    expect(chat.box).to_have_value("who am I")
    chat.box.press("Enter")
    expect(chat.said).to_have_text("You said who am I.")
    chat.complaints.clear()  # the browser's own lines about a server that is away


def test_two_windows(chat: Any) -> None:
    """Messages from another window are shown before the next question is asked."""
    chat.asked("here")
    other = chat.page.context.new_page()
    other.goto(chat.page.url)
    other.get_by_label("Message", exact=True).fill("there")
    other.get_by_label("Message", exact=True).press("Enter")
    expect(other.locator(".said").last).to_have_text("You said here / there.")
    other.close()

    chat.ask("here again")
    expect(chat.page.locator(".asked")).to_have_text(["here", "there", "here again"])
    expect(chat.said).to_have_text("You said here / there / here again.")


def test_a_run_goes_on_elsewhere(chat: Any) -> None:
    """A run goes on while another conversation is shown, and is still there later."""
    chat.ask("endless")
    expect(chat.said).to_contain_text("on and on")
    address = chat.page.url.partition("#")[2]
    chat.click("New chat")
    expect(chat.button("Send")).to_be_visible()
    chat.asked("meanwhile")
    expect(chat.said).to_have_text("You said meanwhile.")
    chat.open(address)
    expect(chat.button("Stop")).to_be_visible()
    before = len(chat.said.inner_text())
    longer = "(length) => document.querySelector('.said').innerText.length > length"
    chat.page.wait_for_function(longer, arg=before)
    chat.click("Stop")
    expect(chat.page.locator(".note")).to_have_text("Stopped.")


def test_many_messages(chat: Any) -> None:
    """The end of a long conversation is loaded; earlier messages are shown on request."""
    session = "a long one/with a slash"
    for number in range(35):
        body = {"input": f"number {number}", "session": session}
        assert chat.page.request.post(f"{chat.url}/agents/plain/runs", data=body).ok
    chat.open(f"/plain/{quote(session, safe='')}")
    expect(chat.page.locator(".asked").first).to_have_text("number 5")
    chat.click("Show earlier messages (10)")
    expect(chat.page.locator(".asked")).to_have_count(35)
    expect(chat.page.locator(".asked").first).to_have_text("number 0")


def test_an_answer_survives_a_reload(chat: Any, browser: Browser) -> None:
    """After a reload in the middle of an answer, and in a second window, the whole answer is shown, once."""
    chat.open("/plain")
    chat.ask("countdown")
    expect(chat.said).to_contain_text("number 5")
    chat.page.reload()
    expect(chat.said).to_contain_text("number 0 ")
    other = browser.new_context().new_page()
    other.goto(chat.page.url)
    expect(other.locator(".said").last).to_contain_text("number 0 ")
    for page in (chat.page, other):
        expect(page.locator(".said").last).to_contain_text("the end")
        expect(page.get_by_role("button", name="Stop")).to_be_hidden()
        expect(page.locator(".turn")).to_have_count(1)
        assert page.locator(".said").last.inner_text().split() == [
            *(word for number in range(COUNT) for word in ("number", str(number))),
            *["the", "end"],
        ]
    chat.page.reload()
    expect(chat.said).to_contain_text("number 0 ")
    expect(chat.page.locator(".turn")).to_have_count(1)


def test_a_lost_connection(chat: Any) -> None:
    """If the network goes away in the middle of an answer, the page says so, and goes on where the answer broke off."""
    chat.open("/plain")
    chat.page.route("**/runs", cut_short)
    chat.page.route("**/events", lambda route: route.abort())
    chat.ask("countdown")
    expect(chat.page.get_by_text("The connection is lost.")).to_be_visible()
    chat.page.unroute("**/events")
    expect(chat.said).to_contain_text("the end")
    expect(chat.page.get_by_text("The connection is lost.")).to_be_hidden()
    assert chat.said.inner_text().split()[:4] == ["number", "0", "number", "1"]
    assert chat.said.inner_text().split().count("number") == COUNT
    chat.complaints.clear()  # the browser's own lines about the attempts


def cut_short(route: Route) -> None:
    """Let the answer's beginning through, as if the connection broke then; the server sees its client leave."""
    request = route.request
    address = request.url.split("/")[2]
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as wire:
        body = request.post_data_buffer or b""
        head = f"POST /agents/plain/runs HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        wire.sendall(head.encode() + body)
        seen = b""
        while b"number 3" not in seen:
            seen += wire.recv(65536)
    events = re.findall(rb"event: .+?\n\n", seen, re.DOTALL)
    route.fulfill(status=200, content_type="text/event-stream", body=b"".join(events))
