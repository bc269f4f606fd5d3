"""A server that is killed in the middle of an answer: the next one takes the run over, and the page follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

AGENTS = Path(__file__).with_name("page_agents.py")


def test_a_run_is_taken_over(chat: Any, serve_page: Callable[..., Any], tmp_path: Path) -> None:
    """The page connects again, waits for the takeover, and shows the answer once."""
    (tmp_path / "agents.py").write_text(AGENTS.read_text())
    memory = "sqlite:///kept.db?lease=1s"
    (tmp_path / "agno-rt.toml").write_text(f'[runtime]\nload = ["agents.py"]\nmemory = "{memory}"\n')
    url, process = serve_page(folder=tmp_path)
    chat.page.goto(f"{url}/#/clerk")
    chat.ask("countdown")
    expect(chat.said).to_contain_text("number 9 ")
    process.kill()
    process.wait()
    expect(chat.page.get_by_text("The connection is lost. Connecting again …")).to_be_visible()

    serve_page(int(url.rpartition(":")[2]), tmp_path)
    expect(chat.said).to_contain_text("the end")
    expect(chat.page.locator(".said")).to_have_count(1)
    assert chat.said.inner_text().count("number 0 ") == 1
    expect(chat.page.locator(".fault")).to_have_count(0)
    chat.complaints.clear()  # the browser's own lines about the dead server
