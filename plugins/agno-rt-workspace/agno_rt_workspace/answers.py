"""Answers of the tools of workspaces: lines of files, and refusals, as texts for a model."""

from __future__ import annotations

from agno_rt.tools import ToolArgumentError
from agno_rt_workspace.base import WorkspaceError

__all__ = ["READ_CHARACTERS", "show_lines", "telling"]

READ_CHARACTERS = 40_000
"""The most characters of a file in one answer."""


class telling:  # noqa: N801 - used as a statement: `with telling():`
    """Tells the model of a refusal; the call has failed."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        """Raise a `ToolArgumentError` for a `WorkspaceError`."""
        if isinstance(exc, WorkspaceError):
            raise ToolArgumentError(exc.full_text) from exc


def show_lines(path: str, data: bytes, start: int, count: int) -> str:
    """Return lines of a text file, and a note about the others. Raises `WorkspaceError` for what is not a text."""
    if b"\0" in data[:8_000]:
        raise WorkspaceError(f"{path} is not a text: {len(data):,} bytes", hint="Look at it by a command.")
    lines = data.decode("utf-8", "replace").splitlines(keepends=True)
    if not lines:
        return f"{path} is empty."
    if start > len(lines):
        raise WorkspaceError(f"{path} has {len(lines):,} lines", hint="Start before that.")
    text = "".join(lines[start - 1 : start - 1 + count])
    if len(text) > READ_CHARACTERS:
        return f"{text[:READ_CHARACTERS]}\n[... cut after {READ_CHARACTERS:,} characters]"
    end = min(start - 1 + count, len(lines))
    return text if end == len(lines) else f"{text}[... {path} has {len(lines):,} lines; these are {start} to {end}]"
