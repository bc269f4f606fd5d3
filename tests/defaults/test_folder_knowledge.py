"""A folder of text files as knowledge: the context provider `files:documents:FOLDER`."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import Agent, MemoryPolicy, ModelRequest, RunResult, Runtime, ToolCall
from agno_rt.errors import UsageError
from agno_rt.plugins import PluginHost
from agno_rt.readiness import check_ready
from agno_rt.testing import ScriptedModel
from agno_rt.testing.knowledge.word_embedder import WordEmbedder
from tests.conftest import MakePoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with two documents."""
    (tmp_path / "canteen.md").write_text("# Canteen\n\nIt opens at noon.\n\n## Prices\n\nSoup costs four euros.\n")
    (tmp_path / "garden.txt").write_text("Roses need water twice a week.")
    return tmp_path


def make_agent(folder: Path, *steps: Any, words: str = "") -> Agent:
    """Make an agent that searches by scripted calls; with `words`, for them in each run."""

    def answer(request: ModelRequest) -> str | ToolCall:
        return "Done." if request.messages[-1].role == "tool" else search(words)

    return Agent(
        ScriptedModel(answer if words else steps), "guide", memory=MemoryPolicy(context=[f"files:documents:{folder}"])
    )


def search(query: str, id: str = "1") -> ToolCall:
    """Make a call of the tool."""
    return ToolCall(id, "search", f'{{"query": "{query}"}}')


async def test_searches_and_cites(folder: Path) -> None:
    """The tool's results name the files; the run's citations mark the source that the answer names."""
    answer = "Soup costs four euros (canteen.md)."
    agent = make_agent(folder, search("what does the soup cost"), search("roses", "2"), search("zebra", "3"), answer)
    async with Runtime(settings={"files": {"passages": 1}}) as rt:
        result = await rt.run(agent, "How much is the soup?")
        cited = rt.citations(result)

    first, second, third = (message.text for message in result.messages if message.role == "tool")
    assert first == "From canteen.md:\n## Prices\n\nSoup costs four euros."
    assert second == "From garden.txt:\nRoses need water twice a week."
    assert third == "No document has any of these words."
    assert [(each.hit.chunk.where, each.used) for each in cited] == [
        ("canteen.md (Prices)", True),
        ("garden.txt", False),
    ]


async def test_follows_the_files(folder: Path) -> None:
    """Each search sees the files as they are; searches at once do, too."""
    agent = make_agent(folder, words="soup")
    async with Runtime() as rt:
        first = await rt.run(agent, "x")
        (folder / "canteen.md").unlink()
        (folder / "new.md").write_text("The soup is at noon.")
        second = await rt.run(agent, "x")
        results: list[RunResult] = []

        async def ask() -> None:
            results.append(await rt.run(agent, "x"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
    assert "four euros" in first.messages[2].text
    assert second.messages[2].text == "From new.md:\nThe soup is at noon."
    assert [each.messages[2].text for each in results] == ["From new.md:\nThe soup is at noon."] * 2


async def test_two_folders_have_nothing_in_common(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two agents of a runtime search their own folders alone."""
    other = tmp_path_factory.mktemp("other")
    (other / "zoo.md").write_text("The zoo opens at noon.")
    async with Runtime() as rt:
        one = await rt.run(make_agent(folder, search("noon"), "x"), "x")
        two = await rt.run(make_agent(other, search("noon"), "x"), "x")
    assert "canteen.md" in one.messages[2].text
    assert "zoo.md" not in one.messages[2].text
    assert two.messages[2].text == "From zoo.md:\nThe zoo opens at noon."


async def test_an_embedder_finds_by_meaning(folder: Path, plugin_point: MakePoint) -> None:
    """With an embedder in the settings, the passages are embedded in the background."""
    embedder = WordEmbedder()

    def offer(register: Any) -> None:
        register("words", lambda rest, settings: embedder, help="counts words")

    plugins = PluginHost([*entry_points(group="agno_rt"), plugin_point("toy", agno_rt_register_embedders=offer)])
    async with Runtime(plugins=plugins, settings={"files": {"embedder": "toy:words"}}) as rt:
        await rt.run(make_agent(folder, search("soup"), "x"), "x")
        with trio.fail_after(30):
            while len([text for call in embedder.calls for text in call]) < 4:
                await trio.lowlevel.checkpoint()


async def test_says_how_many_documents_there_are(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A check at start counts the documents; an empty folder is a warning, a missing folder an error."""
    empty = tmp_path_factory.mktemp("empty")
    async with Runtime() as rt:
        (note,) = await check_ready(rt, make_agent(folder))
        (warning,) = await check_ready(rt, make_agent(empty))
        (error,) = await check_ready(rt, make_agent(folder / "nowhere"))
    assert (note.level, note.message) == ("note", f"2 documents in {folder}")
    assert (warning.level, warning.message) == ("warning", f"0 documents in {empty}")
    assert error.level == "error"
    with pytest.raises(UsageError, match="no runtime"):
        await PluginHost().context(f"files:documents:{folder}", {}).provide(None)
