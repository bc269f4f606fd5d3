"""Resolves the names in a runnable for its runs: models, tools by name, the output's form and hooks.

Resolved things are kept here, since an agent must stay cheap. Knows plugins, but not sessions, runs or trio.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast
from weakref import WeakKeyDictionary, WeakSet

import attrs
import msgspec

from agno_rt._decide.budget import budget_of
from agno_rt._decide.check_agent import check_agent, check_limits, check_own_name, check_runnable, check_values
from agno_rt._decide.hooks import Hooks
from agno_rt._decide.input import Input
from agno_rt._drive.call_tools import call_within
from agno_rt._drive.job import AskedWithin, Job, Resolved, ResolvedAgent
from agno_rt._drive.take_turns import take_turns
from agno_rt._drive.tool_threads import Workers
from agno_rt._runtime.check_parts import (
    check_choice,
    check_run_limits,
    not_a_hook_error,
    not_a_provider_error,
    not_a_tool_error,
    wrong_product_error,
)
from agno_rt._runtime.choose_take import choose_take
from agno_rt._runtime.kept import KEPT, find_made, keep
from agno_rt._runtime.opened import HeldPlaces, ToolkitsClosed
from agno_rt._runtime.toolset import NO_TOOLS, Toolset, has_pausing_part, make_toolset
from agno_rt.agent import PLAIN_MEMORY, Agent, ToolLike, limits_of, memory_of, settings_of
from agno_rt.errors import AgnoError, UsageError
from agno_rt.failures import must_pass, named, repr_of
from agno_rt.hooks import Guard, Guardrail, Hook
from agno_rt.limiter import Limiter
from agno_rt.limits import Limits, LimitStatistics
from agno_rt.memory import MemoryPolicy
from agno_rt.models import NO_PROFILE, NO_SETTINGS, Binder, Model, ModelProfile, ModelSettings, OutputMode, profile_of
from agno_rt.plugins import PluginHost
from agno_rt.providers import ContextProvider
from agno_rt.result import RunResult
from agno_rt.runnable import Runnable
from agno_rt.tools import Tool, Toolkit, ToolSearch
from agno_rt.tools import tool as as_tool
from agno_rt.wrappers.base import Wrapper

if TYPE_CHECKING:
    from agno_rt._decide.output_form import OutputForm

__all__ = ["Resolver"]


class Runner(Binder, Protocol):
    """The part of a runtime that resolved parts need: the models for wrappers, and `run` for runs within runs."""

    @property
    def run(self) -> Callable[..., Coroutine[Any, Any, RunResult]]:
        """Run a runnable."""
        ...

    async def run_within(self, runnable: Runnable, input: Input, asked: AskedWithin) -> RunResult:
        """Run a runnable within a flow."""
        ...

    async def start_within(self, runnable: Runnable, input: Input, asked: AskedWithin, outer: Job[Any]) -> Any:
        """Start a run in the background of another run."""
        ...


class Resolver:
    """Resolves the runnables of one runtime, by plugins and their settings.

    `models` has the models made from specs; `workers` are the threads and processes of tools. `opened` has the tools of
    the toolkits that the runtime holds open; see `_runtime/toolkits.py`.
    """

    def __init__(
        self,
        plugins: PluginHost,
        settings: Mapping[str, Mapping[str, Any]],
        runner: Runner,
        limits: Limits,
        model_calls: Limiter,
    ) -> None:
        self.models: dict[str, Model] = {}
        self.workers = Workers(limits)
        self.opened: dict[Toolkit, Sequence[Tool]] = {}
        self._held: WeakSet[HeldPlaces] = WeakSet()
        self._toolkits: dict[str, Toolkit] = {}
        self._plugins = plugins
        self._settings = settings
        self._runner = runner
        self._limits = limits
        self._model_calls = model_calls
        self._toolsets: dict[tuple[Any, ...], Toolset] = {}
        self._functions: dict[Any, tuple[Any, Tool]] = {}
        self._outputs: dict[Any, OutputForm] = {}
        self._hooks: dict[tuple[Any, ...], Hooks] = {}
        self._providers: dict[tuple[Any, ...], tuple[ContextProvider, ...]] = {}
        self._bound: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._wrappers: WeakSet[Any] = WeakSet()
        self._fitting: tuple[MemoryPolicy, ModelSettings, Limits | None] = PLAIN_MEMORY, NO_SETTINGS, None
        self._last = _NOBODY
        self._resolution = _NOTHING
        self._last_flow = _NO_FLOW

    def resolve(self, runnable: Runnable) -> Resolved:
        """Return the resolved parts of the runnable. Raises `UsageError` or `PluginError`."""
        if isinstance(runnable, Runnable) and not isinstance(runnable, Agent):
            return self._resolve_flow(runnable)
        return self.resolve_agent(runnable)

    def resolve_agent(self, agent: Agent) -> ResolvedAgent:
        """Return the resolved parts of the agent. Raises as `resolve`.

        Raises `ToolkitsClosed` if toolkits of the agent are not open and no other fault was found.
        """
        last = self._last
        try:
            # Compared by class: isinstance would be a call for each run.
            if agent.name.__class__ is not str or agent.instructions.__class__ is not str:
                check_agent(agent)
            # Most agents name the same objects as the agent of the run before, even agents made for each run.
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
            check_agent(agent)  # explains which part is missing, if `agent` is not an Agent
            raise
        try:
            resolved = self._resolve(agent)
        except AgnoError:
            raise
        except BaseException as exc:
            if must_pass(exc):
                raise
            problem = f"part of the agent cannot be used: {named(exc)}"
            raise UsageError(problem, hint="The traceback of the cause says where.") from exc
        # Only tuples are compared by identity: a list or a dict can change and stay the same object.
        if type(agent.tools) is type(agent.hooks) is tuple and not _has_dict(agent):
            # A copy, since an agent can be changed after its run.
            fields = agent.tools, agent.output, agent.memory, agent.settings, agent.limits, agent.hooks
            self._last = Agent(agent.model, "", "", *fields)
            self._resolution = resolved
        return resolved

    def publish(self, toolkit: Toolkit, tools: Sequence[Tool]) -> None:
        """Replace the tools of an opened toolkit. Runs under way keep the old tools."""
        if toolkit in self.opened:
            self._forget_holders()
        self.opened[toolkit] = tools

    def forget(self, toolkit: Toolkit) -> None:
        """Forget the tools of an opened toolkit, so that the next run of an agent with the toolkit opens it anew."""
        if self.opened.pop(toolkit, None) is not None:
            self._forget_holders()

    def idle_toolkits(self) -> list[Toolkit]:
        """Return the opened toolkits without runs, with the longest unused toolkit first."""
        self._forget_holders()
        used = {toolkit for places in self._held for toolkit in places.toolkits}
        return [toolkit for toolkit in self.opened if toolkit not in used]

    def _forget_holders(self) -> None:
        """Forget all resolutions with opened toolkits; afterwards only runs hold the toolkits."""
        self._last, self._resolution = _NOBODY, _NOTHING
        self._toolsets = {
            key: known for key, known in self._toolsets.items() if not isinstance(known.places, HeldPlaces)
        }

    def release(self) -> list[Any]:
        """Forget all made things, and return the closable ones. A later run makes them anew."""
        made = [*self.models.values(), self.workers.processes]
        self.models, self.workers.processes, self._last, self._resolution = {}, None, _NOBODY, _NOTHING
        self._last_flow = _NO_FLOW
        self._bound.clear()
        self._wrappers.clear()
        return made

    def _resolve_flow(self, runnable: Runnable) -> Resolved:
        last, limits, memory, known = self._last_flow
        if runnable is last and runnable.limits is limits and runnable.memory is memory:
            return known
        resolved = self._resolve_new_flow(runnable)
        # Parts, and values in dicts, may change and stay the same objects.
        if not runnable.parts() and not any(isinstance(each, Mapping) for each in (runnable.limits, runnable.memory)):
            self._last_flow = runnable, runnable.limits, runnable.memory, resolved
        return resolved

    def _resolve_new_flow(self, runnable: Runnable) -> Resolved:
        # Agents alone need neither flows nor teams.
        from agno_rt._flow.conduct import ResolvedFlow, conduct
        from agno_rt._runtime.prepare_team import prepare_team
        from agno_rt.teams.team import Team

        if isinstance(runnable, Team):
            runnable = prepare_team(runnable, self._plugins, self._settings)
        check_runnable(runnable)
        check_own_name(runnable)
        limits = None if runnable.limits is None else limits_of(runnable.limits)
        check_limits(limits)
        if limits is not None:
            check_run_limits(limits)
        memory = memory_of(runnable.memory)
        check_values(memory, NO_SETTINGS, None)
        return ResolvedFlow(
            conduct,
            limits or self._limits,
            self._model_calls,
            is_bounded=budget_of(limits or self._limits, None) is not None,
            nests=True,
            pauses=has_pausing_part(runnable, self._may_pause),
            memory=memory,
            conduct=runnable.conduct,
            run=self._runner.run_within,
            start=self._runner.start_within,
            read_output=self._read_output,
            workers=self.workers,
            code_version=getattr(runnable, "version", 1),
            read_answer=getattr(runnable, "read_output", msgspec.json.decode),
            receive=runnable.receive if isinstance(runnable, Team) else None,
        )

    def _may_pause(self, agent: Agent) -> bool:
        """Return whether a tool of the agent may wait for a person; toolkits that are not open may have such tools."""
        try:
            return self._find_toolset(agent.tools).pauses
        except ToolkitsClosed:
            return True

    def _read_output(self, runnable: Runnable, content: str, output: bytes) -> Any:
        """Return the output of a stored run of the runnable, from its content or its JSON."""
        resolved = self.resolve(runnable)
        if resolved.form is not None:
            return resolved.form.read(content)[1]
        return getattr(resolved, "read_answer", msgspec.json.decode)(output) if output else None

    def _resolve(self, agent: Agent) -> ResolvedAgent:
        if agent.name:
            check_own_name(agent)
        # An agent with a list of tools is resolved for each run; the other values mostly stay the same.
        memory, settings, limits = self._fitting
        if agent.memory is not memory or agent.settings is not settings or agent.limits is not limits:
            memory, settings = memory_of(agent.memory), settings_of(agent.settings)
            limits = None if agent.limits is None else limits_of(agent.limits)
            check_values(memory, settings, limits)
            self._fitting = memory, settings, limits
        if limits is not None:
            check_run_limits(limits)
        model = self.model(agent.model)
        profile = getattr(model, "profile", NO_PROFILE)
        profile = profile if type(profile) is ModelProfile else profile_of(model)
        closed: Mapping[Toolkit, str] = _NO_TOOLKITS
        try:
            toolset = self._find_toolset(agent.tools) if agent.tools else NO_TOOLS
        except ToolkitsClosed as exc:
            # Raised again below, so that the other faults of the agent show before anything is opened.
            toolset, closed = NO_TOOLS, exc.toolkits
        tools, offered, form = toolset.tools, toolset.offered, None
        if agent.output is not None:
            form = self._find_form(agent.output, profile.output, tools)
            if form.tool is not None:
                tools, offered = {**tools, form.tool.name: form.tool}, (*offered, form.tool)
        if settings.tool_choice != "auto" and memory.facts is None and not memory.context and not closed:
            check_choice(settings.tool_choice, tools, offered)
        hooks = self._find_hooks(agent.hooks, tools) if agent.hooks else None
        context = (*memory.context, *toolset.context) if toolset.context else memory.context
        providers = self._find_providers(context) if context else None
        summary = memory.summary
        summarizer = None if summary is None or summary.model is None else self.model(summary.model)
        if closed:
            raise ToolkitsClosed(closed)
        limits = limits or self._limits
        # A call less for the usual agent, which may be resolved for each run.
        is_plain = limits.turn_timeout is None and summary is None and memory.results is None and not toolset.starts
        take = take_turns if is_plain else choose_take(limits, memory, starts_children=toolset.starts)
        return ResolvedAgent(
            take,
            limits,
            self._model_calls,
            is_bounded=budget_of(limits, None) is not None,
            nests=bool(tools) or form is not None or hooks is not None or providers is not None,
            pauses=toolset.pauses,
            memory=memory,
            form=form,
            hooks=hooks,
            providers=providers,
            model=model,
            tools=tools,
            offered=offered,
            index=toolset.index,
            places=toolset.places,
            profile=profile,
            summarizer=summarizer,
            settings=settings,
            workers=self.workers,
            run=self._runner.run,
            call_within=call_within,
            run_at=self._runner.run_within,
            start=self._runner.start_within,
        )

    def model(self, spec: str | Model) -> Model:
        """Return the model of a spec, made at the first use and then shared; or a wrapper's copy for this runtime.

        Raises `UsageError` or `PluginError`.
        """
        if not isinstance(spec, str):
            # hasattr, since isinstance with a protocol takes microseconds.
            if not hasattr(spec, "respond") or isinstance(spec, type):
                hint = "Give a spec such as 'llamacpp:smollm2', or a Model."
                hint = f"This is a class; make an instance: {spec.__name__}(...)." if isinstance(spec, type) else hint
                raise UsageError(f"{repr_of(spec)} is not a model", hint=hint)
            if not isinstance(getattr(spec, "name", None), str):
                hint = "Give its class a `name`, for errors and events."
                raise UsageError(f"the model {repr_of(spec)} has no name", hint=hint)
            return self._bind(spec) if isinstance(spec, Wrapper) else spec
        model = self.models.get(spec)
        if model is None:
            made = self._plugins.model(spec, self._settings)
            if not isinstance(made, Model):
                raise wrong_product_error(spec, made, "Model")
            model = self.models[spec] = made
        return model

    def statistics(self) -> Iterator[LimitStatistics]:
        """Yield the limits of models made from specs, of wrappers and of bounded tools as they stand now."""
        for model in (*self.models.values(), *self._wrappers):
            if (statistics := getattr(model, "statistics", None)) is not None:
                yield from statistics()
        yield from self.workers.statistics()

    def _bind(self, thing: Any) -> Any:
        """Return the copy of a wrapper, or of a guardrail with a model, bound to the models of this runtime."""
        bound = self._bound.get(thing)
        if bound is None:
            bound = thing.bound(self._runner)
            self._wrappers.add(bound)
            if bound is not thing:  # a weak key that is its own value is never collected
                self._bound[thing] = bound
        return bound

    def _find_toolset(self, tools: Sequence[ToolLike]) -> Toolset:
        """Return the tools by name; kept for each tuple of tools, so that agents with the same tools share the work."""
        if isinstance(tools, str) or not isinstance(tools, Sequence):
            raise UsageError(f"an agent's tools are {tools!r}, not a sequence", hint="Write tools=[...].")
        key = tuple(tools)
        if not all(isinstance(entry, _ENTRY) for entry in key):
            key = tuple(entry if isinstance(entry, _ENTRY) else self._find_tool(entry) for entry in key)
        known = self._toolsets.get(key)
        if known is None:
            opened: dict[Toolkit, str] = {}
            hidden: list[Tool] = []
            shown = [tool for entry in key for tool in self._list_tools(entry, opened, hidden)]
            if closed := {toolkit: spec for toolkit, spec in opened.items() if toolkit not in self.opened}:
                raise ToolkitsClosed(closed)
            known = make_toolset(shown, hidden)
            for tool in [each for each in known.tools.values() if each.process]:
                self.workers.admit(tool)
            bounded = [tool for tool in known.tools.values() if tool.limits.concurrency is not None]
            places: dict[str, Limiter] = self.workers.places_of(bounded) if bounded else {}
            if opened:
                places = HeldPlaces(places, opened)
                self._held.add(places)
            known.places = places
            keep(self._toolsets, key, known)
        if known.places.__class__ is HeldPlaces:
            for toolkit in known.places.toolkits:
                self.opened[toolkit] = self.opened.pop(toolkit)  # moved to the end, as the last used
        return known

    def _find_tool(self, function: Any) -> Tool:
        """Return the tool of a function, made once for all agents with the function."""
        if isinstance(function, type) or not callable(function):
            raise not_a_tool_error(function, function)
        # Other callables by identity: equal objects may hold different state, and some have no hash. The object is kept
        # beside its tool, so that no other object can get the same id.
        key = function if inspect.isroutine(function) else id(function)
        known = self._functions.get(key)
        if known is None:
            known = function, as_tool(function)
            keep(self._functions, key, known)
        return known[1]

    def _list_tools(self, entry: Any, opened: dict[Toolkit, str], hidden: list[Tool]) -> Sequence[Tool]:
        """Return the tools of an entry in an agent's tools; those of a `ToolSearch` are added to `hidden` instead.

        A toolkit with `open` is added to `opened`, with its spec.
        """
        made = self._make_entry(entry) if isinstance(entry, str) else entry
        if isinstance(made, ToolSearch):
            for each in made.tools:
                inner = each if isinstance(each, _ENTRY) else self._find_tool(each)
                hidden += self._list_tools(inner, opened, hidden)
            return ()
        if isinstance(made, Toolkit) and made.open is not None:
            opened[made] = entry if isinstance(entry, str) else ""
            return self.opened.get(made, ())
        tools = made.tools if isinstance(made, Toolkit) else (made,)
        for tool in tools:
            if not isinstance(tool, Tool):
                raise not_a_tool_error(entry, tool)
        return tools

    def _make_entry(self, spec: str) -> Any:
        """Return the tool or toolkit of the spec. A toolkit with `open` is made once for all agents with the spec."""
        made = self._toolkits.get(spec)
        if made is None:
            made = self._plugins.tool(spec, self._settings)
            if hasattr(made, "bound"):
                made = self._bind(made)
            if isinstance(made, Toolkit) and made.open is not None:
                if len(self._toolkits) >= KEPT:
                    self._toolkits = {spec: known for spec, known in self._toolkits.items() if known in self.opened}
                self._toolkits[spec] = made
        return made

    def _find_form(self, given: Any, mode: OutputMode, tools: Mapping[str, Tool]) -> OutputForm:
        # Imports the schema code, needed only for an output type.
        from agno_rt._decide.output_form import output_form
        from agno_rt.output import Output

        output = given if isinstance(given, Output) else Output(given)
        mode = output.mode or mode
        names = tuple(sorted(tools)) if mode == "tool" else ()
        # The repr tells apart equal unions with members in another order, since the first fitting member is taken.
        key = (given, "" if isinstance(given, type) else repr(given), mode, names)
        try:
            known = self._outputs.get(key)
        except TypeError:
            hint = "Give a class, or a type such as list[str]."
            raise UsageError(f"an agent's output is {given!r}, which is not a type", hint=hint) from None
        if known is None:
            known = output_form(output, mode, names)
            keep(self._outputs, key, known)
        return known

    def _find_providers(self, given: Sequence[ContextProvider | str]) -> tuple[ContextProvider, ...]:
        """Return the context providers; kept for each tuple, so that a provider from a spec is made once."""
        return find_made(self._providers, given, lambda key: tuple(map(self._make_provider, key)))

    def _make_provider(self, entry: ContextProvider | str) -> ContextProvider:
        made: Any = self._plugins.context(entry, self._settings) if isinstance(entry, str) else entry
        if isinstance(made, type) or not isinstance(made, ContextProvider):
            raise not_a_provider_error(entry, made)
        return cast(ContextProvider, self._bind(made)) if hasattr(made, "bound") else made

    def _find_hooks(self, hooks: Sequence[Hook | Guardrail | Guard | str], tools: Mapping[str, Tool]) -> Hooks:
        """Return the hooks by their places; kept for each tuple, so that a guardrail from a spec is made once."""
        if isinstance(hooks, str) or not isinstance(hooks, Sequence):
            raise UsageError(f"an agent's hooks are {hooks!r}, not a sequence", hint="Write hooks=[...].")
        key = tuple(hooks)
        try:
            known = self._hooks.get(key)
        except TypeError:
            # A hook that compares by value may have no hash, and then cannot be found again.
            known = Hooks.of([self._make_hook(entry) for entry in key])
        else:
            if known is None:
                known = Hooks.of([self._make_hook(entry) for entry in key])
                keep(self._hooks, key, known)
        for hook in known.check_tools:
            hook.check_tools(tools)
        return known

    def _make_hook(self, entry: Hook | Guardrail | Guard | str) -> Hook | Guard:
        made: Any = self._plugins.guardrail(entry, self._settings) if isinstance(entry, str) else entry
        if isinstance(made, Hook):
            return self._bind(made) if hasattr(made, "bound") else made
        if not isinstance(made, Guard | Guardrail) or isinstance(made, type):
            raise not_a_hook_error(entry, made)
        guard = made if isinstance(made, Guard) else Guard(made)
        return attrs.evolve(guard, rail=self._bind(guard.rail)) if hasattr(guard.rail, "bound") else guard


def _has_dict(agent: Agent) -> bool:
    """Return whether the agent has a dict as memory policy, settings or limits."""
    return any(isinstance(value, Mapping) for value in (agent.memory, agent.settings, agent.limits))


_ENTRY = (Tool, Toolkit, str, ToolSearch)
_NOBODY = Agent(cast(Any, object()))
_NOTHING = cast(ResolvedAgent, None)
_NO_FLOW = cast("tuple[Any, Any, Any, Resolved]", (None, None, None, None))
_NO_TOOLKITS: Mapping[Toolkit, str] = {}
