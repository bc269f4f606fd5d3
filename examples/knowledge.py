"""An agent that looks things up: documents are added once, searched by a tool, and cited in the answer."""

import tempfile
from pathlib import Path

import trio

from agno_rt import Agent, Knowledge, MemoryPolicy, ModelRequest, Runtime, ToolCall
from agno_rt.library import KnowledgeContext
from agno_rt.testing import ScriptedModel

kb = Knowledge("memory:", embedder=None)  # sqlite:///kb.db lasts; without embedder=None, meanings count too


def answer(request: ModelRequest) -> str | ToolCall:
    """Stand in for a language model: search, then quote the first passage."""
    last = request.messages[-1]
    if last.role != "tool":
        return ToolCall("1", "search_knowledge", '{"query": "when does the canteen open"}')
    passage = last.text.partition("\n\n[2]")[0]
    return f"{passage.splitlines()[-1]} [1]"


guide = Agent(ScriptedModel(answer), "guide", memory=MemoryPolicy(context=[KnowledgeContext(kb)]))


def write_documents(folder: Path) -> None:
    """Write something to look up."""
    (folder / "canteen.md").write_text("# Canteen\n\nThe canteen opens at noon.\n")
    (folder / "garage.md").write_text("# Garage\n\nThe garage is closed on Sundays.\n")


async def main() -> None:
    """Add a folder, ask, and show the citations."""
    with tempfile.TemporaryDirectory() as folder:
        write_documents(Path(folder))
        async with Runtime() as runtime:
            opened = runtime.knowledge(kb)
            added = await opened.add(folder)
            print(f"{len(added.added)} documents were added.")
            result = await runtime.run(guide, "When does the canteen open?")
            print(result.content)
            for citation in opened.citations(result):
                print(f"[{citation.number}] {Path(citation.hit.chunk.source).name}, used: {citation.used}")


if __name__ == "__main__":
    trio.run(main)
