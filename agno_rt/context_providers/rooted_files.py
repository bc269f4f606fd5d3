"""Files below a folder by relative paths; no path and no link leads outside. The functions block: use a thread.

Each part of a path is opened relative to the opened folder above, and links are not followed, so that nobody can lead a
path elsewhere between a check and a use.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agno_rt.errors import UsageError

__all__ = ["FOLDER", "open_file", "open_folder", "read_file", "show_name", "split_path"]

FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | os.O_CLOEXEC
"""The flags to open a folder."""

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_MOST_PARTS = 64


def split_path(path: str) -> tuple[str, ...]:
    """Return the parts of a relative path; none for the folder itself.

    Raises `UsageError` for a path that leads outside; the text is for the model.
    """
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    shown = repr(path[:200])
    if path.startswith(("/", "~")) or ".." in parts:
        raise UsageError(f"the path {shown} leads outside", hint="Give a path relative to the folder, without '..'.")
    if "\0" in path or "\\" in path or len(parts) > _MOST_PARTS or any(len(os.fsencode(part)) > 255 for part in parts):
        raise UsageError(f"{shown} is not a path here", hint="Separate folders by '/', and keep names short.")
    return parts


@contextmanager
def open_folder(root: Path, parts: Sequence[str] = ()) -> Iterator[int]:
    """Open the folder `parts` below `root`, without following links below the root. Raises `OSError`."""
    folder = os.open(root, FOLDER)
    try:
        for part in parts:
            inner = os.open(part, FOLDER | _NO_LINK, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def open_file(name: str, folder: int, flags: int = os.O_RDONLY) -> int:
    """Open a regular file in an opened folder; links, pipes and devices are refused. Raises `OSError`."""
    # Without waiting: a pipe of this name would never open.
    file = os.open(name, flags | os.O_NONBLOCK | os.O_CLOEXEC | _NO_LINK, 0o666, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file")
    return file


def read_file(root: Path, parts: Sequence[str], most: int) -> bytes:
    """Return the first `most` bytes of a file. Raises `OSError`."""
    if not parts:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    with open_folder(root, parts[:-1]) as folder, open(open_file(parts[-1], folder), "rb") as opened:
        return opened.read(most)


def show_name(name: str) -> str:
    """Return a name of a file with line ends and other unprintable characters escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
