"""Servers of agents for the tests: over HTTP as a process for a whole module, and over stdio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .projects import Agents


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Agents]:
    """A project to serve."""
    made = Agents(tmp_path)
    made.configure('tools_of = ["helper"]')
    yield made
    made.end()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Agents]]:
    """A server over HTTP for the module: its URL and its project."""
    made = Agents(tmp_path_factory.mktemp("web"))
    made.configure('tools_of = ["helper"]')
    try:
        yield made.serve(), made
    finally:
        made.end()
