"""The text files below a folder, as documents: which there are, and what changed since the last look.

Skipped are folders whose names begin with a dot or an underscore, links, files too large to be prose, unreadable files,
and AGENTS.md, which is for coding agents.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import attrs

from agno_rt.defaults._sources import NOTHING
from agno_rt.errors import UsageError
from agno_rt.knowledge.documents import MAX_SOURCE, Document
from agno_rt.library.files import guess_media_type

__all__ = ["SUFFIXES", "FilesSettings", "Folder", "choose_words"]

SUFFIXES = (".md", ".markdown", ".rst", ".txt")
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

    `nothing` is the answer of the hook `files:sources` if no document fits the question. `embedder` is for
    `files:documents`, to search by meanings, too; without it, words are searched.
    """

    root: str = "."
    nothing: str = NOTHING
    passages: int = 3
    max_files: int = 2_000
    max_bytes: int = 1_000_000
    embedder: str | None = None


class Folder:
    """The text files below a folder. `read_changes` is for one thread at a time."""

    def __init__(self, root: Path, settings: FilesSettings) -> None:
        self.root = root
        self._settings = settings
        self._stamps: dict[str, tuple[int, int]] = {}

    def check_ready(self) -> str:
        """Return the number and place of the documents. Raises `UsageError` for a folder without documents."""
        count = sum(1 for _ in self._files())
        if not count:
            hint = f"Put files there ({', '.join(SUFFIXES)}), or name another folder, as in files:search:docs."
            raise UsageError(f"0 documents in {self.root}", hint=hint)
        most = "at least " if count == self._settings.max_files else ""
        return f"{most}{count:,} {'document' if count == 1 else 'documents'} in {self.root}"

    def read_changes(self) -> tuple[list[Document], list[str]]:
        """Return the new and changed documents since the last call, and the sources of those that are gone."""
        found: set[str] = set()
        changed, gone = list[Document](), list[str]()
        for file in self._files():
            source = shown_name(file.path)
            if len(source) > MAX_SOURCE:
                continue
            found.add(source)
            if self._stamps.get(source) == file.stamp:
                continue
            if (text := file.read(self._settings.max_bytes)) is None:
                found.discard(source)
                continue
            changed.append(Document(source, text, media_type=guess_media_type(source) or "text/plain"))
            self._stamps[source] = file.stamp
        gone += sorted(self._stamps.keys() - found)
        for source in gone:
            del self._stamps[source]
        return changed, gone

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


def choose_words(query: str) -> str:
    """Return the words of a query without the common words of questions; all words of a query without others."""
    words = re.findall(r"\w+", query.lower())
    return " ".join([word for word in words if word not in _FILLERS] or words)
