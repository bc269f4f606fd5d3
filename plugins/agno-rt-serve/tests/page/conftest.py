"""Fixtures for the tests of the page: a server in a separate process, and the page in a real browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

PATIENCE = 30_000.0
AGENTS = Path(__file__).with_name("page_agents.py")


@pytest.fixture(scope="module")
def serve_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., tuple[str, subprocess.Popen[str]]]]:
    """Serve agents in a separate process, since Playwright blocks its thread.

    `serve_page(port=0, folder=None)` serves the project in the folder, or else the agents of these tests. Returns the
    URL and the process.
    """
    place = tmp_path_factory.mktemp("page")
    started: list[subprocess.Popen[str]] = []

    def start(port: int = 0, folder: Path | None = None) -> tuple[str, subprocess.Popen[str]]:
        command = [sys.executable, "-m", "agno_rt.cli", "serve", *([] if folder else [str(AGENTS)])]
        options = ["--port", str(port), "--grace", "0"]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        process = subprocess.Popen([*command, *options], cwd=folder or place, **pipes)
        started.append(process)
        assert process.stdout is not None
        found = re.search(r"http://\S+:\d+", process.stdout.readline())
        assert found is not None
        return found[0], process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def url(serve_page: Callable[..., tuple[str, Any]]) -> str:
    """The address of a server for the module's tests."""
    return serve_page()[0]


@attrs.define
class Chat:
    """The page, with the actions of a person."""

    page: Page
    url: str
    complaints: list[str]
    requests: list[str]

    def open(self, place: str) -> None:
        """Go to a place of the page, such as `/plain`, the start of an agent."""
        self.page.goto(f"{self.url}/#{place}")

    def ask(self, text: str) -> None:
        """Send a message."""
        self.box.fill(text)
        self.box.press("Enter")

    def asked(self, text: str) -> None:
        """Send a message, and wait until the run is over."""
        turns = self.page.locator(".turn:visible").count()
        self.ask(text)
        expect(self.page.locator(".turn:visible")).to_have_count(turns + 1)
        self.answered()

    def answered(self) -> None:
        """Wait until no run is under way."""
        expect(self.page.get_by_role("button", name="Stop")).to_be_hidden()
        expect(self.page.get_by_role("button", name="Send", exact=True)).to_be_visible()

    def click(self, name: str) -> None:
        """Click the first visible button of that name; for a new chat, wait until the old turns are gone."""
        self.button(name).click()
        if name == "New chat":
            expect(self.page.locator(".turn:visible")).to_have_count(0)

    def button(self, name: str) -> Any:
        """Return the first visible button of that name."""
        return self.page.get_by_role("button", name=name, exact=True).filter(visible=True).first

    @property
    def box(self) -> Any:
        """The field to write messages."""
        return self.page.get_by_label("Message", exact=True)

    @property
    def said(self) -> Any:
        """The last answer."""
        return self.page.locator(".said:visible").last


def is_complaint(message: ConsoleMessage) -> bool:
    """Return whether the browser reports an error, other than a session not stored yet, which the page may ask for."""
    unknown = "404" in message.text and "/sessions/" in message.location["url"]
    return message.type == "error" and not unknown


@pytest.fixture
def chat(browser: Browser, url: str) -> Iterator[Chat]:
    """The page in a fresh profile; an error in the browser's console fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    opened = Chat(page, url, [], [])
    page.on("console", lambda message: opened.complaints.append(message.text) if is_complaint(message) else None)
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on("request", lambda request: opened.requests.append(request.url))
    opened.open("/plain")
    yield opened
    context.close()
    assert not opened.complaints
