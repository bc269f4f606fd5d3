"""The files of a folder, with media types. Called in worker threads."""

from __future__ import annotations

import glob
import hashlib
import math
import mimetypes
import os
from collections.abc import Iterator
from pathlib import Path

import attrs

from agno_rt.errors import NotFound, UsageError

__all__ = ["Found", "expand_pattern", "guess_media_type", "hash_file", "list_files", "name_source"]

DEEPEST = 64
_LARGE = 16_000_000
"""The bytes above which a file is not kept in memory between its hashing and its reading."""

_MEDIA_TYPES = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".text": "text/plain",
    ".rst": "text/x-rst",
    ".log": "text/plain",
    ".toml": "text/x-toml",
    ".yaml": "text/x-yaml",
    ".yml": "text/x-yaml",
    ".py": "text/x-python",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".html": "text/html",
    ".htm": "text/html",
    ".pdf": "application/pdf",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
"""Media types by ending: Python's table differs by system."""


@attrs.frozen
class Found:
    """A file with path, source and media type. `named` is false for a file of a folder."""

    path: str
    source: str
    media_type: str
    named: bool


def guess_media_type(name: str) -> str:
    """Return the media type by the ending of a file's name or a URL's path; empty if unknown."""
    ending = os.path.splitext(name.lower())[1]
    return _MEDIA_TYPES.get(ending) or mimetypes.guess_type(name)[0] or ""


def name_source(path: str, root: str) -> str:
    """Return the source of a file: the path relative to the folder `root` for files below, or else the whole path."""
    whole, base = os.path.abspath(path), os.path.abspath(root)
    below = os.path.relpath(whole, base)
    source = whole if below.startswith(os.pardir) or below == os.curdir else below
    return os.fsencode(source).decode("utf-8", "backslashreplace").replace(os.sep, "/")


def list_files(path: str, root: str) -> list[Found]:
    """Return the file, or the files below the folder, in the order of their names.

    Left out of a folder are files and folders whose names begin with a dot or an underscore, and links. Raises
    `NotFound` for a path that does not exist.
    """
    if os.path.isfile(path):
        return [Found(path, name_source(path, root), guess_media_type(path), True)]
    if not os.path.isdir(path):
        raise NotFound("file", path, [])
    return [Found(each, name_source(each, root), guess_media_type(each), False) for each in _walk(path)]


def expand_pattern(path: str) -> list[str]:
    """Return the files of a pattern such as `docs/**/*.md`, in the order of their names; a path that exists, alone.

    Raises `NotFound` for a pattern without files.
    """
    if os.path.exists(path) or not glob.has_magic(path):
        return [path]
    found = sorted(each for each in glob.iglob(path, recursive=True) if os.path.isfile(each))
    if not found:
        raise NotFound("file", path, [])
    return found


def _walk(folder: str) -> Iterator[str]:
    top = len(Path(folder).parts)
    for here, folders, names in os.walk(folder):
        deep = len(Path(here).parts) - top >= DEEPEST
        folders[:] = [] if deep else sorted(name for name in folders if not name.startswith((".", "_")))
        for name in sorted(names):
            path = os.path.join(here, name)
            if not name.startswith((".", "_")) and not os.path.islink(path) and os.path.isfile(path):
                yield path


def hash_file(source: str, path: str, most: float = math.inf) -> tuple[str, bytes | None]:
    """Return the hash of a file's content, and the content unless it is large.

    Raises `UsageError` for an unreadable file, and for one of more than `most` bytes before anything of it is read.
    """
    found = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > most:
                hint = "Cut it into smaller files; data for a database is better kept there."
                raise UsageError(f"{source} has {size:,} bytes, and its reader takes {most:,.0f}", hint=hint)
            if size <= _LARGE:
                data = file.read(_LARGE + 1)
                return hashlib.sha256(data).hexdigest(), data
            while part := file.read(1_000_000):
                found.update(part)
    except OSError as exc:
        raise UsageError(f"{source} cannot be read: {exc.strerror}", hint="Check the file and its rights.") from exc
    return found.hexdigest(), None
