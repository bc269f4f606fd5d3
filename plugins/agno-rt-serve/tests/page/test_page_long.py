"""Much on the page: many conversations, and an answer with many tool calls."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

AGENTS = '''
from agno_rt import Agent, MemoryPolicy, ModelResponse, ToolCall, tool

@tool
def add(number: int) -> str:
    """Add a number."""
    return f"added {number}"

class Counter:
    name = "counter"

    async def respond(self, request, emit=None):
        last = request.messages[-1]
        if last.text.startswith("count to "):
            return ModelResponse("", (ToolCall("c1", "add", '{"number": 1}'),))
        if last.role != "tool":
            return ModelResponse(f"You said {last.text}.")
        since = [message.role for message in request.messages][::-1].index("user")
        done = (since + 1) // 2
        if done < 45:
            return ModelResponse("", (ToolCall(f"c{done + 1}", "add", '{"number": %d}' % (done + 1)),))
        return ModelResponse(f"Counted to {done}.")

counter = Agent(Counter(), "plain", tools=[add], limits={"turns": 100, "tool_calls": 100})
kept = Agent(Counter(), "kept", memory=MemoryPolicy(journal=True))
'''


@pytest.fixture(scope="module")
def url(serve_page: Callable[..., tuple[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a server with 90 conversations, "chat 1" the oldest, and an agent that counts with a tool."""
    folder = tmp_path_factory.mktemp("long")
    (folder / "agents.py").write_text(AGENTS)
    (folder / "agno-rt.toml").write_text('[runtime]\nload = ["agents.py"]\nmemory = "memory:"\n')
    return serve_page(folder=folder)[0]


@pytest.fixture
def listed(chat: Any) -> Any:
    """The page with 90 more conversations, and the first page of them listed."""
    for number in range(1, 91):
        title = f"{'even' if number % 2 == 0 else 'odd'} chat {number}"
        assert chat.page.request.post(f"{chat.url}/sessions", data={"title": title}).ok
    chat.page.reload()
    expect(chat.page.locator("#sessions li[data-session]")).to_have_count(40)
    return chat


def test_many_conversations(listed: Any) -> None:
    """The list keeps its place and its keyboard focus when an answer ends."""
    items = listed.page.locator("#sessions li[data-session]")
    more = listed.page.get_by_role("button", name="Show more")
    more.focus()
    listed.page.keyboard.press("Enter")
    expect(items).to_have_count(80)
    expect(items.nth(40).get_by_role("link")).to_be_focused()

    listed.asked("hello")
    expect(items.first).to_contain_text("hello")
    expect(items).to_have_count(80)


def test_a_search_begins_at_the_top(listed: Any) -> None:
    """A search shows its results from the first, however far down the list was scrolled."""
    side = listed.page.locator("#sessions")
    side.evaluate("side => { side.scrollTop = side.scrollHeight; }")
    listed.page.get_by_label("Search conversations").fill("even chat")
    expect(listed.page.locator("#sessions li[data-session]").filter(has_text="odd")).to_have_count(0)
    first = listed.page.locator("#sessions li[data-session]").first
    expect(first).to_be_in_viewport()
    expect(first.get_by_role("link")).to_have_attribute("href", re.compile("^#/plain/.+"))
    assert side.evaluate("side => side.scrollTop") == 0


def test_an_answer_with_many_tool_calls(chat: Any) -> None:
    """After a reload an answer is whole, however many calls it has: the question, each call, and its run."""
    chat.asked("hello")
    chat.asked("count to 45")
    expect(chat.said).to_have_text("Counted to 45.")
    chat.page.reload()
    expect(chat.page.locator(".asked").last).to_have_text("count to 45")
    expect(chat.page.locator(".turn").last.locator(".tool")).to_have_count(45)
    expect(chat.button("Ask again")).to_be_visible()


def test_many_runs(chat: Any) -> None:
    """More runs are added below those that are shown, and the keyboard goes on at the first of them."""
    for number in range(1, 61):
        assert chat.page.request.post(f"{chat.url}/agents/kept/runs", data={"input": f"run {number}"}).ok
    chat.open("runs")
    runs = chat.page.locator(".runs li")
    expect(runs).to_have_count(50)
    chat.page.locator("#view").get_by_role("button", name="Show more").click()
    expect(runs.nth(59)).to_contain_text("run 1")
    expect(runs.nth(50).get_by_role("link")).to_be_focused()
    expect(runs.nth(50)).to_be_in_viewport()
