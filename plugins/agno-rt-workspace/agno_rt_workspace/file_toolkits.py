"""The toolkits `file` and `filegen` on a workspace. Names and parameters are Agno-Go's, so that prompts carry over."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from agno_rt.tools import Tool, ToolArgumentError, Toolkit, tool
from agno_rt_workspace.answers import READ_CHARACTERS, show_lines, telling
from agno_rt_workspace.base import Workspace
from agno_rt_workspace.presentations import read_slides
from agno_rt_workspace.settings import Approve

__all__ = ["file_tools", "filegen_tools"]

MOST_CHARACTERS = 1_000_000
"""The most characters of a text made from a template."""

Path = Annotated[str, Meta(min_length=1, max_length=1_000)]
Folder = Annotated[str, Meta(max_length=1_000)]
_PLACE = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")


def file_tools(workspace: Workspace, *, approve: Approve = "destructive") -> Toolkit:
    """Make the tools `read_file`, `write_file`, `list_files`, `delete_file`, `file_exists` and `read_pptx`.

    A read-only workspace has no tools for changes. `approve` is as for `workspace_tools`.
    """
    tools = _reading_tools(workspace, approve)
    if workspace.can_write:
        tools += _changing_tools(workspace, approve)
    return Toolkit(f"file:{workspace.name.partition(':')[2]}", tuple(tools))


def filegen_tools(workspace: Workspace, *, approve: Approve = "destructive") -> Toolkit:
    """Make the tools `create_file`, `create_directory` and `generate_from_template`. See `file_tools`."""
    tools = _making_tools(workspace, approve) if workspace.can_write else []
    return Toolkit(f"filegen:{workspace.name.partition(':')[2]}", (*tools, _template_tool(approve)))


def _reading_tools(workspace: Workspace, approve: Approve) -> list[Tool]:
    options: dict[str, Any] = {"read_only": True, "destructive": False, "idempotent": True, "approve": approve == "all"}

    @tool(**options)
    async def read_file(path: Path, start: Annotated[int, Meta(ge=1)] = 1) -> str:
        """Read the contents of a text file.

        Args:
            path: path to the file to read
            start: the first line to show of a long file
        """
        with telling():
            return show_lines(path, await workspace.read(path), start, 1_000)

    @tool(**options)
    async def list_files(path: Folder = "") -> str:
        """List the files in a directory.

        Args:
            path: directory path to list files from; empty for the whole folder
        """
        with telling():
            found = await workspace.list("" if path == "." else path)
        ends = {"folder": "/", "link": " (link)", "other": " (not a file)"}
        lines = [
            f"{each.path} {each.size:,} bytes" if each.kind == "file" else each.path + ends[each.kind]
            for each in found.entries
        ]
        return "\n".join(lines + ["[... and more; list a directory below]"] * found.cut) or "The directory is empty."

    @tool(**options)
    async def file_exists(path: Path) -> str:
        """Check if a file exists.

        Args:
            path: path to check
        """
        with telling():
            found = await workspace.look(path)
        if found is None:
            return f"{path} does not exist."
        kinds = {"file": f"a file of {found.size:,} bytes", "folder": "a directory", "link": "a link, not followed"}
        return f"{path} exists: {kinds.get(found.kind, 'not a file')}."

    @tool(**options)
    async def read_pptx(path: Path, start: Annotated[int, Meta(ge=1)] = 1) -> str:
        """Extract the text of the slides of a PPTX presentation.

        Args:
            path: path to the PPTX file
            start: the first slide to show of a long presentation
        """
        with telling():
            slides = read_slides(await workspace.read(path), path)
        return _show_slides(slides, start)

    return [read_file, list_files, file_exists, read_pptx]


def _changing_tools(workspace: Workspace, approve: Approve) -> list[Tool]:
    asks = approve in ("all", "destructive")
    options: dict[str, Any] = {"read_only": False, "destructive": True, "parallel": False, "approve": asks}

    @tool(**options, idempotent=True)
    async def write_file(path: Path, content: str) -> str:
        """Write content to a file, in place of the old content. Directories are made.

        Args:
            path: path to the file to write
            content: content to write to the file
        """
        data = content.encode("utf-8", "replace")
        with telling():
            await workspace.write(path, data)
        return f"{path} is written: {len(data):,} bytes."

    @tool(**options)
    async def delete_file(path: Path) -> str:
        """Delete a file.

        Args:
            path: path to the file to delete
        """
        with telling():
            await workspace.delete(path)
        return f"{path} is deleted."

    return [write_file, delete_file]


def _making_tools(workspace: Workspace, approve: Approve) -> list[Tool]:
    asks = approve in ("all", "destructive")

    @tool(read_only=False, destructive=True, parallel=False, approve=asks)
    async def create_file(file_path: Path, content: str, overwrite: bool = False) -> str:
        """Create a new file with the content. Directories are made.

        Args:
            file_path: the path where the file is created
            content: the content to write to the file
            overwrite: replace a file that is there
        """
        data = content.encode("utf-8", "replace")
        with telling():
            await workspace.write(file_path, data, exclusive=not overwrite)
        return f"{file_path} is created: {len(data):,} bytes."

    @tool(read_only=False, destructive=False, idempotent=True, approve=approve == "all")
    async def create_directory(dir_path: Path) -> str:
        """Create a new directory, with missing directories above.

        Args:
            dir_path: the path where the directory is created
        """
        with telling():
            is_new = await workspace.make_folder(dir_path)
        return f"{dir_path} is created." if is_new else f"{dir_path} was there already."

    return [create_file, create_directory]


def _template_tool(approve: Approve) -> Tool:
    @tool(read_only=True, destructive=False, idempotent=True, inline=True, approve=approve == "all")
    def generate_from_template(
        template: Annotated[str, Meta(max_length=100_000)], variables: dict[str, Any] | None = None
    ) -> str:
        """Generate text from a template with variables. Nothing is written: create_file does that.

        Args:
            template: the template, with {{variable}} placeholders
            variables: variables to substitute in the template
        """
        return _fill_template(template, variables or {})

    return generate_from_template


def _fill_template(template: str, variables: dict[str, Any]) -> str:
    """Return the text, in one pass: a value with braces is not filled in again. Raises `ToolArgumentError`."""
    names = list(dict.fromkeys(_PLACE.findall(template)))
    missing = [name for name in names if name not in variables]
    if missing:
        raise ToolArgumentError(f"The template has no values for {', '.join(missing[:20])}. Add them to the variables.")
    values = {name: _show_variable(variables[name]) for name in names}
    size = len(template) + sum(len(values[name]) for name in _PLACE.findall(template))
    if size > MOST_CHARACTERS:
        raise ToolArgumentError(f"The text would have more than {MOST_CHARACTERS:,} characters. Make it in parts.")
    return _PLACE.sub(lambda match: values[match[1]], template)


def _show_variable(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _show_slides(slides: list[str], start: int) -> str:
    if start > len(slides):
        return f"The presentation has {len(slides):,} slides."
    parts, size = list[str](), 0
    for number, text in enumerate(slides[start - 1 :], start):
        size += len(text)
        if size > READ_CHARACTERS and parts:
            return "\n\n".join(
                [*parts, f"[... the presentation has {len(slides):,} slides; start at {number} for more]"]
            )
        parts.append(f"Slide {number}:\n{text[:READ_CHARACTERS]}")
    return "\n\n".join(parts)
