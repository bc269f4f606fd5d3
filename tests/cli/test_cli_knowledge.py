"""`agno-rt knowledge`: add, search, list, remove and evaluate."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from agno_rt import Knowledge, Runtime
from agno_rt.knowledge import Document
from agno_rt.testing.knowledge.word_embedder import WordEmbedder

Agno = Callable[..., subprocess.CompletedProcess[str]]

QUERIES = ('a::b "x', "-one")


@pytest.fixture
def docs(tmp_path: Path, agno: Agno) -> Path:
    """A folder with two documents, added by words alone to the knowledge of agno-rt.toml."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "fox.md").write_text("# The fox\n\nA fox eats mice.\n")
    (folder / "car.md").write_text("# The car\n\nA car needs fuel.\n")
    agno("knowledge", "add", str(folder), "--embedder", "none")
    return folder


def test_adds_and_searches(agno: Agno, docs: Path) -> None:
    """`add` tells the outcome for the files, and `search` shows passages with places."""
    (docs / "new.md").write_text("Something new.")
    (docs / "car.md").unlink()
    again = agno("knowledge", "add", str(docs), "--embedder", "none")
    found = agno("knowledge", "search", "what", "eats", "mice", "--embedder", "none")
    as_json = agno("knowledge", "search", "mice", "--embedder", "none", "--json")

    assert "1 added, 1 unchanged, 1 removed." in again.stderr
    assert "fox.md (The fox)" in found.stdout
    assert "A fox eats mice." in found.stdout
    assert json.loads(as_json.stdout)["chunk"]["headings"] == ["The fox"]


def test_hostile_queries(agno: Agno, docs: Path) -> None:
    """Words like options or syntax are words, and are found in texts."""
    (docs / "signs.txt").write_text(" and ".join(QUERIES))
    agno("knowledge", "add", str(docs), "--embedder", "none")
    for query in QUERIES:
        assert "signs.txt" in agno("knowledge", "search", "--embedder", "none", query).stdout, query
    assert "No passage fits" in agno("knowledge", "search", "--embedder", "none", " ").stderr


def test_lists_and_removes(agno: Agno, docs: Path) -> None:
    """`list` shows the documents, and `remove` takes a document; an unknown source is an error."""
    listed = agno("knowledge", "list", "--embedder", "none")
    (source,) = [line.split()[0] for line in listed.stdout.splitlines() if "fox.md" in line]
    unknown = agno("knowledge", "remove", "nothing.md", "--yes")
    agno("knowledge", "remove", source, "--yes")
    left = agno("knowledge", "list", "--json", "--embedder", "none")

    assert "2 documents, 2 passages: found by words alone." in listed.stderr
    assert unknown.returncode == 2
    assert "unknown document 'nothing.md'" in unknown.stderr
    assert [json.loads(line)["source"].rpartition("/")[2] for line in left.stdout.splitlines()] == ["car.md"]


def test_a_user_sees_no_other_document(agno: Agno, docs: Path) -> None:
    """A list for a user has the user's documents and those for everyone, and does not count other users' documents."""
    (docs / "own.md").write_text("Own.")
    agno("knowledge", "add", str(docs / "own.md"), "--embedder", "none", "--user", "bob")
    listed = agno("knowledge", "list", "--embedder", "none", "--user", "ann")

    assert "fox.md" in listed.stdout
    assert "own.md" not in listed.stdout
    assert listed.stderr == ""


def test_names_a_bad_file(agno: Agno, docs: Path) -> None:
    """A binary file with the name of a text is an error with its name and exit code 1; the rest is added."""
    (docs / "bad.txt").write_bytes(b"\x00\x01\x02")
    (docs / "good.txt").write_text("Good.")
    added = agno("knowledge", "add", str(docs), "--embedder", "none")

    assert added.returncode == 1
    assert "bad.txt is a binary file" in added.stderr
    assert "1 added, 2 unchanged, 1 failed" in added.stderr


def test_evaluates(agno: Agno, docs: Path) -> None:
    """`evaluate` prints the recall of labelled questions, and names sources that no document has."""
    source = next(
        json.loads(line)["source"]
        for line in agno("knowledge", "list", "--json", "--embedder", "none").stdout.splitlines()
        if "fox" in line
    )
    questions = docs.parent / "questions.jsonl"
    questions.write_text(json.dumps({"question": "what eats mice", "source": source}) + "\n")
    shown = agno("knowledge", "evaluate", str(questions), "--embedder", "none")
    wrong = json.dumps({"question": "what eats mice", "sources": [source, source.removesuffix(".md"), "fix.md"]})
    questions.write_text(f"{wrong}\n")
    warned = agno("knowledge", "evaluate", str(questions), "--embedder", "none")

    assert shown.stdout.splitlines()[1].split() == ["all", "words", "1", "1.00", "1.00"]
    assert "no document has" not in shown.stderr
    assert f"no document has 2 sources of the questions: {source.removesuffix('.md')}, fix.md" in warned.stderr


def test_chooses_a_knowledge(agno: Agno, docs: Path, project: Path) -> None:
    """Of several tables one has to be chosen; `--store` needs none."""
    config = project / "two.toml"
    config.write_text('[knowledge.one]\nstore = "memory:"\n[knowledge.two]\nstore = "memory:"\nembedder = "x:y"\n')
    which = agno("knowledge", "list", "-c", str(config))
    unknown = agno("knowledge", "list", "-c", str(config), "-k", "on")
    chosen = agno("knowledge", "list", "-c", str(config), "-k", "one", "--embedder", "none")

    assert "-k one | two" in which.stderr
    assert "one" in unknown.stderr
    assert "There are no documents" in chosen.stdout + chosen.stderr


async def embed(store: str, *embedders: WordEmbedder) -> None:
    """Store two passages with the vectors of the embedders."""
    async with Runtime() as rt:
        for embedder in embedders:
            opened = rt.knowledge(Knowledge(store, embedder=embedder))
            await opened.add(Document("a", "The fox."), Document("b", "The car."))
            await opened.embedded()


def test_prunes_vectors(agno: Agno, project: Path) -> None:
    """The verb shows numbers, asks, and keeps the vectors of other tables with the same store."""
    config = project / "kb.toml"
    tables = {"one": "words:new", "two": "words:kept"}
    config.write_text(
        "".join(
            f'[knowledge.{name}]\nstore = "sqlite:///{project}/kb.db"\nembedder = "{spec}"\n'
            for name, spec in tables.items()
        )
    )
    names = "words:old", "words:kept"
    trio.run(embed, f"sqlite:///{project}/kb.db", *(WordEmbedder(4, name=name) for name in names))
    place = "-c", str(config), "-k", "one", "--embedder", "none"
    dry = agno("knowledge", "prune-vectors", *place, "--dry-run")
    asked = agno("knowledge", "prune-vectors", *place)
    done = agno("knowledge", "prune-vectors", *place, "--yes")
    again = agno("knowledge", "prune-vectors", *place, "--yes")

    assert dry.stdout.splitlines()[1].split() == ["words:old", "2"]
    assert "2 vectors would be removed." in dry.stderr
    assert (asked.returncode, "--yes" in asked.stderr) == (2, True)
    assert "2 vectors removed." in done.stderr
    assert "No vectors to remove." in again.stderr


GUIDE = """
import agno_rt
from agno_rt import Agent, MemoryPolicy, ToolCall
from agno_rt.knowledge.base import Knowledge
from agno_rt.library import KnowledgeContext
from agno_rt.testing import ScriptedModel


def answer(request):
    if request.messages[-1].role != "tool":
        return ToolCall("1", "search_knowledge", '{"query": "fox fuel"}')
    return "It eats mice [1]." if "cite" in request.messages[-3].text else "It eats mice."


model = ScriptedModel(answer)
guide = Agent(model, "guide", memory=MemoryPolicy(context=[KnowledgeContext(Knowledge("STORE", embedder=None))]))
"""


def test_a_run_shows_its_sources(agno: Agno, docs: Path, project: Path) -> None:
    """The sources that an answer names follow on stderr, and are in the JSON; without a name, what was found."""
    file = project / "guide.py"
    file.write_text(GUIDE.replace("STORE", f"sqlite:///{project}/knowledge.db"))
    named = agno("run", "guide.py", "cite, please")
    unnamed = agno("run", "guide.py", "What does it eat?")
    as_json = agno("run", "guide.py", "cite, please", "--json")

    assert named.stdout == "It eats mice [1].\n"
    shown = named.stderr.partition("Sources:\n")[2].splitlines()
    assert len(shown) == 1
    assert shown[0].startswith("[1] ")
    assert "Found, and not named by the answer:\n[1] " in unnamed.stderr
    first, second = json.loads(as_json.stdout)["citations"]
    assert (first["number"], first["used"], second["number"], second["used"]) == (1, True, 2, False)
    assert {first["place"], second["place"]} == {"The fox", "The car"}
    assert shown[0] == f"[1] {first['source']} ({first['place']})"
    assert "Sources" not in as_json.stderr
