"""Turns what an agent names into what its run uses: models, tools by name, the output's form, hooks; and keeps it.

The agent itself keeps nothing, so that it stays cheap. Knows plugins, but nothing of sessions, runs under way or trio.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakKeyDictionary, WeakSet

import attrs
import msgspec

from agno_rt._decide.check_agent import check_agent, check_values
from agno_rt._drive.call_hooks import Hooks
from agno_rt._drive.tool_threads import Workers
from agno_rt.agent import PLAIN_MEMORY, Agent, ToolLike, limits_of, memory_of, settings_of
from agno_rt.errors import AgnoError, NotFound, PluginError, UsageError
from agno_rt.failures import must_pass, named, repr_of
from agno_rt.hooks import Guard, Guardrail, Hook
from agno_rt.limiter import Limiter
from agno_rt.limits import Limits, LimitStatistics
from agno_rt.memory import MemoryPolicy
from agno_rt.models import NO_PROFILE, NO_SETTINGS, Binder, Model, ModelProfile, ModelSettings, OutputMode, profile_of
from agno_rt.names import check_name
from agno_rt.plugins import PluginHost
from agno_rt.tools import Tool, Toolkit
from agno_rt.tools import tool as as_tool
from agno_rt.wrappers.base import Wrapper

if TYPE_CHECKING:
    from agno_rt._decide.output_form import OutputForm

__all__ = ["Resolved", "Resolver", "keep"]


class Resolved(msgspec.Struct, eq=False):
    """What an agent names, ready for a run: `places` has the limiters of those tools that are bounded, by name."""

    model: Model
    tools: Mapping[str, Tool]
    places: Mapping[str, Limiter]
    profile: ModelProfile
    form: OutputForm | None
    hooks: Hooks | None
    summarizer: Model | None
    pauses: bool
    memory: MemoryPolicy
    settings: ModelSettings
    limits: Limits | None


class _Toolset(msgspec.Struct, eq=False):
    """The tools of an agent by name, and the limiters of those that are bounded."""

    tools: Mapping[str, Tool]
    places: Mapping[str, Limiter]
    pauses: bool = False


class Resolver:
    """Resolves the agents of one runtime, by its plugins and their settings.

    `models` has those made of specs; `workers` are the threads and processes of tools.
    """

    def __init__(
        self, plugins: PluginHost, settings: Mapping[str, Mapping[str, Any]], binder: Binder, limits: Limits
    ) -> None:
        self.models: dict[str, Model] = {}
        self.workers = Workers(limits)
        self._plugins = plugins
        self._settings = settings
        self._binder = binder
        self._toolsets: dict[tuple[Any, ...], _Toolset] = {}
        self._functions: dict[Any, tuple[Any, Tool]] = {}
        self._outputs: dict[Any, OutputForm] = {}
        self._hooks: dict[tuple[Any, ...], Hooks] = {}
        self._places: WeakKeyDictionary[Tool, Limiter] = WeakKeyDictionary()
        self._bound: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._wrappers: WeakSet[Any] = WeakSet()
        self._fitting: tuple[MemoryPolicy, ModelSettings, Limits | None] = PLAIN_MEMORY, NO_SETTINGS, None
        self._last = _NOBODY
        self._resolution = _NOTHING

    def resolve(self, agent: Agent) -> Resolved:
        """All that a run of the agent needs. Raises `UsageError` or `PluginError`."""
        last = self._last
        try:
            # By their class, since that is no call.
            if agent.name.__class__ is not str or agent.instructions.__class__ is not str:
                check_agent(agent)
            # Most runs are of an agent that names the very things which the one before did, though each has its own.
            if (
                agent.model is last.model
                and agent.tools is last.tools
                and agent.hooks is last.hooks
                and agent.output is last.output
                and agent.memory is last.memory
                and agent.settings is last.settings
                and agent.limits is last.limits
            ):
                return self._resolution
        except AttributeError:
            check_agent(agent)  # it is something else, then
            raise
        try:
            resolved = self._resolved(agent)
        except AgnoError:
            raise
        except BaseException as exc:
            if must_pass(exc):
                raise
            problem = f"something that the agent names cannot be used: {named(exc)}"
            raise UsageError(problem, hint="The traceback of its cause says where.") from exc
        # A list or a dict can change while it stays the same object.
        if type(agent.tools) is type(agent.hooks) is tuple and not _has_dict(agent):
            # A copy, since nothing but convention keeps people from changing an agent.
            fields = agent.tools, agent.output, agent.memory, agent.settings, agent.limits, agent.hooks
            self._last = Agent(agent.model, "", "", *fields)
            self._resolution = resolved
        return resolved

    def release(self) -> list[Any]:
        """Everything that was made here and is to be closed. Nothing of it is kept: a later run has it made anew."""
        made = [*self.models.values(), self.workers.processes]
        self.models, self.workers.processes, self._last, self._resolution = {}, None, _NOBODY, _NOTHING
        self._bound.clear()
        self._wrappers.clear()
        return made

    def _resolved(self, agent: Agent) -> Resolved:
        if agent.name:
            check_name("an agent's name", agent.name)
        # An agent with a list of tools is resolved for each of its runs, and most have the same values.
        memory, settings, limits = self._fitting
        if agent.memory is not memory or agent.settings is not settings or agent.limits is not limits:
            memory, settings = memory_of(agent.memory), settings_of(agent.settings)
            limits = None if agent.limits is None else limits_of(agent.limits)
            check_values(memory, settings, limits)
            self._fitting = memory, settings, limits
        if limits is not None:
            _check_run_limits(limits)
        model = self.model(agent.model)
        profile = getattr(model, "profile", NO_PROFILE)
        profile = profile if type(profile) is ModelProfile else profile_of(model)
        toolset = self._toolset(agent.tools) if agent.tools else _NO_TOOLS
        tools, form = toolset.tools, None
        if agent.output is not None:
            form = self._form(agent.output, profile.output, tools)
            tools = tools if form.tool is None else {**tools, form.tool.name: form.tool}
        if settings.tool_choice != "auto" and memory.facts is None:
            _check_choice(settings.tool_choice, tools)
        hooks = self._hooked(agent.hooks) if agent.hooks else None
        summary = memory.summary
        summarizer = None if summary is None or summary.model is None else self.model(summary.model)
        of_tools = toolset.places, profile, form, hooks, summarizer, toolset.pauses
        return Resolved(model, tools, *of_tools, memory, settings, limits)

    def model(self, spec: str | Model) -> Model:
        """The model that a spec names, made at its first use and then shared; a wrapper around what this runtime has.

        Raises `UsageError` or `PluginError`.
        """
        if not isinstance(spec, str):
            # Asking for the method, not for the protocol, which takes microseconds to check.
            if not hasattr(spec, "respond") or isinstance(spec, type):
                hint = "Give a spec such as 'llamacpp:smollm2', or a Model."
                hint = f"That is a class: make one of it, {spec.__name__}(...)." if isinstance(spec, type) else hint
                raise UsageError(f"{repr_of(spec)} is not a model", hint=hint)
            if not isinstance(getattr(spec, "name", None), str):
                hint = "Give its class a `name`, which errors and events call it by."
                raise UsageError(f"the model {repr_of(spec)} has no name", hint=hint)
            return self._bind(spec) if isinstance(spec, Wrapper) else spec
        model = self.models.get(spec)
        if model is None:
            made = self._plugins.model(spec, self._settings)
            if not isinstance(made, Model):
                raise _wrongly_made(spec, made, "Model")
            model = self.models[spec] = made
        return model

    def statistics(self) -> Iterator[LimitStatistics]:
        """How the limits stand of the models that were made of specs, of wrappers, and of bounded tools."""
        for model in (*self.models.values(), *self._wrappers):
            if (statistics := getattr(model, "statistics", None)) is not None:
                yield from statistics()
        yield from (place.statistics() for place in self._places.values())

    def _bind(self, thing: Any) -> Any:
        """What this runtime has for a wrapper, or for a guardrail that asks a model."""
        bound = self._bound.get(thing)
        if bound is None:
            bound = thing.bound(self._binder)
            self._wrappers.add(bound)
            if bound is not thing:  # else it would keep itself alive
                self._bound[thing] = bound
        return bound

    def _toolset(self, tools: Sequence[ToolLike]) -> _Toolset:
        """The tools by name; kept per tuple of tools, so that agents which share tools share the work."""
        if isinstance(tools, str) or not isinstance(tools, Sequence):
            raise UsageError(f"an agent's tools are {tools!r}, not a sequence", hint="Write tools=[...].")
        key = tuple(tools)
        if not all(isinstance(entry, _ENTRY) for entry in key):
            key = tuple(entry if isinstance(entry, _ENTRY) else self._tool_of(entry) for entry in key)
        known = self._toolsets.get(key)
        if known is None:
            by_name = _by_name([tool for entry in key for tool in self._tools(entry)])
            for tool in by_name.values():
                if tool.process:
                    self._check_process(tool)
            bounded = {name: tool for name, tool in by_name.items() if tool.limits.concurrency is not None}
            pauses = any(tool.pauses for tool in by_name.values())
            known = _Toolset(by_name, {name: self._place(tool) for name, tool in bounded.items()}, pauses)
            keep(self._toolsets, key, known)
        return known

    def _tool_of(self, function: Any) -> Tool:
        """The tool of a function, made once: agents that share functions share their tools."""
        if isinstance(function, type) or not callable(function):
            raise _no_tool(function, function)
        # Anything but a function by its identity: equal objects may hold different things, and some have no hash. It is
        # kept with its tool, so that no other object can get its id.
        key = function if inspect.isroutine(function) else id(function)
        known = self._functions.get(key)
        if known is None:
            known = function, as_tool(function)
            keep(self._functions, key, known)
        return known[1]

    def _check_process(self, tool: Tool) -> None:
        from agno_rt._drive.tool_process import Processes, check_process  # for those who have such a tool

        check_process(tool)
        if self.workers.processes is None:
            self.workers.processes = Processes()

    def _tools(self, entry: Any) -> Sequence[Tool]:
        made = self._plugins.tool(entry, self._settings) if isinstance(entry, str) else entry
        tools = made.tools if isinstance(made, Toolkit) else (made,)
        for tool in tools:
            if not isinstance(tool, Tool):
                raise _no_tool(entry, tool)
        return tools

    def _place(self, tool: Tool) -> Limiter:
        place = self._places.get(tool)
        if place is None:
            assert tool.limits.concurrency is not None
            place = self._places[tool] = Limiter(f"tool {tool.name!r}", tool.limits.concurrency)
        return place

    def _form(self, given: Any, mode: OutputMode, tools: Mapping[str, Tool]) -> OutputForm:
        from agno_rt._decide.output_form import (
            output_form,
        )  # with all that schemas take, for those who have an output type
        from agno_rt.output import Output

        output = given if isinstance(given, Output) else Output(given)
        mode = output.mode or mode
        names = tuple(sorted(tools)) if mode == "tool" else ()
        # Two unions of the same members are equal, and yet the first that fits is another one.
        key = (given, "" if isinstance(given, type) else repr(given), mode, names)
        try:
            known = self._outputs.get(key)
        except TypeError:
            hint = "Give a class, or a type such as list[str]."
            raise UsageError(f"an agent's output is {given!r}, which is no type", hint=hint) from None
        if known is None:
            known = output_form(output, mode, names)
            keep(self._outputs, key, known)
        return known

    def _hooked(self, hooks: Sequence[Hook | Guardrail | Guard | str]) -> Hooks:
        """The hooks by their places; kept per tuple, so that a guardrail of a spec string is made once."""
        if isinstance(hooks, str) or not isinstance(hooks, Sequence):
            raise UsageError(f"an agent's hooks are {hooks!r}, not a sequence", hint="Write hooks=[...].")
        key = tuple(hooks)
        try:
            known = self._hooks.get(key)
        except TypeError:
            # A hook that compares by value may have no hash. It cannot be found again by what it is.
            return Hooks.of([self._hook(entry) for entry in key])
        if known is None:
            known = Hooks.of([self._hook(entry) for entry in key])
            keep(self._hooks, key, known)
        return known

    def _hook(self, entry: Hook | Guardrail | Guard | str) -> Hook | Guard:
        made: Any = self._plugins.guardrail(entry, self._settings) if isinstance(entry, str) else entry
        if isinstance(made, Hook):
            return self._bind(made) if hasattr(made, "bound") else made
        if not isinstance(made, Guard | Guardrail) or isinstance(made, type):
            raise _no_hook(entry, made)
        guard = made if isinstance(made, Guard) else Guard(made)
        return attrs.evolve(guard, rail=self._bind(guard.rail)) if hasattr(guard.rail, "bound") else guard


def _has_dict(agent: Agent) -> bool:
    """Whether a dict stands for the agent's memory policy, settings or limits."""
    return any(isinstance(value, Mapping) for value in (agent.memory, agent.settings, agent.limits))


_ENTRY = (Tool, Toolkit, str)
_NOBODY = Agent(cast(Any, object()))
_NOTHING = cast(Resolved, None)
_NO_TOOLS = _Toolset({}, {})
_DEFAULTS = Limits()


_KEPT = 1_000
"""How many derived things are kept of a kind. An agent that is made anew for each run must not fill the memory."""

K = TypeVar("K")
V = TypeVar("V")


def keep(kept: dict[K, V], key: K, value: V) -> None:
    """Keep a derived thing by its key; all are forgotten first where there are many."""
    if len(kept) >= _KEPT:
        kept.clear()
    kept[key] = value


def _wrongly_made(spec: str, made: object, what: str) -> PluginError:
    plugin = spec.partition(":")[0]
    return PluginError(f"plugin {plugin!r} made a {type(made).__name__} of {spec!r}, no {what}", plugin=plugin)


def _no_hook(entry: object, made: object) -> AgnoError:
    if isinstance(entry, str):
        return _wrongly_made(entry, made, "Hook or guardrail")
    hint = "Give a Hook, a guardrail, a Guard around one, or a spec string such as 'guardrails:pii'."
    if isinstance(made, type):
        hint = f"Make one of the class: {made.__name__}()."
    return UsageError(f"{made!r} in an agent's hooks is no hook", hint=hint)


def _no_tool(entry: object, made: object) -> AgnoError:
    if isinstance(entry, str):
        return _wrongly_made(entry, made, "Tool")
    hint = "Give a function, a Tool, a Toolkit, or a spec string of a tool."
    if isinstance(made, type):
        hint = f"Make one of the class: {made.__name__}(...)."
    return UsageError(f"{made!r} in an agent's tools is not a tool", hint=hint)


def _by_name(tools: Sequence[Tool]) -> Mapping[str, Tool]:
    by_name: dict[str, Tool] = {}
    for tool in tools:
        if by_name.setdefault(tool.name, tool) is not tool:
            hint = "Give one of them another name: @tool(name=...)."
            raise UsageError(f"two tools of the agent are called {tool.name!r}", hint=hint)
    return by_name


def _check_choice(choice: str, tools: Mapping[str, Tool]) -> None:
    if choice == "none" or choice in tools or (choice == "required" and tools):
        return
    if choice == "required":
        hint = "Give the agent tools, or leave tool_choice out."
        raise UsageError("tool_choice is 'required', and the agent has no tools", hint=hint)
    raise NotFound("tool", choice, tools, where="tool_choice", hint="" if tools else "The agent has no tools.")


def _check_run_limits(limits: Limits) -> None:
    for name in ("runs", "queue", "model_calls", "depth", "threads", "abandoned_threads"):
        if getattr(limits, name) != getattr(_DEFAULTS, name):
            hint = f"Give it to the runtime: Runtime(limits=Limits({name}=...))."
            raise UsageError(f"limit {name} holds for a whole runtime, not for one agent", hint=hint)
