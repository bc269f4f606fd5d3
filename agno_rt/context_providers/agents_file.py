"""AGENTS.md as a context provider: a project's instructions for agents (https://agents.md)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import attrs
import trio

from agno_rt.context import RunContext
from agno_rt.errors import UsageError
from agno_rt.providers import Context

__all__ = ["AgentsFile"]

HIGHEST = 16
"""The most folders to look at on the way up."""


@attrs.frozen
class AgentsFile:
    """Reads AGENTS.md of a folder, and of the folders above it up to the root of the repository, as instructions.

    The root is the nearest folder with a `.git`. Without a root, only the folder itself counts: the folders above may
    belong to others. Each text has a heading with its path, the outermost first: the nearest text has the last word. If
    the texts are too long together, the outer texts are cut.

    Attributes:
        folder: the folder of the project
        file: the name of the file
        characters: the most characters of all texts together
    """

    folder: str | Path = "."
    file: str = "AGENTS.md"
    characters: int = 16_000
    name: str = attrs.field(default="agents file", kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not self.file or Path(self.file).name != self.file:
            raise UsageError(f"file of AgentsFile is {self.file!r}", hint="Give a name without a folder: AGENTS.md.")
        if not isinstance(self.characters, int) or self.characters < 1:
            hint = "Give a whole number of at least 1."
            raise UsageError(f"characters of AgentsFile is {self.characters!r}", hint=hint)

    async def provide(self, context: RunContext) -> Context | None:
        """Return the texts; `None` without any."""
        text = await trio.to_thread.run_sync(self.read)
        return Context(text) if text else None

    def read(self) -> str:
        """Return the texts with their paths. Blocks."""
        left, parts = self.characters, []
        for up, folder in enumerate(_find_folders(Path(self.folder).resolve())):
            text = _read_file(folder / self.file, left + 100).strip()
            if not text or left <= 0:
                continue
            cut = "\n[... cut]" if len(text) > left else ""
            # Relative, so that the model does not learn where the project lies.
            parts.append(f"## From {'../' * up}{self.file}\n\n{text[:left]}{cut}")
            left -= len(text)
        return "\n\n".join(reversed(parts))


def _find_folders(folder: Path) -> list[Path]:
    """Return the folder and the folders above, up to the root of the repository; without a root, the folder alone."""
    upward = [folder, *folder.parents][:HIGHEST]
    root = next((at for at, each in enumerate(upward) if (each / ".git").exists()), 0)
    return upward[: root + 1]


def _read_file(path: Path, characters: int) -> str:
    """Return the beginning of a text file; "" if it is missing or is not a readable file."""
    try:
        # Without waiting: a pipe of this name would never open.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    # Before `open`, which refuses a folder and leaves its descriptor open.
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return ""
    with open(file, "rb") as opened:
        # A character has at most four bytes.
        return opened.read(4 * characters).decode("utf-8", "replace")[:characters]
