"""A chat on the page: ask, read a stream with a tool call, stop, queue, ask again, attach a file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

AGENTS = Path(__file__).with_name("page_agents.py")
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_a_conversation(chat: Any) -> None:
    """An agent is picked, streams its answer, and remembers, over a reload and until a new chat."""
    page = chat.page
    page.get_by_label("Agent", exact=True).select_option("forecaster")
    expect(page.get_by_role("heading", name="forecaster")).to_be_visible()
    page.get_by_label("Agent", exact=True).select_option("plain")
    chat.asked("one")
    expect(chat.said).to_have_text("You said one.")
    chat.asked("two")
    expect(chat.said).to_have_text("You said one / two.")

    page.reload()
    expect(page.locator(".asked")).to_have_text(["one", "two"])
    expect(page.locator(".said")).to_have_text(["You said one.", "You said one / two."])
    chat.asked("three")
    expect(chat.said).to_have_text("You said one / two / three.")

    chat.click("New chat")
    chat.asked("four")
    expect(chat.said).to_have_text("You said four.")


def test_the_start_page(chat: Any) -> None:
    """An agent is shown with description, model and tools, without instructions."""
    welcome = chat.page.locator("#welcome")
    expect(welcome).to_contain_text("Answers plainly.")
    assert "secret" not in chat.page.content()
    chat.open("/keeper")
    expect(welcome).to_contain_text("delete_file")
    expect(welcome).to_contain_text("Delete a file for good.")


def test_an_agent_that_is_not_served(chat: Any) -> None:
    """An unknown agent's address says so, and leaves the choice open; a view without an agent offers the usual one."""
    agent = chat.page.get_by_label("Agent", exact=True)
    chat.open("/nobody")
    expect(chat.page.locator("#welcome")).to_contain_text("This server has no agent of this name.")
    expect(agent).to_have_value("")
    chat.open("approvals")
    chat.page.reload()
    expect(agent).to_have_value("plain")
    chat.click("New chat")
    expect(chat.page.get_by_role("heading", name="plain", exact=True)).to_be_visible()


def test_suggestions(chat: Any, serve_page: Any, tmp_path: Path) -> None:
    """Questions to begin with are buttons on the start page; a click asks one."""
    (tmp_path / "agents.py").write_text(AGENTS.read_text())
    settings = '[plugins.serve.suggestions]\nplain = ["Who are you?", "What now?"]\n'
    (tmp_path / "agno-rt.toml").write_text(f'[runtime]\nload = ["agents.py"]\n{settings}')
    url, _ = serve_page(folder=tmp_path)
    chat.page.goto(f"{url}/#/plain")
    offered = chat.page.get_by_role("group", name="Questions to begin with").get_by_role("button")
    expect(offered).to_have_text(["Who are you?", "What now?"])
    offered.first.click()
    expect(chat.said).to_have_text("You said Who are you?.")
    expect(chat.page.locator(".asked")).to_have_text("Who are you?")


def test_a_tool_call(chat: Any) -> None:
    """A tool call is shown with its state, folded; open, it has arguments and result."""
    chat.open("/forecaster")
    chat.asked("weather")
    tool = chat.page.locator("details.tool")
    expect(tool.locator("summary")).to_contain_text("weather")
    expect(tool.locator("summary")).to_contain_text("done")
    expect(tool.locator("pre").first).to_be_hidden()

    tool.locator("summary").focus()
    chat.page.keyboard.press("Enter")
    expect(tool.locator("pre").first).to_contain_text('"city": "Seoul"')
    expect(tool.locator("pre").last).to_have_text("<b>17 degrees</b> in Seoul")


def test_a_tool_call_of_the_past(chat: Any) -> None:
    """After a reload the call is still shown, from the server's messages."""
    chat.open("/forecaster")
    chat.asked("weather")
    chat.page.reload()
    tool = chat.page.locator("details.tool")
    expect(tool.locator("summary")).to_contain_text("city: Seoul")
    tool.locator("summary").click()
    expect(tool.locator("pre").last).to_have_text("<b>17 degrees</b> in Seoul")
    expect(chat.said).to_contain_text("Told: ")


def test_an_empty_answer(chat: Any) -> None:
    """An answer without a word says so."""
    chat.asked("say nothing")
    expect(chat.page.locator(".note")).to_have_text("The answer is empty.")


def test_a_turn_that_begins_anew(chat: Any) -> None:
    """Text from before a restart of the turn is gone; reasoning is folded beside the answer."""
    chat.asked("stumble")
    expect(chat.page.locator(".said")).to_have_text(["Right words."])
    expect(chat.page.locator("details.thought")).to_have_count(1)
    chat.page.locator("details.thought summary").click()
    expect(chat.page.locator("details.thought pre")).to_have_text("Right thought.")


@pytest.mark.parametrize("by", ["button", "key"])
def test_stopping(chat: Any, by: str) -> None:
    """A run is stopped by the button or by Escape; its text so far stays, marked as forgotten."""
    chat.ask("endless")
    expect(chat.said).to_contain_text("on and on")
    if by == "button":
        chat.click("Stop")
    else:
        chat.page.keyboard.press("Escape")

    expect(chat.page.locator(".note")).to_have_text("Stopped.")
    expect(chat.said).to_contain_text("on and on")
    expect(chat.page.locator(".under")).to_contain_text("The agent does not remember this question.")
    expect(chat.box).to_be_focused()


def test_errors_are_shown_in_place(chat: Any) -> None:
    """A failed run shows its error in place of the answer, with the developer's hint folded. The next run may work."""
    chat.asked("fail")
    fault = chat.page.locator(".fault")
    expect(fault).to_contain_text("The model gave no answer", ignore_case=True)
    expect(fault.get_by_text("The server's log says why")).to_be_hidden()
    fault.get_by_text("For developers").click()
    expect(fault.get_by_text("The server's log says why")).to_be_visible()
    chat.asked("again")
    expect(chat.said).to_contain_text("again")


def test_keys(chat: Any) -> None:
    """Enter sends; Shift+Enter starts a new line; an empty message is not sent."""
    chat.box.press("Enter")
    assert chat.page.locator(".turn").count() == 0
    chat.box.press_sequentially("a")
    chat.box.press("Shift+Enter")
    chat.box.press_sequentially("b")
    chat.box.press("Enter")
    expect(chat.page.locator(".asked")).to_have_text("a\nb", use_inner_text=True)
    expect(chat.box).to_have_value("")


def test_messages_queue_up(chat: Any) -> None:
    """Enter during a run queues the message; it can be removed, and stopping puts it back into the form."""
    chat.ask("endless")
    expect(chat.said).to_contain_text("on and on")
    chat.ask("first")
    chat.ask("second")
    queue = chat.page.get_by_role("list", name="Waiting to be sent").get_by_role("listitem")
    expect(queue).to_contain_text(["first", "second"])
    queue.first.get_by_role("button", name="Remove from the queue").click()
    expect(queue).to_contain_text(["second"])

    chat.click("Stop")
    expect(chat.box).to_have_value("second")
    expect(queue).to_have_count(0)


def test_queued_messages_are_sent(chat: Any) -> None:
    """Queued messages are sent after the answer, in order."""
    chat.page.evaluate(
        """() => {
            for (const text of ["one", "two", "three"]) {
                document.getElementById("input").value = text;
                document.getElementById("form").requestSubmit();
            }
        }"""
    )
    expect(chat.page.locator(".asked")).to_have_text(["one", "two", "three"])
    expect(chat.said).to_have_text("You said one / two / three.")


def test_asking_again_and_editing(chat: Any) -> None:
    """The last question can be asked again, or edited; an answer can be copied."""
    chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat.asked("say **bold**")
    chat.click("Copy")
    expect(chat.button("Copied")).to_be_visible()
    assert chat.page.evaluate("navigator.clipboard.readText()") == "**bold**"

    chat.click("Ask again")
    expect(chat.page.locator(".asked")).to_have_text(["say **bold**", "say **bold**"])
    chat.answered()
    chat.click("Edit")
    expect(chat.box).to_have_value("say **bold**")
    expect(chat.box).to_be_focused()


def test_attached_files(chat: Any) -> None:
    """An image is attached, shown in the question and seen by the model, and is still there after a reload."""
    files = chat.page.locator("#files")
    files.set_input_files({"name": "dot.png", "mimeType": "image/png", "buffer": PIXEL})
    files.set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"Remember."})
    attached = chat.page.get_by_role("list", name="Attached files").get_by_role("listitem")
    expect(attached).to_contain_text(["dot.png", "notes.txt"])
    chat.page.get_by_role("button", name="Remove notes.txt").click()
    expect(attached).to_have_count(1)
    chat.asked("look")
    expect(chat.said).to_have_text("Seen: image image/png")
    picture = chat.page.get_by_role("img", name="dot.png")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") == 1
    chat.page.reload()
    expect(chat.said).to_have_text("Seen: image image/png")
    expect(chat.page.locator(".asked img")).to_be_visible()


def test_a_file_that_is_too_large(chat: Any) -> None:
    """A file beyond the server's limit is refused before it is sent, with the limit."""
    chat.page.locator("#files").set_input_files(
        {"name": "big.png", "mimeType": "image/png", "buffer": b"\0" * 7_000_001}
    )
    expect(chat.page.get_by_role("alert")).to_have_text("big.png is too large (7.0 MB): 7.0 MB is the limit.")
