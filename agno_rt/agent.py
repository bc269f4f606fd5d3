"""The agent as a plain value: a model with instructions, tools, memory and limits. Knows nothing of runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, cast, get_origin, overload

import attrs

from agno_rt._schema.generics import DepsT, OutputT, TypeForm
from agno_rt.errors import UsageError, suggest
from agno_rt.hooks import Guard, Guardrail, Hook
from agno_rt.instructions import Instructions
from agno_rt.limits import Limits
from agno_rt.memory import LargeResults, MemoryPolicy, Summary, UserMemory
from agno_rt.models import NO_SETTINGS, Model, ModelSettings
from agno_rt.output import Output
from agno_rt.runnable import Drawing, Runnable
from agno_rt.tools import Tool, Toolkit, ToolSearch, tool

__all__ = ["PLAIN_MEMORY", "Agent", "ToolLike", "hint_argument", "limits_of", "memory_of", "settings_of", "tool_names"]

T = TypeVar("T", bound=attrs.AttrsInstance)

PLAIN_MEMORY = MemoryPolicy()
"""The policy of an agent without a memory policy of its own."""

ToolLike: TypeAlias = Tool | Toolkit | ToolSearch | str | Callable[..., Any]
"""An entry of an agent's `tools`. A function becomes a tool as with `@tool`."""


@attrs.define(eq=True, repr=False, weakref_slot=False)
class _AgentFields(Runnable[DepsT, OutputT]):
    """The fields of an agent, apart from `Agent`: the overloads there would hide the fields from attrs."""

    model: str | Model
    name: str = ""
    instructions: Instructions = ""
    tools: Sequence[ToolLike] = ()
    output: TypeForm[OutputT] | Output[OutputT] | None = None
    memory: MemoryPolicy | Mapping[str, Any] = PLAIN_MEMORY
    settings: ModelSettings | Mapping[str, Any] = NO_SETTINGS
    limits: Limits | Mapping[str, Any] | None = None
    hooks: Sequence[Hook | Guardrail | Guard | str] = ()
    description: str = ""

    def __hash__(self) -> int:
        # Hash only fields that are always hashable: tools may be a list, and a model may be any object.
        text = self.instructions if isinstance(self.instructions, str) else ""
        return hash((self.name, self.model if isinstance(self.model, str) else type(self.model), text))

    def drawing(self, draw: Callable[[Runnable], Drawing]) -> Drawing:
        """Return the picture of the agent: a box with the model and the tools."""
        model = self.model if isinstance(self.model, str) else self.model.name
        notes = [model, *(name if ":" in name else f"{name}()" for name in tool_names(self))]
        return Drawing(self.name or "agent", "agent", [note for note in notes if note])

    def output_schema(self) -> Mapping[str, Any] | None:
        """Return the JSON Schema of the output's type. Raises `UsageError` for a type that JSON cannot carry."""
        from agno_rt._schema.describe import type_schema  # few agents are described

        type_ = self.output.type if isinstance(self.output, Output) else self.output
        if type_ is None or type_ is str:
            return None
        return type_schema(type_, what=f"the output of agent {self.name!r}", error=UsageError)

    def __repr__(self) -> str:
        values = [(field, getattr(self, field.name)) for field in attrs.fields(_AgentFields)[1:]]
        shown = [f"{field.name}={_show_value(value)}" for field, value in values if value != field.default]
        return f"Agent({', '.join([_show_value(self.model), *shown])})"


class Agent(_AgentFields[DepsT, OutputT]):
    """A model with a name, instructions and tools. Making an agent opens nothing and computes nothing.

    Agents hold no state: make as many as you like, and share each among any number of runs, sessions and users. Agents
    with equal fields are equal. `attrs.evolve(agent, name="...")` makes a changed copy. You can set a field (a frozen
    class would be slower to create): runs that begin later see the change, for everyone who shares the agent. An agent
    that changes is lost as a key of a dict or a member of a set.

    Type checkers know the type of the answer: `Agent[Deps, Output]`. `Output` follows from `output=`, and is `None`
    without. `Deps` is `Any` unless you write the type, as in `agent: Agent[Database, Trip] = ...`; then `deps=` is
    checked.

    Attributes:
        model: a spec string such as `"llamacpp:smollm2"`, or any object that is a `Model`
        name: the name for people, routes and events
        instructions: the system message: text, a function of the `RunContext`, async or not, or a `Template`
        tools: functions, tools, toolkits, or spec strings of tools from plugins
        output: the type of the answer: an attrs or data class, a pydantic model, a TypedDict, a list, ..., or an
            `Output` with more options; `None` for text
        memory: how much of a session's past the model sees, and what else is kept: state, summaries, facts about users
        settings: temperature and the like, as `ModelSettings` or a dict of its fields
        limits: limits of each run of this agent (budgets, turns, timeouts), as `Limits` or a dict of its fields; `None`
            for the runtime's
        hooks: hooks, guardrails, or spec strings of guardrails, to call around the steps of each run
        description: one sentence for people who choose among agents, on the page and in lists. The model never sees the
            description, and nobody but the model sees the instructions
    """

    __slots__ = ()

    kind = "agent"

    if TYPE_CHECKING:

        @overload
        def __new__(
            cls,
            model: str | Model,
            name: str = "",
            instructions: Instructions = "",
            tools: Sequence[ToolLike] = (),
            output: None = None,
            memory: MemoryPolicy | Mapping[str, Any] = PLAIN_MEMORY,
            settings: ModelSettings | Mapping[str, Any] = NO_SETTINGS,
            limits: Limits | Mapping[str, Any] | None = None,
            hooks: Sequence[Hook | Guardrail | Guard | str] = (),
            description: str = "",
        ) -> Agent[Any, None]: ...

        # A separate overload for types: mypy reads `A | B` as a type only for a parameter that accepts nothing else.
        @overload
        def __new__(
            cls,
            model: str | Model,
            name: str = "",
            instructions: Instructions = "",
            tools: Sequence[ToolLike] = (),
            output: TypeForm[OutputT] = ...,
            memory: MemoryPolicy | Mapping[str, Any] = PLAIN_MEMORY,
            settings: ModelSettings | Mapping[str, Any] = NO_SETTINGS,
            limits: Limits | Mapping[str, Any] | None = None,
            hooks: Sequence[Hook | Guardrail | Guard | str] = (),
            description: str = "",
        ) -> Self: ...

        @overload
        def __new__(
            cls,
            model: str | Model,
            name: str = "",
            instructions: Instructions = "",
            tools: Sequence[ToolLike] = (),
            output: TypeForm[OutputT] | Output[OutputT] | None = None,
            memory: MemoryPolicy | Mapping[str, Any] = PLAIN_MEMORY,
            settings: ModelSettings | Mapping[str, Any] = NO_SETTINGS,
            limits: Limits | Mapping[str, Any] | None = None,
            hooks: Sequence[Hook | Guardrail | Guard | str] = (),
            description: str = "",
        ) -> Self: ...

        def __new__(cls, *args: Any, **fields: Any) -> Any: ...


# The name in Python's error for an unknown argument: people write `Agent(...)`.
_AgentFields.__init__.__qualname__ = "Agent"


def hint_argument(exc: BaseException) -> str:
    """Return the hint for Python's error about an unknown argument of `Agent`; empty for other exceptions."""
    found = re.fullmatch(r"Agent\(\) got an unexpected keyword argument '(\w+)'.*", str(exc))
    if found is None:
        return ""
    name = found[1]
    if name in {field.name for field in attrs.fields(ModelSettings)}:
        return f"Write settings={{{name!r}: ...}}."
    return suggest("argument", name, [field.name for field in attrs.fields(_AgentFields)])


_LONGEST = 60  # characters of a text in an agent's repr; other values get twice as many


def _show_value(value: Any) -> str:
    """Show a field's value in few words: functions, tools and classes by their names."""
    if isinstance(value, list | tuple):
        inner = ", ".join(map(_show_value, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    if isinstance(value, str):
        return repr(value if len(value) <= _LONGEST else f"{value[: _LONGEST - 3]}...")
    if isinstance(value, Tool | Toolkit):
        return value.name
    if get_origin(value) is None and callable(value):
        return str(getattr(value, "__qualname__", type(value).__name__))
    if getattr(type(value), "__repr__", None) is object.__repr__:
        return f"<{type(value).__name__}>"
    text = repr(value)
    return text if len(text) <= 2 * _LONGEST else f"{text[: 2 * _LONGEST - 3]}..."


def settings_of(given: ModelSettings | Mapping[str, Any]) -> ModelSettings:
    """Return the settings, built from a dict if needed. Raises `UsageError` for an unknown key."""
    return _build_value(ModelSettings, given, "settings")


def limits_of(given: Limits | Mapping[str, Any]) -> Limits:
    """Return the limits, built from a dict if needed. Raises `UsageError` for an unknown key or a wrong value."""
    return _build_value(Limits, given, "limits")


def memory_of(given: MemoryPolicy | Mapping[str, Any]) -> MemoryPolicy:
    """Return the policy, built from a dict if needed. Raises `UsageError` for an unknown key or a wrong value."""
    if isinstance(given, Mapping):
        # A file or a request has tables within the table, and attrs converts no nested dicts.
        given = dict(given)
        for key, type_ in (("summary", Summary), ("facts", UserMemory), ("results", LargeResults)):
            if key in given:
                given[key] = _build_value(type_, given[key], f"{key} of memory")
    return _build_value(MemoryPolicy, given, "memory")


def tool_names(agent: _AgentFields[Any, Any]) -> list[str]:
    """Return the names of the agent's tools, or the spec of a tool made by a plugin, without making the tool."""
    names: list[str] = []
    entries = [each for entry in agent.tools for each in (entry.tools if isinstance(entry, ToolSearch) else (entry,))]
    for entry in entries:
        if isinstance(entry, str):
            names.append(entry)
        elif isinstance(entry, Toolkit):
            names += [entry.name] if entry.open is not None else [each.name for each in entry.tools]
        else:
            names.append((entry if isinstance(entry, Tool) else tool(entry)).name)
    return names


def _build_value(type_: type[T], given: Any, what: str) -> T:
    """Build a value from a dict of its fields; return anything else unchanged, for the caller to check."""
    if not isinstance(given, Mapping):
        return cast(T, given)
    known = [field.name for field in attrs.fields(type_)]
    for key in given:
        if key not in known:
            raise UsageError(f"{what} has an unknown key {key!r}", hint=suggest("key", str(key), known))
    return type_(**given)
