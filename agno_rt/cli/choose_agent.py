"""The choice of a command line's agent: an agent of the project, changed by options, or an agent of just a model.

`run`, `chat` and `map` use this module with `agent_argument` and `agent_options` of `agno_rt.cli.options`.
"""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path
from typing import Any

import attrs

from agno_rt._runtime.sources import load_module
from agno_rt.agent import Agent, ToolLike
from agno_rt.cli.target import Target, find_agent, is_agent, model_target
from agno_rt.errors import NotFound, UsageError
from agno_rt.failures import repr_of
from agno_rt.plugins import PluginHost, extra_plugins
from agno_rt.project import load_project
from agno_rt.runnable import Runnable
from agno_rt.tools import Tool, Toolkit

__all__ = ["Changes", "change_agent", "choose_agent", "find_tool", "split_words"]


@attrs.frozen
class Changes:
    """Changes of an agent by options: another `model`, other instructions (`system`), and additional `tools`."""

    model: str | None = None
    system: str | None = None
    tools: tuple[str, ...] = ()

    def options(self) -> str:
        """Return the options as a person would type them again."""
        given = [("-m", self.model), ("-s", self.system), *(("-t", spec) for spec in self.tools)]
        return "".join(f" {name} {shlex.quote(value)}" for name, value in given if value is not None)


def choose_agent(verb: str, spec: str | None, config: str | None, changes: Changes) -> Target:
    """Find the agent named by `spec`, or make an agent of the model in `changes`. Return the agent with the changes.

    Without a spec and a model, list the project's agents and raise `UsageError`.
    """
    if spec is not None:
        target = find_agent(spec, config)
    elif changes.model is not None:
        target = model_target(changes.model, config)
    else:
        from agno_rt.cli.list_agents import ask_which

        raise ask_which(verb, config)
    agent = change_agent(target.agent, changes, target.project.plugins())
    return attrs.evolve(target, agent=agent, typed=changes.options())


def change_agent(agent: Runnable, changes: Changes, host: PluginHost) -> Runnable:
    """Return the agent with the changes. Raises `UsageError` for an unknown tool, or for anything but an agent."""
    if changes == Changes():
        return agent
    if not isinstance(agent, Agent):
        problem = f"{agent.name} is a {agent.kind}, which options cannot change:{changes.options()}"
        raise UsageError(problem, hint="Change one of its agents in its file, or leave the options out.")
    changed: dict[str, Any] = {}
    if changes.model is not None:
        changed["model"] = changes.model
    if changes.system is not None:
        changed["instructions"] = changes.system
    if changes.tools:
        changed["tools"] = (*agent.tools, *(find_tool(spec, host) for spec in changes.tools))
    return attrs.evolve(agent, **changed)


def split_words(words: tuple[str, ...], config: str | None, changes: Changes) -> tuple[str | None, tuple[str, ...]]:
    """Return the agent's name, or `None`, and the words of the input. With --model the agent may be left out.

    In this case a first word naming an agent is the agent, and a single word is the input. Raises `UsageError` for
    several words without an agent: a misspelt agent and a question without quotes look the same.
    """
    if changes.model is None or not words:
        return (words[0] if words else None), words[1:]
    first = words[0]
    # "-" reads the input from stdin, and the name of an agent has no blanks.
    if first in ("", "-") or any(character.isspace() for character in first):
        return None, words
    if is_agent(first, config):
        return first, words[1:]
    if len(words) == 1:
        return None, words
    close = difflib.get_close_matches(first, load_project(config).runnables, n=1)
    nearest = f"Did you mean {close[0]!r}? Otherwise quote the question" if close else "Quote the question"
    asked = f"agno-rt run -m {shlex.quote(changes.model)} {shlex.quote(' '.join(words))}"
    raise UsageError(f"{first!r} is not an agent, and the question is not quoted", hint=f"{nearest}: {asked}")


def find_tool(spec: str, host: PluginHost) -> ToolLike:
    """Find the tool of `plugin:tool`, `FILE.py:function` or `package.module:function`. Raises `UsageError`."""
    source, colon, name = spec.rpartition(":")
    if not (source or spec).endswith(".py") and host.provides(spec.partition(":")[0], "tools"):
        return spec
    if spec.endswith(".py"):
        return _load_tool(spec, "")
    if not colon or not source or not name:
        raise UsageError(f"{spec!r} does not name a tool", hint=_suggest_tool(spec, host))
    try:
        return _load_tool(source, name)
    except NotFound as exc:
        if exc.kind != "module":
            raise
        plugin = spec.partition(":")[0]
        if plugin in extra_plugins() and plugin not in host.names():
            raise NotFound("plugin", plugin, (), where=f"in {spec!r}") from exc
        raise NotFound("module", source, (), where="of a tool", hint=_suggest_tool(spec, host)) from exc


_FORMS = "Write plugin:tool, as in files:search:docs, FILE.py:function, or package.module:function."


def _suggest_tool(spec: str, host: PluginHost) -> str:
    if hint := host.suggest("tools", spec):
        return hint
    plugin, colon, _ = spec.partition(":")
    offers = list(host.offers("tools"))
    known = {offer.plugin for offer in offers} if colon else {offer.spec for offer in offers}
    close = difflib.get_close_matches(plugin, known, n=1)
    return f"Did you mean {close[0]!r}? {_FORMS}" if close else f"{_FORMS} `agno-rt plugins` lists tools."


def _load_tool(source: str, name: str) -> ToolLike:
    found = dict(vars(load_module(source, Path())))
    tools = [key for key, value in found.items() if isinstance(value, Tool | Toolkit)]
    if name and name in found:
        value: ToolLike = found[name]
        if isinstance(value, type) or not (callable(value) or isinstance(value, Tool | Toolkit)):
            raise UsageError(f"{name!r} in {source} is {repr_of(value)}, not a tool", hint="Name a function or a tool.")
        return value
    if not name and len(tools) == 1:
        only: ToolLike = found[tools[0]]
        return only
    if not name:
        shown = ", ".join(f"{source}:{tool}" for tool in tools)
        hint = f"Name each with -t: {shown}." if tools else "Name a function: FILE.py:function."
        raise UsageError(f"{source} has {len(tools) or 'no'} tools", hint=hint)
    # Suggest only functions of the module itself, not its imports.
    functions = [key for key, value in found.items() if getattr(value, "__module__", "") == found["__name__"]]
    raise NotFound("tool", name, [*tools, *functions], where=source)
