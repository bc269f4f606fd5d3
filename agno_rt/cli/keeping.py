"""Where the conversations of a command line are kept, and what they are called. Opens nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from agno_rt.agent import Agent, ToolLike, memory_of
from agno_rt.cli.target import Target
from agno_rt.config import FILE_NAME, Config
from agno_rt.errors import BackendError
from agno_rt.memory import SessionInfo
from agno_rt.project import Project
from agno_rt.tools import Tool, Toolkit, tool

__all__ = [
    "data_folder",
    "history_file",
    "is_within",
    "kept_for",
    "kept_in",
    "lasting",
    "latest",
    "may_be_stored",
    "next_name",
    "session_stem",
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


def kept_for(target: Target, *, session: str | None) -> Project:
    """The project as one run of the agent needs it: with a memory that lasts where something is to be gone on with.

    That is a session that is named, and a run that may be stored.
    """
    if session is not None or memory_of(target.agent.memory).journal:
        return lasting(target.project)[0]
    if not may_be_stored(target.agent):
        return target.project
    try:
        return lasting(target.project)[0]
    except BackendError:
        # It may well not pause, and the person here may decide at once.
        return target.project


def kept_in(config: Config) -> tuple[Config, Path | None]:
    """The configuration with a memory that outlives the process: its own, or a file of the user's, then returned."""
    if config.runtime.memory != "memory:":
        return config, None
    path = data_folder() / "chat.db"
    return attrs.evolve(config, runtime=attrs.evolve(config.runtime, memory=f"sqlite:///{path}")), path


def lasting(project: Project) -> tuple[Project, Path | None]:
    """The project with a memory that outlives the process, as `kept_in` has it."""
    config, path = kept_in(project.config)
    return project if path is None else attrs.evolve(project, config=config), path


def session_stem(target: Target, *, shared: bool) -> str:
    """The name that an agent's conversations have in common. In a store that is `shared` it says which project's."""
    stem = f"chat-{target.agent.name}"
    if not shared or not target.origin:
        return stem
    path = Path(target.origin)
    if not path.exists():
        return f"{stem}@{target.origin}"
    # Two projects may each have an agent of that name, and one must not be told what the other heard.
    path = path.resolve()
    return f"{stem}@{tilde(path.parent if path.name == FILE_NAME else path)}"


def latest(stem: str, sessions: Sequence[SessionInfo], user: str | None) -> str:
    """The user's conversation that was last written to; a new one where there is none. `sessions` come newest first."""
    own = (info.id for info in sessions if info.user == user and _number(stem, info.id))
    return next(own, "") or next_name(stem, sessions)


def is_within(stem: str, session: str) -> bool:
    """Whether a session may be of the same project as those of the stem: it does not say that it is another's."""
    project = stem.partition("@")[2]
    of, at, other = session.partition("@")
    return not (at and of.startswith("chat-") and _number(f"@{project}", f"@{other}") == 0)


def may_be_stored(agent: Agent) -> bool:
    """Whether runs of the agent are stored, as far as can be seen: it says so, or has a tool that may pause them."""
    return memory_of(agent.memory).journal or any(map(_may_pause, agent.tools))


def next_name(stem: str, sessions: Iterable[SessionInfo]) -> str:
    """A name that no conversation has yet: `chat-assistant`, then `chat-assistant.2`, and so on."""
    number = max((_number(stem, info.id) for info in sessions), default=0) + 1
    return stem if number == 1 else f"{stem}.{number}"


def tilde(path: Path) -> str:
    """The path as people write it, with `~` for their home."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _may_pause(entry: ToolLike) -> bool:
    """Whether a call may have to wait; of one that a plugin or an opened toolkit makes it is not known yet."""
    if isinstance(entry, Toolkit):
        return entry.open is not None or any(each.pauses for each in entry.tools)
    if isinstance(entry, str):
        return True
    return entry.pauses if isinstance(entry, Tool) else tool(entry).pauses


def _number(stem: str, session: str) -> int:
    match = re.fullmatch(rf"{re.escape(stem)}(?:\.(\d+))?", session)
    return int(match[1] or 1) if match else 0
