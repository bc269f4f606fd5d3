"""Turns what an agent names into what its run uses: models, tools by name, the output's schema; and keeps it.

The agent itself keeps nothing, so that it stays cheap. Knows plugins, but nothing of sessions, runs under way or trio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from agno_rt._schema import type_schema
from agno_rt.agent import Agent
from agno_rt.errors import AgnoError, PluginError, UsageError
from agno_rt.limits import Limits
from agno_rt.messages import Message
from agno_rt.models import Model
from agno_rt.plugins import PluginHost
from agno_rt.runs import Output
from agno_rt.tools import Tool, Toolkit

__all__ = ["Input", "Resolved", "Resolver", "as_messages"]

Input: TypeAlias = str | Sequence[Message]
Resolved: TypeAlias = tuple[Model, Mapping[str, Tool], Output | None]


class Resolver:
    """Resolves the agents of one runtime, by its plugins and their settings. `models` has those made of specs."""

    def __init__(self, plugins: PluginHost, settings: Mapping[str, Mapping[str, Any]]) -> None:
        self.models: dict[str, Model] = {}
        self._plugins = plugins
        self._settings = settings
        self._toolsets: dict[tuple[Any, ...], Mapping[str, Tool]] = {}
        self._outputs: dict[Any, Output] = {}

    def resolve(self, agent: Agent) -> Resolved:
        """The agent's model, its tools by name, and what its output must fit. Raises `UsageError` or `PluginError`."""
        if agent.limits is not None:
            _check_run_limits(agent.limits)
        tools = self._toolset(agent.tools) if agent.tools else _NO_TOOLS
        output = None if agent.output is None else self._output(agent.output)
        return self.model(agent.model), tools, output

    def model(self, spec: str | Model) -> Model:
        """The model that a spec names, made at its first use and then shared. Raises `UsageError` or `PluginError`."""
        if not isinstance(spec, str):
            # Asking for the method, not for the protocol, which takes microseconds to check.
            if not hasattr(spec, "respond"):
                raise UsageError(f"{spec!r} is no model", hint="Give a spec such as 'llamacpp:smollm2', or a Model.")
            return spec
        model = self.models.get(spec)
        if model is None:
            made = self._plugins.model(spec, self._settings)
            if not isinstance(made, Model):
                plugin = spec.partition(":")[0]
                raise PluginError(
                    f"plugin {plugin!r} made a {type(made).__name__} of {spec!r}, no Model", plugin=plugin
                )
            model = self.models[spec] = made
        return model

    def _toolset(self, tools: Sequence[Tool | Toolkit | str]) -> Mapping[str, Tool]:
        """The tools by name; kept per tuple of tools, so that agents which share tools share the work."""
        if isinstance(tools, str) or not isinstance(tools, Sequence):
            raise UsageError(f"an agent's tools are {tools!r}, not a sequence", hint="Write tools=[...].")
        key = tuple(tools)
        known = self._toolsets.get(key) if all(isinstance(entry, _ENTRY) for entry in key) else None
        if known is None:
            known = _by_name([tool for entry in key for tool in self._tools(entry)])
            _keep(self._toolsets, key, known)
        return known

    def _tools(self, entry: Tool | Toolkit | str) -> Sequence[Tool]:
        made = self._plugins.tool(entry, self._settings) if isinstance(entry, str) else entry
        tools = made.tools if isinstance(made, Toolkit) else (made,)
        for tool in tools:
            if not isinstance(tool, Tool):
                raise _no_tool(entry, tool)
        return tools

    def _output(self, type_: Any) -> Output:
        try:
            known = self._outputs.get(type_)
        except TypeError:
            hint = "Give a class, or a type such as list[str]."
            raise UsageError(f"an agent's output is {type_!r}, which is no type", hint=hint) from None
        if known is None:
            known = Output(type_, type_schema(type_, what=f"the output type {type_!r}"))
            _keep(self._outputs, type_, known)
        return known


_ENTRY = (Tool, Toolkit, str)
_NO_TOOLS: Mapping[str, Tool] = {}
_DEFAULTS = Limits()


_KEPT = 1_000
"""How many derived things are kept of a kind. An agent that is made anew for each run must not fill the memory."""

K = TypeVar("K")
V = TypeVar("V")


def _keep(kept: dict[K, V], key: K, value: V) -> None:
    if len(kept) >= _KEPT:
        kept.clear()
    kept[key] = value


def _no_tool(entry: object, made: object) -> AgnoError:
    if isinstance(entry, str):
        plugin = entry.partition(":")[0]
        return PluginError(f"plugin {plugin!r} made a {type(made).__name__} of {entry!r}, no Tool", plugin=plugin)
    hint = "Decorate a function with @tool to make it one."
    return UsageError(f"{made!r} in an agent's tools is no Tool, Toolkit or spec string", hint=hint)


def _by_name(tools: Sequence[Tool]) -> Mapping[str, Tool]:
    by_name: dict[str, Tool] = {}
    for tool in tools:
        if by_name.setdefault(tool.name, tool) is not tool:
            hint = "Give one of them another name: @tool(name=...)."
            raise UsageError(f"two tools of the agent are called {tool.name!r}", hint=hint)
    return by_name


def _check_run_limits(limits: Limits) -> None:
    for name in ("runs", "queue", "model_calls"):
        if getattr(limits, name) != getattr(_DEFAULTS, name):
            hint = f"Give it to the runtime: Runtime(limits=Limits({name}=...))."
            raise UsageError(f"limit {name} holds for a whole runtime, not for one agent", hint=hint)


def as_messages(input: Input) -> tuple[Message, ...]:
    """The input as messages. Raises `UsageError` for what is empty, no text and no messages, or no Unicode."""
    if not isinstance(input, str):
        return _sequence(input)
    if not input or input.isspace():
        raise UsageError("the input is empty", hint="Say something for the agent to answer.")
    _must_be_unicode(input)
    return (Message("user", input),)


def _sequence(input: Sequence[Message]) -> tuple[Message, ...]:
    messages = tuple(input) if isinstance(input, Sequence) else ()
    if not messages or not all(isinstance(message, Message) for message in messages):
        hint = "Pass a str, or a list of Message that is not empty."
        raise UsageError("the input is neither text nor messages", hint=hint)
    for message in messages:
        _must_be_unicode(message.content)
    return messages


def _must_be_unicode(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        hint = "It was probably decoded from bytes that are no UTF-8."
        raise UsageError(f"the input has a character that is no Unicode text: {exc}", hint=hint) from exc
