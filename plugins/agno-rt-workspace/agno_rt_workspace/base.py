"""The protocol of workspaces: files and commands of one folder, wherever the folder lies.

`WorkspaceContract` in `agno_rt_workspace.contract` has the rules as tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import attrs

from agno_rt.errors import UsageError

__all__ = ["Entry", "Finished", "Found", "Kind", "Listing", "Match", "Stop", "Workspace", "WorkspaceError"]

Kind = Literal["file", "folder", "link", "other"]
Stop = Literal["", "timeout", "output", "processes", "lost"]


class WorkspaceError(UsageError):
    """A path, a change or a command that the workspace refuses. The text is for the model as well."""


@attrs.frozen
class Entry:
    """An entry of a folder: its path below the workspace, and the size of a file."""

    path: str
    kind: Kind
    size: int = 0


@attrs.frozen
class Listing:
    """The entries of a folder, by path. `cut` is true for an incomplete list."""

    entries: Sequence[Entry]
    cut: bool = False


@attrs.frozen
class Match:
    """A line of a file that a search found, from 1 on."""

    path: str
    line: int
    text: str


@attrs.frozen
class Found:
    """The lines that a search found, by path and line. `cut` names the limit that ended the search, if any."""

    matches: Sequence[Match]
    cut: str = ""


@attrs.frozen
class Finished:
    """The end of a command.

    Attributes:
        code: the exit code of the shell; negative for a signal
        output: output and errors in order; the beginning and the end of a long output
        left_out: the number of bytes not shown
        stop: the limit that ended the command; empty for an ordinary end. `lost` is a killed supervisor
        left: the number of processes killed after the end of the shell; 0 if unknown
    """

    code: int
    output: str
    left_out: int = 0
    stop: Stop = ""
    left: int = 0


@runtime_checkable
class Workspace(Protocol):
    """Files and commands of one folder. Any number of tasks use a workspace at once.

    Paths are relative, with `/` between their parts; the folder itself is "". A path that leads outside is refused:
    absolute paths, `..`, and links. Methods raise `WorkspaceError` for whatever the model may have got wrong, and let
    a cancellation through at any time: a cancelled write has happened or not, a cancelled command is gone.
    """

    @property
    def name(self) -> str:
        """The name for people and errors."""
        ...

    @property
    def can_write(self) -> bool:
        """False for a workspace that refuses all changes of files."""
        ...

    @property
    def can_run(self) -> bool:
        """False for a workspace without commands."""
        ...

    async def read(self, path: str) -> bytes:
        """Return the content of a file. A file that is too large is refused."""
        ...

    async def write(self, path: str, data: bytes, *, expected: bytes | None = None, exclusive: bool = False) -> None:
        """Put the content in place of a file, whole or not at all; make the file and missing folders.

        With `expected`, the write is refused if the file has other content; with `exclusive`, if anything of this name
        is there.
        """
        ...

    async def look(self, path: str) -> Entry | None:
        """Return the entry of a path, or `None` if nothing is there. A link is looked at, not followed."""
        ...

    async def delete(self, path: str) -> None:
        """Delete a file. Anything else is refused."""
        ...

    async def make_folder(self, path: str) -> bool:
        """Make a folder, and missing folders above. Return false for a folder that was there."""
        ...

    async def list(self, path: str = "", *, deep: bool = False) -> Listing:
        """Return the entries of a folder; with `deep`, of the folders below as well. Links are listed, not followed."""
        ...

    async def search(self, text: str, path: str = "", pattern: str = "*") -> Found:
        """Return the lines with a text, without regard to capitals, in files whose name or path fits the pattern."""
        ...

    async def run(self, command: str, *, timeout: float | None = None) -> Finished:
        """Run a command with the shell, in the folder. When the shell ends, the command's other processes are killed.

        `timeout` is at most the workspace's own limit.
        """
        ...
