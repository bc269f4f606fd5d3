"""Pages of the web, by a plugin's reader: what changed is stored again, and no other page is touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agno_rt import Knowledge, Runtime
from agno_rt.knowledge import Document, Filter
from agno_rt.knowledge.reading import Unread
from agno_rt.library import OpenKnowledge
from agno_rt.plugins import PluginHost
from tests.conftest import MakePoint
from tests.knowledge.dictionary_store import DictionaryStore


class Pages:
    """A reader of `toy:` addresses: a dictionary of texts, a document for each line."""

    name = "toy-1"

    def __init__(self, pages: dict[str, str]) -> None:
        self.pages = pages

    async def read(self, unread: Unread) -> Sequence[Document]:
        """Return a document for each line of the page; further lines have a number."""
        lines = self.pages[unread.source].splitlines()
        return [Document(unread.source + (f"#{at}" if at else ""), line) for at, line in enumerate(lines)]


def make_runtime(plugin_point: MakePoint, pages: dict[str, str]) -> Runtime:
    """Make a runtime with the reader."""

    def register_readers(register: Any) -> None:
        register("toy:", lambda name, settings: Pages(pages), help="toy pages")

    return Runtime(plugins=PluginHost([plugin_point("toy", agno_rt_register_readers=register_readers)]))


async def list_times(opened: OpenKnowledge) -> dict[str, float]:
    """Return the times of the last put, by source."""
    return {info.source: info.added_at for info in await opened.documents(Filter())}


async def test_an_unchanged_page_is_not_stored_again(plugin_point: MakePoint) -> None:
    """Adding again reads a page, stores the changed page alone, and drops what is gone from it."""
    pages = {"toy://a/1": "A fox.\nA hen.", "toy://a/2": "A car."}
    async with make_runtime(plugin_point, pages) as rt:
        opened = rt.knowledge(Knowledge(DictionaryStore(), embedder=None))
        first = await opened.add(*pages)
        before = await list_times(opened)
        again = await opened.add(*pages)
        after = await list_times(opened)
        pages["toy://a/1"] = "A fox."
        shorter = await opened.add(*pages)
        left = await list_times(opened)

    assert (first.added, again.added, shorter.added) == (list(pages), [], ["toy://a/1"])
    assert (again.unchanged, shorter.unchanged) == (list(pages), ["toy://a/2"])
    assert before == after
    assert list(left) == list(pages)


async def test_a_page_leaves_longer_addresses_alone(plugin_point: MakePoint) -> None:
    """Adding a page removes no page whose address begins with the page's address."""
    pages = {"toy://a/1": "A fox.", "toy://a/12": "A car.", "toy://a/1/x": "A hen."}
    async with make_runtime(plugin_point, pages) as rt:
        opened = rt.knowledge(Knowledge(DictionaryStore(), embedder=None))
        await opened.add("toy://a/12", "toy://a/1/x")
        await opened.add("toy://a/1")
        found = await list_times(opened)

    assert sorted(found) == sorted(pages)
