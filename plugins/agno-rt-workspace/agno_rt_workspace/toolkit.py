"""Tools on a workspace: read, write, edit, list, search and run."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from msgspec import Meta

from agno_rt.errors import UsageError
from agno_rt.tools import Tool, Toolkit, tool
from agno_rt_workspace.answers import show_lines, telling
from agno_rt_workspace.base import Finished, Workspace
from agno_rt_workspace.edits import edit_text
from agno_rt_workspace.settings import Approve

__all__ = ["workspace_tools"]

READ_LINES = 1_000

Path = Annotated[str, Meta(description="A path below the folder, such as docs/a.md.", max_length=1_000)]


def workspace_tools(workspace: Workspace, *, approve: Approve = "destructive") -> Toolkit:
    """Make the tools of a workspace. A read-only workspace has no tools for changes.

    Each tool has the notes `read_only` and `destructive`. `approve` names the tools to wait for a person before each
    call. Raises `UsageError` for another word.
    """
    if approve not in get_args(Approve):
        raise UsageError(f"approve is {approve!r}", hint=f"Write one of {', '.join(get_args(Approve))}.")
    tools = _reading_tools(workspace, approve)
    if workspace.can_write:
        tools += _changing_tools(workspace, approve)
    if workspace.can_run:
        tools.append(_running_tool(workspace, approve))
    return Toolkit(workspace.name, tuple(tools))


def _reading_tools(workspace: Workspace, approve: Approve) -> list[Tool]:
    options: dict[str, Any] = {"read_only": True, "destructive": False, "idempotent": True, "approve": approve == "all"}

    @tool(**options, check_ready=getattr(workspace, "check_ready", None))
    async def read_file(
        path: Path, start: Annotated[int, Meta(ge=1)] = 1, lines: Annotated[int, Meta(ge=1, le=READ_LINES)] = 500
    ) -> str:
        """Read lines of a text file.

        Args:
            start: the first line
            lines: the number of lines
        """
        with telling():
            return show_lines(path, await workspace.read(path), start, lines)

    @tool(**options)
    async def list_files(path: Annotated[str, Meta(max_length=1_000)] = "", deep: bool = False) -> str:
        """List a folder: files with their sizes, folders with a slash.

        Args:
            path: the folder; empty for the whole workspace
            deep: list the folders below as well
        """
        with telling():
            found = await workspace.list(path, deep=deep)
        ends = {"file": "", "folder": "/", "link": " (link)", "other": " (not a file)"}
        lines = [
            f"{each.path}{ends[each.kind]}" + (f" {each.size:,} bytes" if each.kind == "file" else "")
            for each in found.entries
        ]
        return "\n".join(lines + ["[... and more]"] * found.cut) or "The folder is empty."

    @tool(**options)
    async def search_files(
        text: Annotated[str, Meta(min_length=1, max_length=500)],
        path: Annotated[str, Meta(max_length=1_000)] = "",
        pattern: Annotated[str, Meta(min_length=1, max_length=200)] = "*",
    ) -> str:
        """Search text files for lines with a text, without regard to capitals.

        Args:
            text: a part of a line, taken literally
            path: the folder to search; empty for the whole workspace
            pattern: names of files, such as *.py
        """
        with telling():
            found = await workspace.search(text, path, pattern)
        lines = [f"{each.path}:{each.line}: {each.text}" for each in found.matches]
        cut = [f"[... the search ended at its limit of {found.cut}]"] if found.cut else []
        return "\n".join(lines + cut) or "No line has this text."

    return [read_file, list_files, search_files]


def _changing_tools(workspace: Workspace, approve: Approve) -> list[Tool]:
    asks = approve in ("all", "destructive")
    options: dict[str, Any] = {"read_only": False, "destructive": True, "parallel": False, "approve": asks}

    @tool(**options, idempotent=True)
    async def write_file(path: Path, text: str) -> str:
        """Write a whole file, in place of the old one. Folders are made.

        Args:
            text: the whole text
        """
        data = text.encode("utf-8", "replace")
        with telling():
            await workspace.write(path, data)
        return f"{path} is written: {len(data):,} bytes."

    @tool(**options)
    async def edit_file(path: Path, old: str, new: str, every: bool = False) -> str:
        """Replace a text in a file. The rest of the file stays as it is.

        Args:
            old: the text as it stands; it must occur once
            new: the text in its place; empty to take it out
            every: replace all places
        """
        with telling():
            before = await workspace.read(path)
            after, count = edit_text(before, old, new, every=every, path=path)
            await workspace.write(path, after, expected=before)
        return f"{path} is changed in {count} place{'' if count == 1 else 's'}."

    return [write_file, edit_file]


def _running_tool(workspace: Workspace, approve: Approve) -> Tool:
    @tool(read_only=False, destructive=True, parallel=False, approve=approve != "none")
    async def run_command(
        command: Annotated[str, Meta(min_length=1, max_length=20_000)],
        timeout: Annotated[float, Meta(gt=0)] | None = None,
    ) -> str:
        """Run a command with the shell, in the folder. What it leaves in the background is ended with it.

        Args:
            command: a line for the shell
            timeout: the most seconds
        """
        with telling():
            return _show_end(await workspace.run(command, timeout=timeout))

    return run_command


_STOPS: dict[str, str] = {
    "timeout": "it took longer than its time limit",
    "output": "it wrote more output than its limit",
    "processes": "it had more processes than its limit",
    "lost": "its supervisor was killed",
}


def _show_end(finished: Finished) -> str:
    parts = [finished.output.rstrip()] if finished.output.strip() else []
    if finished.stop:
        parts.append(f"[killed: {_STOPS[finished.stop]}]")
    else:
        parts.append(f"[exit code {finished.code}]")
    if finished.left and not finished.stop:
        parts.append(f"[still there, and ended: {finished.left} process{'' if finished.left == 1 else 'es'}]")
    return "\n".join(parts)
