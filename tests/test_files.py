"""The file search tool: passages of text files, up to date, bounded, with their names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.defaults.files import PASSAGE_CHARACTERS, cut
from agno_rt.errors import ConfigError, UsageError
from agno_rt.plugins import PluginHost
from agno_rt.testing import ScriptedModel


def search(root: Path, query: str, **settings: Any) -> str:
    """Ask the tool that the spec leads to."""
    found = PluginHost().tool(f"files:search:{root}", {"files": settings})(query)
    assert isinstance(found, str)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Some documents."""
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "moon.md").write_text("# Moon\n\nThe moon has craters.\n\n# Tides\n\nTides follow the moon.\n")
    (tmp_path / "sub" / "sun.txt").write_text("The sun is a star.")
    (tmp_path / ".hidden" / "secret.md").write_text("The moon landing was secret.")
    (tmp_path / ".moon.md").write_text("hidden moon")
    (tmp_path / "moon.py").write_text("moon = 1")
    return tmp_path


def test_finds_passages_and_names_their_files(folder: Path) -> None:
    """Text files below the folder are searched, by any of the words; hidden and other files are not."""
    assert search(folder, "stars?") == "From sub/sun.txt:\nThe sun is a star."
    assert "craters" in search(folder, "crater moonwalk")
    for word in ("secret", "hidden"):
        assert search(folder, word) == "No document has any of these words."


@pytest.mark.parametrize("query", ["", "?!", '"', "NEAR(", "a AND", "* OR", "nothing-of-this"])
def test_any_query_is_taken(folder: Path, query: str) -> None:
    """What a model writes is words to look for, never a query language."""
    assert isinstance(search(folder, query), str)


def test_takes_up_changes(folder: Path) -> None:
    """A search sees files that were added, changed or removed since the last one."""
    tool = PluginHost().tool(f"files:search:{folder}", {})
    assert "star" in tool("sun")
    (folder / "sub" / "sun.txt").write_text("The sun is hot, and this is longer.")
    (folder / "new.rst").write_text("The sun is new.")
    assert "hot" in tool("sun")
    assert "new.rst" in tool("sun")
    os.remove(folder / "new.rst")

    assert "new.rst" not in tool("sun")
    assert "star" not in tool("sun")


def test_is_bounded(folder: Path) -> None:
    """Passages, files and their sizes are bounded by the settings."""
    assert search(folder, "moon", passages=1).count("From ") == 1
    assert search(folder, "sun", max_files=1) == "No document has any of these words."
    assert search(folder, "moon", max_bytes=5) == "No document has any of these words."


def test_bytes_that_are_no_text(folder: Path) -> None:
    """A file in another encoding is read as well as it can be."""
    (folder / "latin.txt").write_bytes(b"caf\xe9 moonshine")

    assert "moonshine" in search(folder, "moonshine")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A folder that is not there, and settings that do not fit, are told."""
    with pytest.raises(UsageError, match=r"there is no folder .*nowhere"):
        search(tmp_path / "nowhere", "x")
    with pytest.raises(ConfigError, match=r"\[plugins.files\].*unknown key 'rot'"):
        PluginHost().tool("files:search", {"files": {"rot": "."}})


async def test_an_agent_uses_it(folder: Path) -> None:
    """The spec in an agent's tools is the tool; its root may come from the settings."""
    model = ScriptedModel([ToolCall("1", "search", '{"query": "sun"}'), "A star (sun.txt)."])
    async with Runtime(settings={"files": {"root": str(folder)}}) as rt:
        result = await rt.run(Agent(model, tools=["files:search"]), "What is the sun?")

    assert "sub/sun.txt" in result.messages[2].content


@given(st.lists(st.sampled_from(["word", " ", "\n", "\n\n", "# Head\n\n", "x" * 900]), max_size=40).map("".join))
def test_cutting_loses_no_word(text: str) -> None:
    """Every word of a text is in some passage, and no passage is much longer than it should be."""
    passages = cut(text)
    joined = "".join("".join(passages).split())

    for word in set(text.split()):
        assert word in joined or len(word) > PASSAGE_CHARACTERS
    assert all(passage.strip() and len(passage) <= 2 * PASSAGE_CHARACTERS for passage in passages)
