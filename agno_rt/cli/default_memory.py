"""The memory of sessions and runs of a command line: the project's, or a file of the user's. Opens nothing."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from agno_rt.agent import Agent, ToolLike, memory_of
from agno_rt.cli.target import Target
from agno_rt.config import Config
from agno_rt.errors import BackendError, UsageError
from agno_rt.project import Project
from agno_rt.runnable import Runnable, list_parts
from agno_rt.tools import Tool, Toolkit, ToolSearch, tool

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
    """Make and return the user's data folder of agno-rt, private to the user. Raises `BackendError`."""
    base = os.environ.get("XDG_DATA_HOME", "")
    folder = (Path(base) if base else Path.home() / ".local" / "share") / "agno-rt"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        hint = "Set XDG_DATA_HOME to a folder that can be written, or `memory` in [runtime] of agno-rt.toml."
        raise BackendError(f"{folder} cannot be made: {exc.strerror}", hint=hint) from exc
    return folder


def history_file() -> Path:
    """Return the path of the history of typed chat lines, in the user's state folder. Makes nothing."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "state") / "agno-rt" / "chat-history"


def project_for_run(target: Target, *, session: str | None) -> Project:
    """Return the project for one run of the agent, with a lasting memory if the session or the run may be continued.

    A lasting memory is needed for a named session, and for a run that may be stored.
    """
    agent = target.agent
    if session is not None or (isinstance(agent, Agent) and memory_of(agent.memory).journal):
        return lasting_project(target.project)[0]
    if not may_be_stored(agent):
        return target.project
    try:
        return lasting_project(target.project)[0]
    except BackendError:
        # Perhaps the run never pauses, or the person at the terminal decides at once.
        return target.project


def lasting_config(config: Config) -> tuple[Config, Path | None]:
    """Return the configuration with a lasting memory, and the path of the user's file if this file is the memory."""
    # The default memory ends with the process.
    if config.runtime.memory != "memory:":
        return config, None
    path = data_folder() / "chat.db"
    return attrs.evolve(config, runtime=attrs.evolve(config.runtime, memory=f"sqlite:///{path}")), path


def lasting_project(project: Project) -> tuple[Project, Path | None]:
    """Return the project with a lasting memory, and the path of the user's file, as `lasting_config`."""
    config, path = lasting_config(project.config)
    return project if path is None else attrs.evolve(project, config=config), path


def may_be_stored(runnable: Runnable) -> bool:
    """Tell whether runs of an agent within may be stored: by its memory policy, or because a tool may pause the run."""
    agents = [part for part in list_parts(runnable) if isinstance(part, Agent)]
    try:
        return any(memory_of(agent.memory).journal or any(map(_may_pause, agent.tools)) for agent in agents)
    except UsageError:
        return False  # the runtime refuses the agent, and names the file and the agent


def tilde(path: Path) -> str:
    """Return the path with `~` for the user's home."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _may_pause(entry: ToolLike) -> bool:
    """Tell whether a call may have to wait. Tools of plugins and of toolkits to open are not known yet, so they may."""
    if isinstance(entry, ToolSearch):
        return any(map(_may_pause, entry.tools))
    if isinstance(entry, Toolkit):
        return entry.open is not None or any(each.pauses for each in entry.tools)
    if isinstance(entry, str):
        return True
    return entry.pauses if isinstance(entry, Tool) else tool(entry).pauses
