"""The reference of the API at /docs, in Chromium."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

    from playwright.sync_api import Browser

CODE = """from agno_rt import Agent
from agno_rt.testing import ScriptedModel

a = Agent(ScriptedModel(["Hello."]), "a")
"""


def test_docs(
    browser: Browser, launch: Callable[..., subprocess.Popen[str]], address: Callable[[subprocess.Popen[str]], str]
) -> None:
    """The page shows the server's routes, asks no other host, and breaks no rule of its own policy."""
    url = address(launch(CODE))
    page = browser.new_page()
    faults: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{url}/docs")
    page.locator("#link-post-\\/runs\\/-id-\\/cancel").click()
    page.get_by_text("The effect of a cancellation").first.wait_for()
    page.close()

    assert faults == []
    assert f"{url}/openapi.json" in asked
    assert all(each.startswith((url, "data:", "blob:")) for each in asked)
