"""Where the conversations of a command line are kept, and what they are called. Opens nothing."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from agno_rt.agent import Agent, ToolLike, memory_of
from agno_rt.cli.target import Target
from agno_rt.config import Config
from agno_rt.errors import BackendError
from agno_rt.project import Project
from agno_rt.tools import Tool, Toolkit, tool

__all__ = [
    "data_folder",
    "history_file",
    "lasting_config",
    "lasting_project",
    "may_be_stored",
    "project_for_run",
    "tilde",
]


def data_folder() -> Path:
    """The user's folder for what agno-rt keeps; made for this user alone. Raises `BackendError` where it cannot be."""
    base = os.environ.get("XDG_DATA_HOME", "")
    folder = (Path(base) if base else Path.home() / ".local" / "share") / "agno-rt"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        hint = "Set XDG_DATA_HOME to a folder that can be written, or `memory` in [runtime] of agno-rt.toml."
        raise BackendError(f"{folder} cannot be made: {exc.strerror}", hint=hint) from exc
    return folder


def history_file() -> Path:
    """The file of what was typed in chats, in the user's folder for such things; nothing is made yet."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "state") / "agno-rt" / "chat-history"


def project_for_run(target: Target, *, session: str | None) -> Project:
    """The project as one run of the agent needs it: with a memory that lasts where something is to be gone on with.

    That is a session that is named, and a run that may be stored.
    """
    if session is not None or memory_of(target.agent.memory).journal:
        return lasting_project(target.project)[0]
    if not may_be_stored(target.agent):
        return target.project
    try:
        return lasting_project(target.project)[0]
    except BackendError:
        # It may well not pause, and the person here may decide at once.
        return target.project


def lasting_config(config: Config) -> tuple[Config, Path | None]:
    """The configuration with a memory that outlives the process: its own, or a file of the user's, then returned."""
    if config.runtime.memory != "memory:":
        return config, None
    path = data_folder() / "chat.db"
    return attrs.evolve(config, runtime=attrs.evolve(config.runtime, memory=f"sqlite:///{path}")), path


def lasting_project(project: Project) -> tuple[Project, Path | None]:
    """The project with a memory that outlives the process, as `lasting_config` has it."""
    config, path = lasting_config(project.config)
    return project if path is None else attrs.evolve(project, config=config), path


def may_be_stored(agent: Agent) -> bool:
    """Whether runs of the agent are stored, as far as can be seen: it says so, or has a tool that may pause them."""
    return memory_of(agent.memory).journal or any(map(_may_pause, agent.tools))


def tilde(path: Path) -> str:
    """The path as people write it, with `~` for their home."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _may_pause(entry: ToolLike) -> bool:
    """Whether a call may have to wait; of one that a plugin makes it is not known yet."""
    if isinstance(entry, Toolkit):
        return any(each.pauses for each in entry.tools)
    if isinstance(entry, str):
        return True
    return entry.pauses if isinstance(entry, Tool) else tool(entry).pauses
