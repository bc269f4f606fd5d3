"""The page in a real browser: pick an agent, send, read a stream with a tool call, stop, come back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

PATIENCE = 30_000.0

AGENTS = '''
import trio
from agno_rt import Agent, ModelResponse, ToolCall, tool
from agno_rt.errors import ModelError
from agno_rt.events import ReasoningDelta, TextDelta, TurnRestarted

@tool
def weather(city: str) -> str:
    """Current weather in a city."""
    return f"<b>17 degrees</b> in {city}"

class Model:
    name = "test"

    async def respond(self, request, emit=None):
        asked = request.messages[-1]
        if asked.content == "fail":
            raise ModelError("the model is away", hint="Wait for it.")
        if asked.content == "stumble":
            await emit(ReasoningDelta("Wrong thought."))
            await emit(TextDelta("Wrong words."))
            await emit(TurnRestarted("the line was cut"))
            await emit(ReasoningDelta("Right thought."))
            await emit(TextDelta("Right words."))
            return ModelResponse("Right words.", reasoning="Right thought.")
        if asked.role == "user" and request.tools:
            return ModelResponse(tool_calls=(ToolCall("c1", "weather", '{"city": "Seoul"}'),))
        if asked.content == "endless":
            while True:
                await emit(TextDelta("on and "))
                await trio.sleep(0.02)
        said = [message.content for message in request.messages if message.role == "user"]
        words = f"You said <i>{' / '.join(said)}</i>. In `code` and:\\n```\\nprint(1)\\n```\\nThat is all."
        for word in words.split(" "):
            await emit(TextDelta(word + " "))
        return ModelResponse(words)

plain = Agent(Model(), "plain", "You answer plainly.")
forecaster = Agent(Model(), "forecaster", "You know the weather.", tools=[weather])
'''


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in a process of its own: Playwright blocks the thread that it is used in."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "agents.py").write_text(AGENTS)
    command = [sys.executable, "-m", "agno_rt.cli", "serve", "agents.py", "--port", "0", "--grace", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+:\d+", process.stdout.readline())
        assert found is not None
        yield found[0]
        process.terminate()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The page in a fresh profile; anything that it complains of fails the test."""
    context = browser.new_context(viewport={"width": 1100, "height": 760})
    complaints: list[str] = []
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(url)
    yield opened
    context.close()
    assert not complaints


def ask(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_label("Message").press("Enter")


def answered(page: Page) -> None:
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_a_conversation(page: Page) -> None:
    """An agent is picked, streams its answer, and remembers; markup in what it says is text."""
    page.get_by_label("Agent").select_option("plain")
    expect(page.get_by_role("heading", name="plain")).to_be_visible()
    ask(page, "one")
    expect(page.locator(".said").last).to_contain_text("You said <i>one</i>")
    answered(page)
    expect(page.locator(".said pre")).to_have_text("print(1)")
    assert page.locator(".said i").count() == 0

    ask(page, "two")
    expect(page.locator(".said").last).to_contain_text("one / two")
    answered(page)

    page.reload()
    expect(page.locator(".asked")).to_have_text(["one", "two"])
    ask(page, "three")
    expect(page.locator(".said").last).to_contain_text("one / two / three")
    answered(page)
    page.get_by_role("button", name="New chat").click()
    ask(page, "four")
    expect(page.locator(".said").last).to_contain_text("You said <i>four</i>")
    answered(page)


def test_a_tool_call(page: Page) -> None:
    """A tool call is shown with its state, folded; open, it has arguments and result."""
    page.get_by_label("Agent").select_option("forecaster")
    ask(page, "Weather?")
    answered(page)
    tool = page.locator("details.tool")
    expect(tool.locator("summary")).to_contain_text("weather")
    expect(tool.locator("summary")).to_contain_text("done")
    expect(tool.locator("pre").first).to_be_hidden()

    tool.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(tool.locator("pre").first).to_contain_text('"city": "Seoul"')
    expect(tool.locator("pre").last).to_have_text("<b>17 degrees</b> in Seoul")


def test_a_turn_that_begins_anew(page: Page) -> None:
    """What was said before a turn began anew is gone; what it thought is folded away beside the answer."""
    page.get_by_label("Agent").select_option("plain")
    ask(page, "stumble")
    answered(page)
    expect(page.locator(".said")).to_have_text(["Right words."])
    expect(page.locator("details.thought")).to_have_count(1)
    page.locator("details.thought summary").click()
    expect(page.locator("details.thought pre")).to_have_text("Right thought.")


@pytest.mark.parametrize("by", ["button", "key"])
def test_stopping(page: Page, by: str) -> None:
    """A run is stopped by the button or by Escape, and what it said until then stays."""
    page.get_by_label("Agent").select_option("plain")
    ask(page, "endless")
    expect(page.locator(".said")).to_contain_text("on and on")
    if by == "button":
        page.get_by_role("button", name="Stop").click()
    else:
        page.keyboard.press("Escape")

    expect(page.locator(".note")).to_have_text("Stopped.")
    expect(page.locator(".said")).to_contain_text("on and on")
    expect(page.get_by_label("Message")).to_be_focused()


def test_errors_are_shown_in_place(page: Page) -> None:
    """A run that fails says so where its answer would be, and where to look; the next one may work."""
    page.get_by_label("Agent").select_option("plain")
    ask(page, "fail")
    expect(page.locator(".fault")).to_contain_text("the model gave no answer")
    expect(page.locator(".fault")).to_contain_text("The server's log says why: run ")
    answered(page)
    ask(page, "again")
    expect(page.locator(".said").last).to_contain_text("again")


def test_keys(page: Page) -> None:
    """Enter sends; Shift+Enter starts a new line; an empty message is not sent."""
    page.get_by_label("Agent").select_option("plain")
    box = page.get_by_label("Message")
    box.press("Enter")
    assert page.locator(".turn").count() == 0
    box.press_sequentially("a")
    box.press("Shift+Enter")
    box.press_sequentially("b")
    box.press("Enter")
    expect(page.locator(".asked")).to_have_text("a\nb", use_inner_text=True)
    expect(box).to_have_value("")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1100, 760), (360, 740)], ids=["desk", "phone"])
def test_looks(browser: Browser, url: str, tmp_path: Path, scheme: str, size: tuple[int, int]) -> None:
    """Light and dark differ, nothing is wider than the window, and a picture is left to be looked at."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
    )
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE)
    opened.goto(url)
    opened.get_by_label("Agent").select_option("forecaster")
    ask(opened, f"Weather? {'long' * 40}")
    answered(opened)
    opened.locator("details.tool summary").click()
    folder = Path(os.environ.get("AGNO_RT_SCREENSHOTS", tmp_path))
    opened.screenshot(path=folder / f"serve-{scheme}-{width}.png")

    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert opened.evaluate("document.querySelector('main').scrollWidth <= innerWidth")
    red = opened.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
    assert (red > 200) if scheme == "light" else (red < 60)
    context.close()
