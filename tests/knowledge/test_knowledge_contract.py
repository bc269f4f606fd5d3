"""Every knowledge store that ships passes the contract."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agno_rt.knowledge.store import KnowledgeStore
from agno_rt.plugins import PluginHost
from agno_rt.testing import KnowledgeContract
from agno_rt.testing.knowledge.vectors import KnowledgeVectors
from tests.knowledge.dictionary_store import DictionaryStore


class TestDictionaryStore(KnowledgeContract):
    """The smallest store: what the contract asks can be had with dictionaries."""

    def make_store(self) -> KnowledgeStore:
        """Make an empty store."""
        return DictionaryStore()


class TestMemoryStore(KnowledgeContract):
    """The store of `memory:`."""

    def make_store(self) -> KnowledgeStore:
        """Make an empty store."""
        store: KnowledgeStore = PluginHost().knowledge("memory:", {})
        return store


class TestSQLiteStore(KnowledgeContract):
    """The store of `sqlite:///FILE`, each in a file of its own."""

    @pytest.fixture(autouse=True)
    def _use_folder(self, tmp_path: Path) -> None:
        self._urls: Iterator[str] = (f"sqlite:///{tmp_path}/{number}.db" for number in itertools.count())
        self._url = ""

    def make_store(self) -> KnowledgeStore:
        """Make an empty store."""
        self._url = next(self._urls)
        store: KnowledgeStore = PluginHost().knowledge(self._url, {})
        return store

    def open_again(self) -> KnowledgeStore:
        """Open the same file."""
        store: KnowledgeStore = PluginHost().knowledge(self._url, {})
        return store


class TestWithoutNumpy(KnowledgeVectors):
    """The store of `memory:` where numpy is not installed."""

    @pytest.fixture(autouse=True)
    def _block_numpy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "numpy", None)

    def make_store(self) -> KnowledgeStore:
        """Make an empty store."""
        store: KnowledgeStore = PluginHost().knowledge("memory:", {})
        return store
