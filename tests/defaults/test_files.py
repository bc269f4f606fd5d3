"""The file search tool finds passages of text files, up to date, within bounds, with the files' names."""

from __future__ import annotations

import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.defaults.folder import FilesSettings, Folder
from agno_rt.errors import ConfigError, UsageError
from agno_rt.plugins import PluginHost
from agno_rt.testing import ScriptedModel


def search(root: Path, query: str, **settings: Any) -> str:
    """Call the tool of the spec with the query."""
    found = trio.run(PluginHost().tool(f"files:search:{root}", {"files": settings}), query)
    assert isinstance(found, str)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with documents."""
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "moon.md").write_text("# Moon\n\nThe moon has craters.\n\n# Tides\n\nTides follow the moon.\n")
    (tmp_path / "sub" / "sun.txt").write_text("The sun is a star.")
    (tmp_path / ".hidden" / "secret.md").write_text("The moon landing was secret.")
    (tmp_path / ".moon.md").write_text("hidden moon")
    (tmp_path / "moon.py").write_text("moon = 1")
    return tmp_path


def test_finds_passages_and_names_their_files(folder: Path) -> None:
    """The tool searches text files below the folder for any of the words, but not hidden or other files."""
    assert search(folder, "stars?") == "From sub/sun.txt:\nThe sun is a star."
    assert "craters" in search(folder, "crater moonwalk")
    for word in ("secret", "hidden"):
        assert search(folder, word) == "No document has any of these words."


def test_what_is_for_coding_agents_is_no_document(tmp_path: Path) -> None:
    """AGENTS.md, written by `agno-rt init`, is not a document: a new project has none until its user adds some."""
    (tmp_path / "AGENTS.md").write_text("A tool is a function.")
    folder = Folder(tmp_path, FilesSettings())

    with pytest.raises(UsageError, match="0 documents in"):
        folder.check_ready()
    (tmp_path / "moon.md").write_text("A function of the moon.")
    assert folder.check_ready() == f"1 document in {tmp_path}"
    assert [document.source for document in folder.read_changes()[0]] == ["moon.md"]


@pytest.mark.parametrize("query", ["", "?!", '"', "NEAR(", "a AND", "* OR", "nothing-of-this"])
def test_any_query_is_taken(folder: Path, query: str) -> None:
    """Any query from a model is a list of words, never a query language."""
    assert isinstance(search(folder, query), str)


def test_takes_up_changes(folder: Path) -> None:
    """A search sees files added, changed or removed since the last search."""
    tool = partial(trio.run, PluginHost().tool(f"files:search:{folder}", {}))
    assert "star" in tool("sun")
    (folder / "sub" / "sun.txt").write_text("The sun is hot, and this is longer.")
    (folder / "new.rst").write_text("The sun is new.")
    assert "hot" in tool("sun")
    assert "new.rst" in tool("sun")
    os.remove(folder / "new.rst")

    assert "new.rst" not in tool("sun")
    assert "star" not in tool("sun")


def test_is_bounded(folder: Path) -> None:
    """The settings bound passages, files and file sizes."""
    assert search(folder, "moon", passages=1).count("From ") == 1
    assert search(folder, "sun", max_files=1) == "No document has any of these words."
    assert search(folder, "moon", max_bytes=5) == "No document has any of these words."


def test_bytes_that_are_no_text(folder: Path) -> None:
    """A file in another encoding is read, with replacement characters."""
    (folder / "latin.txt").write_bytes(b"caf\xe9 moonshine")

    assert "moonshine" in search(folder, "moonshine")


class TestWhatIsPassedOver:
    """The tool skips links and unreadable files, and searches the rest."""

    @pytest.fixture
    def outside(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Make another folder, with a secret."""
        other = tmp_path_factory.mktemp("outside")
        (other / "secret.txt").write_text("The comet is a secret.")
        return other

    def check_search(self, folder: Path) -> None:
        """Check the folder's own text is found, and the secret is not."""
        assert "star" in search(folder, "star")
        assert search(folder, "comet secret") == "No document has any of these words."

    @pytest.mark.parametrize("target", ["secret.txt", "."])
    def test_links(self, folder: Path, outside: Path, target: str) -> None:
        """Links to a file or a folder elsewhere are not followed, at any depth."""
        (folder / "notes.txt").symlink_to(outside / target)
        (folder / "sub" / "more").symlink_to(outside / target)
        (folder / "sub" / "relative.md").symlink_to(os.path.relpath(outside / target, folder / "sub"))

        self.check_search(folder)

    def test_a_file_that_became_a_link(self, folder: Path, outside: Path) -> None:
        """After a file becomes a link, its old text is forgotten, and the link is not followed."""
        tool = partial(trio.run, PluginHost().tool(f"files:search:{folder}", {}))
        assert "star" in tool("star")
        (folder / "sub" / "sun.txt").unlink()
        (folder / "sub" / "sun.txt").symlink_to(outside / "secret.txt")

        assert tool("star comet secret") == "No document has any of these words."

    def test_a_folder_that_is_itself_a_link(self, folder: Path, outside: Path) -> None:
        """The folder of the spec is searched, even through a link."""
        (outside / "way").symlink_to(folder)

        assert "star" in search(outside / "way", "star")

    def test_what_is_no_file(self, folder: Path) -> None:
        """Pipes, broken or circular links, devices and folders with a file's name are skipped."""
        os.mkfifo(folder / "pipe.txt")
        (folder / "folder.md").mkdir()
        (folder / "nowhere.md").symlink_to(folder / "no such file")
        (folder / "loop.md").symlink_to("loop.md")
        (folder / "null.md").symlink_to("/dev/zero")

        self.check_search(folder)

    def test_what_is_too_large(self, folder: Path) -> None:
        """A sparse file beyond the size bound is skipped, before a read takes all of the memory."""
        with (folder / "sparse.txt").open("wb") as file:
            file.truncate(1 << 40)

        self.check_search(folder)

    def test_what_may_not_be_read(self) -> None:
        """Files and folders without read permission are skipped."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)
            (folder / "good.md").write_text("The sun is a star.")
            (folder / "bad.md").write_text("The comet is a secret.")
            (folder / "shut").mkdir()
            (folder / "shut" / "within.md").write_text("The comet is a secret.")
            (folder / "bad.md").chmod(0)
            (folder / "shut").chmod(0)
            user = os.geteuid()
            try:
                if user == 0:  # root can read everything
                    os.seteuid(65534)
                self.check_search(folder)
            finally:
                os.seteuid(user)
                (folder / "shut").chmod(0o700)

    def test_what_lies_very_deep(self, folder: Path) -> None:
        """A thousand nested folders do not need a thousand open files."""
        deep = os.open(folder, os.O_RDONLY)
        for _ in range(1_200):
            os.mkdir("d", dir_fd=deep)
            deeper = os.open("d", os.O_RDONLY, dir_fd=deep)
            os.close(deep)
            deep = deeper
        os.close(deep)

        try:
            self.check_search(folder)
        finally:  # too deep for shutil.rmtree, a recursive function
            subprocess.run(["rm", "-rf", str(folder / "d")], check=True)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"caf\xe9.txt", r"caf\xe9.txt"),
        ("café.txt".encode(), "café.txt"),
        ("두 번째.md".encode(), "두 번째.md"),
        (b"a\nFrom b.txt", r"a\nFrom b.txt"),
        ("a\u202egnp.txt".encode(), r"a\u202egnp.txt"),
        (b"esc\x1b[2J.md", r"esc\x1b[2J.md"),
        (b"UP.MD", "UP.MD"),
        (b"'; DROP.txt", "'; DROP.txt"),
    ],
)
def test_odd_names(folder: Path, name: bytes, shown: str) -> None:
    """A file of any name is read and later forgotten; its name is shown with control characters escaped."""
    path = os.path.join(os.fsencode(folder), name)
    with open(path, "wb") as file:
        file.write(b"The comet has a tail.")
    tool = partial(trio.run, PluginHost().tool(f"files:search:{folder}", {}))

    assert tool("comet") == f"From {shown}:\nThe comet has a tail."
    assert "star" in tool("star")
    os.remove(path)
    assert tool("comet") == "No document has any of these words."


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A missing folder and wrong settings raise errors."""
    with pytest.raises(UsageError, match=r"there is no folder .*nowhere"):
        search(tmp_path / "nowhere", "x")
    with pytest.raises(ConfigError, match=r"\[plugins.files\].*unknown key 'rot'"):
        PluginHost().tool("files:search", {"files": {"rot": "."}})


async def test_an_agent_uses_it(folder: Path) -> None:
    """An agent's tools accept the spec; the root may come from the settings."""
    model = ScriptedModel([ToolCall("1", "search", '{"query": "sun"}'), "A star (sun.txt)."])
    async with Runtime(settings={"files": {"root": str(folder)}}) as rt:
        result = await rt.run(Agent(model, tools=["files:search"]), "What is the sun?")

    assert "sub/sun.txt" in result.messages[2].content
