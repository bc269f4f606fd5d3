"""Words of other languages than English are found in other forms, with the extra `stems`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from agno_rt.defaults.sqlite import knowledge_stems
from agno_rt.knowledge.store import KnowledgeStore
from agno_rt.plugins import PluginHost
from agno_rt.testing.knowledge.checks import find_sources, put_text

TEXTS = {
    "de": ("Die Bücher stehen in den Regalen der Bibliothek.", "Wo ist das Buch in dem Regal?"),
    "es": ("Los niños nadan en la piscina con sus padres.", "¿Puede nadar un niño?"),
    "fr": ("Les chevaux sont dans les prairies.", "Où est la prairie?"),
    "ru": ("Книги лежат на полках библиотеки.", "Где книга?"),
}
"""Per language: a text, and a query with other forms of its words."""


def make_store(tmp_path: Path) -> KnowledgeStore:
    """Open the store of the test's file."""
    store: KnowledgeStore = PluginHost().knowledge(f"sqlite:///{tmp_path}/kb.db", {})
    return store


def block_stemmers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package be missing."""
    monkeypatch.setitem(sys.modules, "Stemmer", None)
    monkeypatch.setattr(knowledge_stems, "_local", threading.local())


@pytest.mark.parametrize("language", sorted(TEXTS))
async def test_finds_other_forms(tmp_path: Path, language: str) -> None:
    """A query finds other forms of its words; a new version and a removal forget the stems."""
    text, query = TEXTS[language]
    store = make_store(tmp_path)
    await put_text(store, "a", text)
    await put_text(store, "other", "Something else.")
    assert await find_sources(store, query) == ["a"]
    await put_text(store, "a", "Nothing of the kind.")
    assert await find_sources(store, query) == []
    await store.aclose()


async def test_works_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, words are found as they stand; documents from before are found with the package, too."""
    with monkeypatch.context() as patch:
        block_stemmers(patch)
        store = make_store(tmp_path)
        await put_text(store, "before", "Die Bücher der Bibliothek sind alt.")
        assert await find_sources(store, "Wo sind die Bücher?") == ["before"]
        assert await find_sources(store, "Wo ist das Buch?") == []
        await store.aclose()
    store = make_store(tmp_path)
    await put_text(store, "after", "Die Bücher der Bücherei sind neu.")
    assert sorted(await find_sources(store, "Wo sind die Bücher?")) == ["after", "before"]
    assert await find_sources(store, "Wo ist das Buch?") == ["after"]
    with monkeypatch.context() as patch:
        block_stemmers(patch)
        assert sorted(await find_sources(store, "Bücher")) == ["after", "before"]
    await store.aclose()
