"""Copies a folder of agno_rt to a folder of the user, completely or not at all. Knows no verb."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from agno_rt.errors import UsageError

__all__ = ["copy_files", "files_below"]

_GENERATED = frozenset({"__pycache__", "dist", "build"})


def files_below(folder: Path) -> list[Path]:
    """Return the paths of the files below the folder, relative to the folder, without caches and builds."""
    return sorted(path.relative_to(folder) for path in _walk_files(folder))


def copy_files(
    source: Path,
    target: Path,
    rename: Callable[[str], str] = str,
    *,
    private: bool = False,
    spare: Collection[str] = (),
) -> list[Path]:
    """Copy the files below `source` to `target` and return their new paths; `rename` maps paths and contents.

    Only the owner can read a `private` copy, from its creation on. An existing file with a name in `spare` is kept.

    Raises `UsageError` for an existing file, before anything is written, and for a folder that cannot be written.
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
            # "x": a file created in the meantime by somebody else is not overwritten.
            with open(path, "x", encoding="utf-8", opener=_open_private if private else None) as file:
                file.write(text)
            if not private:
                shutil.copymode(original, path)
    except OSError as exc:
        raise UsageError(f"{target} cannot be written: {exc.strerror}", hint="Choose another folder.") from exc
    return list(files)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _walk_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_file() and path.suffix != ".pyc":
            yield path
        elif path.is_dir() and path.name not in _GENERATED and not path.name.startswith("."):
            yield from _walk_files(path)
