"""Memory as files, and AGENTS.md: the model's view, the model's edits, and the bounds of both."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest

from agno_rt import Agent, MemoryPolicy, Runtime, ToolCall
from agno_rt.context_providers import AgentsFile, MemoryFiles
from agno_rt.context_providers.rooted_folder import RootedFolder, folder_name
from agno_rt.errors import UsageError
from agno_rt.project import load_project
from agno_rt.readiness import check_ready
from agno_rt.testing.scripted import ScriptedModel
from tests.helpers import told


def call(name: str, **arguments: Any) -> ToolCall:
    """Call a tool of the memory."""
    return ToolCall("1", f"memory_{name}", msgspec.json.encode(arguments).decode())


async def use(
    provider: MemoryFiles, *calls: ToolCall, user: str | None = "ann", agent: str = "a"
) -> tuple[str, list[str]]:
    """Run an agent with these calls; return the system message and the results."""
    with ScriptedModel([*calls, "done"]) as model:
        async with Runtime() as rt:
            policy = MemoryPolicy(context=[provider])
            result = await rt.run(Agent(model, name=agent, memory=policy), "?", user=user)
    return model.requests[0].messages[0].text, told(result)


async def test_the_model_keeps_notes(tmp_path: Path) -> None:
    """Notes are written, extended, changed, searched and deleted, and the next run begins with MEMORY.md."""
    provider = MemoryFiles(tmp_path / "notes")
    before, results = await use(
        provider,
        call("view"),
        call("write", file="MEMORY.md", text="# Ann\nlikes tea\n"),
        call("append", file="MEMORY.md", text="has a cat"),
        call("replace", file="MEMORY.md", old="tea", new="coffee"),
        call("write", file="travel.md", text="Rome in May\nflies from Basel"),
        call("search", words="rome cat"),
        call("view", file="travel.md"),
        call("view"),
    )
    after, more = await use(provider, call("delete", file="travel.md"), call("view", file="travel.md"))

    assert before.endswith("MEMORY.md is empty.")
    assert results[0] == "There are no files yet."
    assert results[5] == "MEMORY.md, line 3: has a cat\ntravel.md, line 1: Rome in May"
    assert results[6:] == ["Rome in May\nflies from Basel", "MEMORY.md: 28 bytes\ntravel.md: 28 bytes"]
    assert after.endswith("MEMORY.md says:\n\n# Ann\nlikes coffee\nhas a cat\n\nOther files: travel.md")
    assert more == ["There is no file travel.md now.", "There is no file 'travel.md'."]


@pytest.mark.parametrize(
    ("user", "agent"), [("bob", "a"), (None, "a"), ("ann", "b"), ("Ann", "a"), ("ann/../ann", "a")]
)
async def test_users_and_agents_have_their_own_files(user: str | None, agent: str, tmp_path: Path) -> None:
    """Another user, nobody, and another agent see nothing of a user's notes."""
    provider = MemoryFiles(tmp_path)
    await use(provider, call("write", file="MEMORY.md", text="secret"))
    seen, results = await use(provider, call("view"), call("search", words="secret"), user=user, agent=agent)
    assert "secret" not in seen
    assert results == ["There are no files yet.", "Nothing like that is written down."]
    shared, _ = await use(attrs.evolve(provider, per_agent=False), call("write", file="MEMORY.md", text="shared"))
    assert "secret" not in shared
    assert ("shared" in (await use(attrs.evolve(provider, per_agent=False), user=user, agent=agent))[0]) == (
        user == "ann"
    )


@pytest.mark.parametrize(
    "name",
    ["../x.md", "/etc/passwd", "a/b.md", ".hidden.md", "x", "x.py", "", "\x00.md", "a\n.md", "x" * 200 + ".md", "..md"],
)
async def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    """Names with folders, hidden names and other kinds of files are refused, with the reason for the model."""
    (tmp_path / "x.md").write_text("outside")
    _, results = await use(
        MemoryFiles(tmp_path / "notes"),
        call("write", file=name, text="y"),
        call("append", file=name, text="y"),
        call("delete", file=name),
        call("replace", file=name, old="outside", new="y"),
    )
    assert all("is not a name for a file here" in result for result in results)
    assert (tmp_path / "x.md").read_text() == "outside"


async def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link among the files, or in place of a user's folder, is neither read nor written through."""
    provider = MemoryFiles(tmp_path / "notes")
    await use(provider, call("write", file="MEMORY.md", text="mine"))
    [folder] = (tmp_path / "notes").glob("user-*/agent-*")
    (tmp_path / "outside.md").write_text("outside")
    (folder / "link.md").symlink_to(tmp_path / "outside.md")
    os.mkfifo(folder / "pipe.md")
    seen, results = await use(
        provider, call("view", file="link.md"), call("append", file="link.md", text="y"), call("view", file="pipe.md")
    )
    assert "outside" not in seen
    assert "cannot be read" in results[0]
    assert "cannot be read" in results[1]
    assert "is not a file" in results[2]
    _, results = await use(provider, call("write", file="link.md", text="own"))
    assert results == ["link.md is written."]  # the link itself is replaced
    assert (tmp_path / "outside.md").read_text() == "outside"
    (tmp_path / "elsewhere").mkdir()
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="cannot be used"):
        await use(provider)


async def test_bounds(tmp_path: Path) -> None:
    """Files, their number and the shown part of MEMORY.md are bounded; the model learns why nothing was done."""
    provider = MemoryFiles(tmp_path, characters=10, file_bytes=100, files=2)
    _, results = await use(
        provider,
        call("write", file="MEMORY.md", text="0123456789abcdef"),
        call("append", file="MEMORY.md", text="x" * 90),
        call("write", file="b.md", text="가" * 34),
        call("write", file="b.md", text="b"),
        call("write", file="c.md", text="c"),
        call("replace", file="b.md", old="x", new="y"),
        call("replace", file="d.md", old="x", new="y"),
        call("search", words=" "),
    )
    assert "'MEMORY.md' would have 107 bytes, and may have 100" in results[1]
    assert "'b.md' would have 102 bytes" in results[2]
    assert results[3] == "b.md is written."
    assert "there are 2 files, and no more may be made" in results[4]
    assert "the old text occurs 0 times" in results[5]
    assert "there is no file 'd.md'" in results[6]
    assert results[7] == "Give words to search for."
    assert (await use(provider))[0].split("says:\n\n")[1].startswith("0123456789\n[... memory_view shows the rest]")


@pytest.mark.parametrize(
    ("body", "why"), [(b"likes tea\n" + b"x" * 100, "has more than 100 bytes"), (b"likes tea, caf\xe9", "is not UTF-8")]
)
async def test_a_change_loses_nothing_of_a_persons_file(body: bytes, why: str, tmp_path: Path) -> None:
    """A file that a person made too large, or in another encoding, is shown, and no change by the model cuts it."""
    provider = MemoryFiles(tmp_path / "notes", file_bytes=100)
    await use(provider, call("write", file="MEMORY.md", text="x"))
    [file] = (tmp_path / "notes").glob("user-*/agent-*/MEMORY.md")
    file.write_bytes(body)
    seen, results = await use(
        provider,
        call("replace", file="MEMORY.md", old="likes tea", new="tea"),
        call("append", file="MEMORY.md", text="y"),
    )

    assert "likes tea" in seen
    assert [why in each and "stays as it is" in each for each in results] == [True, True]
    assert file.read_bytes() == body


async def test_a_folder_named_as_a_file(tmp_path: Path) -> None:
    """A folder in place of a file is named, and is not a file."""
    provider = MemoryFiles(tmp_path / "notes")
    await use(provider, call("write", file="MEMORY.md", text="x"))
    [file] = (tmp_path / "notes").glob("user-*/agent-*/MEMORY.md")
    (file.parent / "notes.md").mkdir()
    _, results = await use(provider, call("view", file="notes.md"), call("append", file="notes.md", text="y"))

    assert ["'notes.md' is not a file" in each for each in results] == [True, True]


def test_changes_at_once_are_all_kept(tmp_path: Path) -> None:
    """Threads append to one file at once, and no line is lost."""
    folder = RootedFolder(tmp_path, ("user-x",), 100_000, 5)
    threads = [threading.Thread(target=folder.append, args=("a.md", f"line {number}")) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = folder.read("a.md")
    assert text is not None
    assert sorted(text.splitlines()) == sorted(f"line {number}" for number in range(30))
    assert [path.name for path in (tmp_path / "user-x").iterdir()] == ["a.md"]


def test_folders_of_owners_differ() -> None:
    """Owners that differ in case, or in signs alone, have different folders of plain names."""
    owners = ["ann", "Ann", "a/b", "a%2Fb", "..", ".", "", "a" * 300, "a" * 301, "앤"]
    names = [folder_name(owner).casefold() for owner in owners]
    assert len(set(names)) == len(owners)
    assert all("/" not in name and not name.startswith(".") and len(name) < 60 for name in names)


@pytest.mark.parametrize(
    "make", [lambda: MemoryFiles(""), lambda: MemoryFiles("x", characters=0), lambda: AgentsFile(file="a/b")]
)
def test_settings_that_make_no_sense(make: Callable[[], object]) -> None:
    """An empty folder, bounds below one, and a file with a folder are refused."""
    with pytest.raises(UsageError):
        make()


async def test_a_folder_that_is_a_file_is_found_at_start(tmp_path: Path) -> None:
    """An unusable folder is reported before the first run."""
    (tmp_path / "notes").write_text("x")
    agent = Agent(ScriptedModel([]), name="a", memory=MemoryPolicy(context=[MemoryFiles(tmp_path / "notes")]))
    async with Runtime() as rt:
        found = await check_ready(rt, agent)
    assert "is not a folder" in found[0].message


def test_agents_files_of_a_repository(tmp_path: Path) -> None:
    """AGENTS.md is read from the folder up to the root of the repository, the nearest last, each with its path."""
    (tmp_path / "AGENTS.md").write_text("above the repository")
    inner = tmp_path / "repository" / "package" / "deep"
    inner.mkdir(parents=True)
    (tmp_path / "repository" / ".git").mkdir()
    (tmp_path / "repository" / "AGENTS.md").write_text("Use tabs.")
    (inner / "AGENTS.md").write_text("Use spaces.\n")
    assert AgentsFile(inner).read() == "## From ../../AGENTS.md\n\nUse tabs.\n\n## From AGENTS.md\n\nUse spaces."
    assert AgentsFile(inner, characters=14).read() == (
        "## From ../../AGENTS.md\n\nUse\n[... cut]\n\n## From AGENTS.md\n\nUse spaces."
    )
    assert AgentsFile(inner.parent).read() == "## From ../AGENTS.md\n\nUse tabs."


def test_agents_files_outside_of_a_repository(tmp_path: Path) -> None:
    """Outside of a repository only the folder itself counts; pipes, folders and missing files are nothing."""
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "AGENTS.md").write_text("somebody else's")
    assert AgentsFile(inner).read() == ""
    os.mkfifo(inner / "AGENTS.md")
    assert AgentsFile(inner).read() == ""
    (inner / "AGENTS.md").unlink()
    (inner / "AGENTS.md").mkdir()
    assert AgentsFile(inner).read() == ""


async def test_toml_names_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`files:memory:FOLDER` and `files:agents:FOLDER` are the spec strings."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "AGENTS.md").write_text("Be kind.")
    (tmp_path / "agno-rt.toml").write_text(
        "[agents.a]\nmodel = 'x:y'\ninstructions = 'Help.'\n"
        "[agents.a.memory]\ncontext = ['files:agents', 'files:memory:notes']\n"
    )
    with ScriptedModel([call("write", file="MEMORY.md", text="x"), "ok"]) as model:
        agent = attrs.evolve(load_project().agent("a"), model=model)
        async with Runtime() as rt:
            await rt.run(agent, "x", user="ann")
    assert model.requests[0].messages[0].text.startswith("Help.\n\n## From AGENTS.md\n\nBe kind.\n\n## Memory")
    assert len(list((tmp_path / "notes").glob("user-ann-*/agent-a-*/MEMORY.md"))) == 1
