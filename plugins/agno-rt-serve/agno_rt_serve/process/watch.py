"""Changes of a project's files, found by looking at their times again and again. Knows no server.

A look at a thousand files takes some milliseconds, in a thread; no package is needed, and any file system will do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import trio

__all__ = ["Look", "look", "watch"]

Look: TypeAlias = dict[str, tuple[int, int]]

# Seconds between two looks.
_PAUSE = 0.5
_KINDS = (".py", ".toml")
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist"})


def look(folder: Path) -> Look:
    """Return time and size of each file of Python and TOML in the folder; environments and hidden folders left out."""
    return dict(_walk(str(folder)))


async def watch(folder: Path, before: Look, tell: Callable[[list[str]], None]) -> None:
    """Tell of changed, new and missing files since the look `before`, until cancelled."""
    while True:
        await trio.sleep(_PAUSE)
        now = await trio.to_thread.run_sync(look, folder)
        changed = [path for path, _ in before.items() ^ now.items()]
        if changed:
            tell(sorted({path.removeprefix(f"{folder}{os.sep}") for path in changed}))
            before = now


def _walk(folder: str) -> Iterator[tuple[str, tuple[int, int]]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return  # gone meanwhile, or not ours to read
    if any(entry.name == "pyvenv.cfg" for entry in entries):
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _SKIPPED:
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path)
            elif entry.name.endswith(_KINDS):
                found = entry.stat()
                yield entry.path, (found.st_mtime_ns, found.st_size)
        except OSError:
            continue  # gone meanwhile
