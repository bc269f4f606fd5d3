"""A search tool over a folder of text and Markdown files: `files:search` (this folder) or `files:search:docs`.

The hook `files:sources` names the file that an answer is from, or says that nothing was found.

Files are cut into passages and indexed in memory by SQLite's full-text search; each search indexes changed files first.
Skipped are folders whose names begin with a dot or an underscore, links, files too large to be prose, unreadable files,
and AGENTS.md, which is for coding agents.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import attrs
import msgspec

from agno_rt.config import read_settings
from agno_rt.defaults._sources import NOTHING, SourcesHook
from agno_rt.errors import UsageError
from agno_rt.hookspecs import Register, hookimpl
from agno_rt.tools import Tool, tool

__all__ = ["Folder", "search_tool"]

SUFFIXES = (".md", ".markdown", ".rst", ".txt")
PASSAGE_CHARACTERS = 400
NOT_DOCUMENTS = frozenset({"AGENTS.md"})
"""Files that tell coding agents how to work in a folder; `agno-rt init` writes one."""

DEEPEST = 64
"""The depth of folders to search: each level keeps a file descriptor open while the levels below are read."""

_FILLERS = frozenset(
    """
    a an and are as at be by can do does for from had has have how i in is it its me my of on or our that the their
    them there they this to was we were what when where which who whom why will with you your
    """.split()  # noqa: SIM905 - a list literal of these is sixty lines
)
"""Common words of questions, left out of a query unless it has no others."""


@attrs.frozen
class FilesSettings:
    """The table `[plugins.files]`. `root` is the folder for a spec without one; most other settings are bounds.

    `nothing` is the answer of the hook `files:sources` if no document fits the question.
    """

    root: str = "."
    nothing: str = NOTHING
    passages: int = 3
    max_files: int = 2_000
    max_bytes: int = 1_000_000


@attrs.frozen
class Passage:
    """A piece of a file, with the file's path below the folder."""

    file: str
    text: str


class Folder:
    """An index of the text files below a folder, updated at each search. Threads may share an index."""

    def __init__(self, root: Path, settings: FilesSettings) -> None:
        self.root = root
        self._settings = settings
        self._stamps: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()
        # The worker threads of tools take turns on one connection, guarded by the lock.
        self._index = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        weakref.finalize(self, self._index.close)
        # The Porter stemmer compares words by their stems: "stars" finds "star".
        self._index.execute("CREATE VIRTUAL TABLE passages USING fts5(file, text, tokenize = 'porter unicode61')")

    def search(self, query: str) -> list[Passage]:
        """Return the passages that fit the query's words, best first."""
        match = _build_match(query)
        if not match:
            return []
        with self._lock:
            self._take_up_changes()
            rows = self._index.execute(
                "SELECT file, text FROM passages WHERE passages MATCH ? ORDER BY rank LIMIT ?",
                (match, self._settings.passages),
            ).fetchall()
        return [Passage(file, text) for file, text in rows]

    def check_ready(self) -> str:
        """Return the number and place of the documents. Raises `UsageError` for a folder without documents."""
        count = sum(1 for _ in self._files())
        if not count:
            hint = f"Put files there ({', '.join(SUFFIXES)}), or name another folder, as in files:search:docs."
            raise UsageError(f"0 documents in {self.root}", hint=hint)
        most = "at least " if count == self._settings.max_files else ""
        return f"{most}{count:,} {'document' if count == 1 else 'documents'} in {self.root}"

    def _take_up_changes(self) -> None:
        found: set[str] = set()
        for file in self._files():
            found.add(file.path)
            if self._stamps.get(file.path) != file.stamp:
                self._forget(file.path)
                if (text := file.read(self._settings.max_bytes)) is not None:
                    self._add(file, text)
        for gone in self._stamps.keys() - found:
            self._forget(gone)

    def _add(self, file: _File, text: str) -> None:
        shown = shown_name(file.path)
        self._index.executemany(
            "INSERT INTO passages VALUES (?, ?)", [(shown, passage) for passage in cut_passages(text)]
        )
        self._stamps[file.path] = file.stamp

    def _forget(self, path: str) -> None:
        if self._stamps.pop(path, None) is not None:
            self._index.execute("DELETE FROM passages WHERE file = ?", (shown_name(path),))

    def _files(self) -> Iterator[_File]:
        """Yield the files to index. Read each file before asking for the next: its descriptor is closed then."""
        left = self._settings.max_files
        for folder, folders, names, descriptor in os.fwalk(self.root):
            below = os.path.relpath(folder, self.root)
            is_deep = below.count(os.sep) >= DEEPEST
            folders[:] = [] if is_deep else sorted(name for name in folders if not name.startswith((".", "_")))
            for name in sorted(names):
                if not name.lower().endswith(SUFFIXES) or name.startswith(".") or name in NOT_DOCUMENTS:
                    continue
                with suppress(OSError):
                    found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode) and found.st_size <= self._settings.max_bytes and left > 0:
                        left -= 1
                        yield _File(os.path.normpath(os.path.join(below, name)), name, descriptor, found)


@attrs.frozen
class _File:
    """A file as it was found; `folder` is the descriptor of its folder."""

    path: str
    name: str
    folder: int
    found: os.stat_result

    @property
    def stamp(self) -> tuple[int, int]:
        """The time of the last change, and the size."""
        return self.found.st_mtime_ns, self.found.st_size

    def read(self, most: int) -> str | None:
        """Return the text, or None if the file is unreadable, has grown beyond `most` bytes, or was replaced."""
        # The file may have been replaced by a link out of the folder, or by a pipe that blocks for ever.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with open(os.open(self.name, flags, dir_fd=self.folder), "rb") as opened:
                is_same = os.path.samestat(os.fstat(opened.fileno()), self.found)
                data = opened.read(most + 1) if is_same else b""
        except OSError:
            return None
        return data.decode("utf-8", "replace") if is_same and len(data) <= most else None


def shown_name(path: str) -> str:
    """Return the path with line ends, bytes that are not UTF-8 and other unprintable characters escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _build_match(query: str) -> str:
    """Return the query as a full-text expression: any of its words, or any pair of neighbours, which ranks higher."""
    words = re.findall(r"\w+", query.lower())
    telling = [word for word in words if word not in _FILLERS] or words
    pairs = [f"{one} {other}" for one, other in pairwise(words) if one in telling and other in telling]
    return " OR ".join(f'"{term}"' for term in [*telling, *pairs])


def cut_passages(text: str, size: int = PASSAGE_CHARACTERS) -> list[str]:
    """Cut a text between paragraphs into passages of about `size` characters, each with its heading."""
    passages: list[str] = []
    heading, current = "", ""
    for block in _split_blocks(text, size):
        is_heading = block.startswith("#")
        if current and (is_heading or len(current) + len(block) > size):
            passages.append(current)
            current = "" if is_heading else heading
        if is_heading:
            heading = block.partition("\n")[0]
        current = f"{current}\n{block}".strip()
    return [*passages, current] if current else passages


def _split_blocks(text: str, size: int) -> Iterator[str]:
    """Yield the paragraphs of a text; a paragraph longer than `size` comes in pieces, cut after a line or a word."""
    for paragraph in re.split(r"\n\s*\n", text):
        rest = paragraph.strip()
        while len(rest) > size:
            at = max(rest.rfind("\n", 0, size), rest.rfind(" ", 0, size) if "\n" not in rest[:size] else 0)
            yield rest[: at if at > 0 else size].strip()
            rest = rest[at if at > 0 else size :].strip()
        if rest:
            yield rest


def search_tool(folder: Folder) -> Tool:
    """Make the tool `search` over a folder."""

    @tool(check_ready=folder.check_ready)
    def search(
        query: Annotated[str, msgspec.Meta(description="The words to look for.", min_length=1, max_length=200)],
    ) -> str:
        """Search the folder of documents. Returns the passages that fit best, each with the name of its file."""
        passages = folder.search(query)
        if not passages:
            return "No document has any of these words."
        return "\n\n".join(f"From {passage.file}:\n{passage.text}" for passage in passages)

    return search


def _make_search(rest: str, settings: Mapping[str, Any]) -> Tool:
    read = read_settings(FilesSettings, settings, "[plugins.files]")
    root = Path(rest or read.root)
    if not root.is_dir():
        hint = "Name a folder, as in files:search:docs, or set `root` in [plugins.files]."
        raise UsageError(f"there is no folder {str(root)!r} to search", hint=hint)
    return search_tool(Folder(root.resolve(), read))


def _make_sources_hook(rest: str, settings: Mapping[str, Any]) -> SourcesHook:
    if rest not in ("", "strict"):
        raise UsageError(f"'files:sources:{rest}' is not known", hint="Write files:sources or files:sources:strict.")
    nothing = read_settings(FilesSettings, settings, "[plugins.files]").nothing
    return SourcesHook(nothing, strict=rest == "strict")


@hookimpl
def agno_rt_register_guardrails(register: Register) -> None:
    """Offer `files:sources`."""
    register("sources", _make_sources_hook, help="Name the file that an answer is from, or say that nothing was found.")


@hookimpl
def agno_rt_register_tools(register: Register) -> None:
    """Offer `files:search:FOLDER`."""
    register("search", _make_search, help="Search a folder of text and Markdown files: files:search:FOLDER.")
