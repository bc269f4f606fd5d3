"""Knowledge on the page: documents are added, found, and removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

PROJECT = """
[agents.helper]
model = "template:echo"

[knowledge.handbook]
store = "memory:"
embedder = "none"

[plugins.serve]
max_body = 30000
"""
DROP = """(zone, files) => {
    const data = new DataTransfer();
    for (const [name, text] of files) data.items.add(new File([text], name));
    zone.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


@pytest.fixture(scope="module")
def url(serve_page: Callable[..., tuple[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a server with an empty knowledge."""
    folder = tmp_path_factory.mktemp("handbook")
    (folder / "agno-rt.toml").write_text(PROJECT)
    return serve_page(folder=folder)[0]


def test_documents(chat: Any, tmp_path: Path) -> None:
    """A chosen file is listed and found, with its name; once removed, it is neither."""
    (tmp_path / "rules.md").write_text("# Holidays\n\nEverybody has thirty days of holidays a year.\n")
    (tmp_path / "other.txt").write_text("The kitchen is on the second floor.")
    chat.open("knowledge")
    expect(chat.page.get_by_text("There are no documents yet.")).to_be_visible()
    chat.page.get_by_label("Documents to add").set_input_files([tmp_path / "rules.md", tmp_path / "other.txt"])
    documents = chat.page.locator(".documents li")
    expect(documents).to_have_count(2)
    expect(chat.page.locator("#view")).to_contain_text("2 documents")

    chat.page.get_by_label("Search passages").fill("holidays")
    chat.page.get_by_label("Search passages").press("Enter")
    expect(chat.page.locator(".hits li")).to_have_count(1)
    expect(chat.page.locator(".hits")).to_contain_text("thirty days")
    expect(chat.page.locator(".hits")).to_contain_text("rules.md")

    chat.page.get_by_role("button", name="Remove rules.md").click()
    chat.page.get_by_role("button", name="Remove", exact=True).click()
    expect(documents).to_have_count(1)
    chat.page.get_by_label("Search passages").fill("holidays")
    chat.page.get_by_label("Search passages").press("Enter")
    expect(chat.page.get_by_text("Nothing was found.")).to_be_visible()


def test_dropped_files(chat: Any) -> None:
    """A dropped file is added; a file that cannot be read is named with the reason, and the others are added."""
    chat.open("knowledge")
    chat.page.locator(".drop").evaluate(
        """zone => {
            const data = new DataTransfer();
            data.items.add(new File(["A note about foxes."], "fox.txt", {type: "text/plain"}));
            data.items.add(new File([new Uint8Array([0xff, 0xfe, 0x00, 0x80])], "broken.bin"));
            zone.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
        }"""
    )
    expect(chat.page.locator(".drop .fault")).to_contain_text("broken.bin")
    expect(chat.page.locator(".documents")).to_contain_text("fox.txt")
    chat.page.reload()
    expect(chat.page.locator(".documents")).to_contain_text("fox.txt")
    assert chat.page.locator("#attached").is_hidden()


def test_more_files_than_a_request_takes(chat: Any) -> None:
    """Files that together are larger than a request may be are added; one that alone is too large is named."""
    files = [(f"page{number}.txt", f"Page {number}. " + "word " * 1500) for number in range(12)]
    chat.open("knowledge")
    chat.page.locator(".drop").evaluate(DROP, [*files, ("book.txt", "word " * 10_000), ("last.txt", "The last one.")])
    expect(chat.page.locator(".drop")).to_contain_text("13 documents added")
    expect(chat.page.locator(".drop .fault > p")).to_have_text("book.txt is too large (50 kB): 30 kB is the limit.")
    expect(chat.page.locator(".documents")).to_contain_text("page11.txt")
    expect(chat.page.locator(".documents")).to_contain_text("last.txt")


def test_what_a_person_can_mend(chat: Any) -> None:
    """The remedy for a file that cannot be read is in the open; a document without text says that it has none."""
    chat.open("knowledge")
    chat.page.locator(".drop").evaluate(DROP, [("rules.docx", "PK nonsense"), ("empty.txt", ""), ("a.md", "# Titled")])
    expect(chat.page.locator(".drop .fault > p").first).to_contain_text("rules.docx cannot be read")
    expect(chat.page.locator(".drop .fault .hint")).to_be_visible()
    empty = chat.page.locator(".documents li").filter(has_text="empty.txt")
    expect(empty).to_contain_text("no text to find")
    expect(chat.page.locator(".documents li").filter(has_text="Titled")).to_contain_text("a.md")
