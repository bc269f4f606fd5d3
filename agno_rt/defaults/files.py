"""A folder of text and Markdown files for agents: searched, kept to, and read in.

The tool `files:search` (this folder) or `files:search:docs` finds passages by words. The context provider
`files:documents:docs` does so as knowledge, with citations. The hook `files:sources` names the file that an answer is
from, or says that nothing was found. Imports nothing slow: the code comes with the first tool, hook or provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agno_rt.errors import UsageError
from agno_rt.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from agno_rt.defaults._sources import SourcesHook
    from agno_rt.defaults.folder import FilesSettings
    from agno_rt.providers import ContextProvider
    from agno_rt.tools import Tool

__all__ = ["agno_rt_register_context", "agno_rt_register_guardrails", "agno_rt_register_tools"]


def _read_settings(settings: Mapping[str, Any]) -> FilesSettings:
    from agno_rt.config import read_settings
    from agno_rt.defaults.folder import FilesSettings

    return read_settings(FilesSettings, settings, "[plugins.files]")


def _find_folder(rest: str, settings: Mapping[str, Any], spec: str) -> tuple[Path, FilesSettings]:
    """Return the folder of a spec, and the settings. Raises `UsageError` for a missing folder."""
    read = _read_settings(settings)
    root = Path(rest or read.root)
    if not root.is_dir():
        hint = f"Name a folder, as in {spec}:docs, or set `root` in [plugins.files]."
        raise UsageError(f"there is no folder {str(root)!r} to search", hint=hint)
    return root.resolve(), read


def _make_search(rest: str, settings: Mapping[str, Any]) -> Tool:
    from agno_rt.defaults.documents import search_tool
    from agno_rt.defaults.folder import Folder

    root, read = _find_folder(rest, settings, "files:search")
    return search_tool(Folder(root, read), read.passages)


def _make_documents(rest: str, settings: Mapping[str, Any]) -> ContextProvider:
    from agno_rt.defaults.documents import FolderContext

    return FolderContext(*_find_folder(rest, settings, "files:documents"))


def _make_sources_hook(rest: str, settings: Mapping[str, Any]) -> SourcesHook:
    from agno_rt.defaults._sources import SourcesHook

    if rest not in ("", "strict"):
        raise UsageError(f"'files:sources:{rest}' is not known", hint="Write files:sources or files:sources:strict.")
    return SourcesHook(_read_settings(settings).nothing, strict=rest == "strict")


def _make_memory_files(rest: str, settings: Mapping[str, Any]) -> ContextProvider:
    from agno_rt.context_providers import MemoryFiles

    _read_settings(settings)
    return MemoryFiles(rest or "memory")


def _make_agents_file(rest: str, settings: Mapping[str, Any]) -> ContextProvider:
    from agno_rt.context_providers import AgentsFile

    return AgentsFile(rest or _read_settings(settings).root)


@hookimpl
def agno_rt_register_guardrails(register: Register) -> None:
    """Offer `files:sources`."""
    register("sources", _make_sources_hook, help="Name the file that an answer is from, or say that nothing was found.")


@hookimpl
def agno_rt_register_context(register: Register) -> None:
    """Offer `files:documents:FOLDER`, `files:memory:FOLDER` and `files:agents:FOLDER`."""
    register("documents", _make_documents, help="A folder of text files as knowledge: files:documents:FOLDER.")
    register("memory", _make_memory_files, help="Notes in MEMORY.md and files beside it, for each user and agent.")
    register("agents", _make_agents_file, help="AGENTS.md of a folder, and of its repository, as instructions.")


@hookimpl
def agno_rt_register_tools(register: Register) -> None:
    """Offer `files:search:FOLDER`."""
    register("search", _make_search, help="Search a folder of text and Markdown files: files:search:FOLDER.")
