"""Other agents as tools: `tools = ["delegates:researcher,critic"]`. Imports nothing slow.

The names are those of the project's agents, teams and workflows, or of runnables given to `Runtime.add`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs

from agno_rt.errors import UsageError
from agno_rt.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from agno_rt.teams.delegates import Delegates

__all__ = ["agno_rt_register_tools"]

_HINT = "Write delegates:NAME,NAME, or delegates:background:NAME,NAME."


@attrs.frozen
class _DelegatesSettings:
    """The table `[plugins.delegates]`."""

    on_end: Literal["wait", "cancel", "keep"] = "wait"
    at_once: int = 8
    name: str = "task"


@attrs.frozen
class _NamedDelegates:
    """A toolkit whose agents are known by name; the runtime knows the agents."""

    names: tuple[str, ...]
    background: bool
    settings: _DelegatesSettings

    def bound(self, runtime: Any) -> Delegates:
        """Return the toolkit with the runtime's agents. Raises `NotFound` for an unknown name."""
        from agno_rt.teams.delegates import Delegates

        agents = [runtime.runnable(name) for name in self.names]
        return Delegates(agents, background=self.background, **attrs.asdict(self.settings))


def _make_delegates(names: str, settings: Mapping[str, Any], *, background: bool) -> _NamedDelegates:
    from agno_rt.config import read_settings

    found = tuple(name.strip() for name in names.split(",") if name.strip())
    if not found:
        raise UsageError("delegates without names", hint=_HINT)
    return _NamedDelegates(found, background, read_settings(_DelegatesSettings, settings, "[plugins.delegates]"))


def _make_within(rest: str, settings: Mapping[str, Any]) -> _NamedDelegates:
    return _make_delegates(rest, settings, background=False)


def _make_background(rest: str, settings: Mapping[str, Any]) -> _NamedDelegates:
    return _make_delegates(rest, settings, background=True)


@hookimpl
def agno_rt_register_tools(register: Register) -> None:
    """Offer `delegates:NAME,NAME` and `delegates:background:NAME,NAME`."""
    register("*", _make_within, help="Agents of the project as one tool, run_task: delegates:NAME,NAME.")
    register("background", _make_background, help="The same in the background: delegates:background:NAME,NAME.")
