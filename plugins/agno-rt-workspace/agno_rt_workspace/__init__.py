"""The plugin `workspace`: a folder for agents to work in, with tools for its files and for commands.

`workspace:FOLDER` is a toolkit, and so are `workspace:file:FOLDER` and `workspace:filegen:FOLDER`. Imports nothing
slow: the code comes with the first toolkit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt.tools import Toolkit
    from agno_rt_workspace.base import Workspace
    from agno_rt_workspace.settings import Approve

__all__ = ["agno_rt_register_tools", "make_file_toolkit", "make_filegen_toolkit", "make_toolkit"]


def make_toolkit(folder: str, settings: Mapping[str, Any] | None = None) -> Toolkit:
    """Make the toolkit of a local folder from the table `[plugins.workspace]`.

    Raises `UsageError` for a missing folder, and `ConfigError` for the settings.
    """
    from agno_rt_workspace.local import LocalWorkspace
    from agno_rt_workspace.settings import read_workspace_settings
    from agno_rt_workspace.toolkit import workspace_tools

    read = read_workspace_settings(settings or {})
    return workspace_tools(LocalWorkspace(folder, read), approve=read.approve)


def make_file_toolkit(folder: str, settings: Mapping[str, Any] | None = None) -> Toolkit:
    """Make the toolkit `file` of a local folder, with Agno-Go's names: reads, writes, lists and deletes files.

    The settings are those of `make_toolkit`.
    """
    from agno_rt_workspace.file_toolkits import file_tools

    workspace, approve = _open_folder("file", folder, settings or {})
    return file_tools(workspace, approve=approve)


def make_filegen_toolkit(folder: str, settings: Mapping[str, Any] | None = None) -> Toolkit:
    """Make the toolkit `filegen` of a local folder, with Agno-Go's names: creates files, and texts from templates.

    The settings are those of `make_toolkit`.
    """
    from agno_rt_workspace.file_toolkits import filegen_tools

    workspace, approve = _open_folder("filegen", folder, settings or {})
    return filegen_tools(workspace, approve=approve)


@hookimpl
def agno_rt_register_tools(register: Register) -> None:
    """Offer `workspace:FOLDER`, `workspace:file:FOLDER` and `workspace:filegen:FOLDER`."""
    register("file", make_file_toolkit, help="Read, write, list and delete files in a folder: workspace:file:FOLDER.")
    register("filegen", make_filegen_toolkit, help="Create files, and texts from templates: workspace:filegen:FOLDER.")
    text = "Read, write, edit, list, search and run in a folder: workspace:FOLDER."
    register("*", make_toolkit, help=text, any_name="FOLDER")


def _open_folder(name: str, folder: str, settings: Mapping[str, Any]) -> tuple[Workspace, Approve]:
    from agno_rt.errors import UsageError
    from agno_rt_workspace.local import LocalWorkspace
    from agno_rt_workspace.settings import read_workspace_settings

    if not folder:
        hint = f"Write workspace:{name}:FOLDER; or workspace:./{name} for a folder of this name."
        raise UsageError(f"workspace:{name} names no folder", hint=hint)
    read = read_workspace_settings(settings)
    return LocalWorkspace(folder, read), read.approve
