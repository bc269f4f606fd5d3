"""The settings of the server: the table `[plugins.mcp.serve]`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import trio

from agno_rt.config import read_settings
from agno_rt.errors import ConfigError

__all__ = ["ServeSettings", "check_skills", "read_serve_settings"]

WHERE = "[plugins.mcp.serve]"


def _make_texts(given: Iterable[str] | str) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ConfigError(f"{WHERE}: a list is the text {given!r}", hint=f'Write ["{given}"].')
    return tuple(given)


@attrs.frozen
class ServeSettings:
    """The settings of the server. Raises `ConfigError`.

    Attributes:
        name: the server's name for clients
        instructions: a text for the client's model about all tools
        agents: the names of the agents, teams and workflows to offer; all by default
        tools: tools to offer directly, as an agent's `tools` names them
        tools_of: the names of agents whose tools are offered directly, too
        skills: folders with skills, and packages as `@name`: prompts and resources of the server
        sessions: whether clients of the earlier protocol get a session over HTTP, in which the server may ask questions
        max_message: the most bytes of a message
        task_after: seconds after which a call is a task, for clients that know tasks
    """

    name: str = "agno-rt"
    instructions: str = ""
    agents: tuple[str, ...] | None = attrs.field(default=None, converter=attrs.converters.optional(_make_texts))
    tools: tuple[str, ...] = attrs.field(default=(), converter=_make_texts)
    tools_of: tuple[str, ...] = attrs.field(default=(), converter=_make_texts)
    skills: tuple[str, ...] = attrs.field(default=(), converter=_make_texts)
    sessions: bool = True
    max_message: int = 4 * 2**20
    task_after: float = 10.0

    def __attrs_post_init__(self) -> None:
        if not self.name:
            raise ConfigError("name is empty", hint="Name the server, or leave it out.")
        if not self.task_after >= 0:
            raise ConfigError(f"task_after is {self.task_after!r}", hint="Give seconds, or 0 for at once.")
        if not self.max_message > 0:
            raise ConfigError(f"max_message is {self.max_message!r}", hint="Give a number above 0.")


def read_serve_settings(settings: Mapping[str, Any]) -> ServeSettings:
    """Return the settings of the server, given the table `[plugins.mcp]`. Raises `ConfigError`."""
    return read_settings(ServeSettings, settings.get("serve", {}), WHERE)


async def check_skills(settings: ServeSettings) -> None:
    """Raise `ConfigError` if the settings name skills, and there is none."""
    if not settings.skills:
        return
    from agno_rt.context_providers.skill_folders import find_skills

    found = await trio.to_thread.run_sync(find_skills, settings.skills)
    if not found.skills:
        why = str(found.problems[0]) if found.problems else "A skill is a folder with a file SKILL.md."
        raise ConfigError(f"skills of {WHERE}: there are none in {', '.join(settings.skills)}", hint=why)
