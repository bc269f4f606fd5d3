"""Copies a folder that ships with agno_rt to where the user wants it, whole or not at all. Knows no verb."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from agno_rt.errors import UsageError

__all__ = ["copy_files", "files_below"]

_LEFT_BEHIND = frozenset({"__pycache__", "dist", "build"})


def files_below(folder: Path) -> list[Path]:
    """The files below the folder, relative to it, without what tools leave behind."""
    return sorted(path.relative_to(folder) for path in _walk(folder))


def copy_files(
    source: Path,
    target: Path,
    rename: Callable[[str], str] = str,
    *,
    private: bool = False,
    spare: Collection[str] = (),
) -> list[Path]:
    """Copy the files below `source` to `target` and return their new paths; `rename` maps paths and contents.

    A `private` copy is for its owner alone, from the moment that it is there. A file named in `spare` that is there
    already stays as it is.

    Raises `UsageError`, before anything is written, where one of them is there already, or the place cannot be used.
    """
    files = {target / rename(path.as_posix()): source / path for path in files_below(source)}
    files = {path: original for path, original in files.items() if original.name not in spare or not path.exists()}
    taken = [path for path in files if path.exists()]
    if taken:
        names = ", ".join(map(str, taken))
        raise UsageError(
            f"nothing written: {names} {'is' if len(taken) == 1 else 'are'} there already",
            hint="Choose another folder, or move what is there.",
        )
    try:
        for path, original in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            text = rename(original.read_text(encoding="utf-8"))
            with open(path, "x", encoding="utf-8", opener=_open_private if private else None) as file:
                file.write(text)
            if not private:
                shutil.copymode(original, path)
    except OSError as exc:
        raise UsageError(f"{target} cannot be written: {exc.strerror}", hint="Choose another folder.") from exc
    return list(files)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_file() and path.suffix != ".pyc":
            yield path
        elif path.is_dir() and path.name not in _LEFT_BEHIND and not path.name.startswith("."):
            yield from _walk(path)
