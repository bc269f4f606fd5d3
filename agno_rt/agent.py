"""The agent as a plain value: what to ask, of which model, with which tools. Knows nothing of how it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias, TypeVar, cast, get_origin, overload

import attrs

from agno_rt._schema.generics import DepsT, OutputT, TypeForm
from agno_rt.errors import UsageError, suggest
from agno_rt.hooks import Guard, Guardrail, Hook
from agno_rt.instructions import Instructions
from agno_rt.limits import Limits
from agno_rt.memory import MemoryPolicy, Summary, UserMemory
from agno_rt.models import NO_SETTINGS, Model, ModelSettings
from agno_rt.output import Output
from agno_rt.tools import Tool, Toolkit

__all__ = ["PLAIN_MEMORY", "Agent", "ToolLike", "limits_of", "memory_of", "settings_of"]

T = TypeVar("T", bound=attrs.AttrsInstance)

PLAIN_MEMORY = MemoryPolicy()
"""What agents that say nothing of it have."""

ToolLike: TypeAlias = Tool | Toolkit | str | Callable[..., Any]
"""What may stand among an agent's tools: a function becomes a tool as `@tool` makes it one."""


@attrs.define(eq=True, repr=False, weakref_slot=False)
class _AgentFields(Generic[DepsT, OutputT]):
    """The fields of an agent, apart from `Agent`, whose overloads for type checkers would hide them from attrs."""

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
        # Of the fields that can always be hashed: tools may be a list, and a model may be any object.
        text = self.instructions if isinstance(self.instructions, str) else ""
        return hash((self.name, self.model if isinstance(self.model, str) else type(self.model), text))

    def __repr__(self) -> str:
        said = [(field, getattr(self, field.name)) for field in attrs.fields(_AgentFields)[1:]]
        shown = [f"{field.name}={_show(value)}" for field, value in said if value != field.default]
        return f"Agent({', '.join([_show(self.model), *shown])})"


class Agent(_AgentFields[DepsT, OutputT]):
    """What answers: a model with a name, instructions and tools. It opens nothing and computes nothing when it is made.

    Make as many as you like, and share one among any number of runs, sessions and users: it holds no state. Agents with
    equal fields are equal. `attrs.evolve(agent, name="...")` makes a changed copy. Setting a field of an agent is
    possible, since refusing it would make agents dear to create; runs that begin later see the change, in all who share
    the agent, and as a key of a dict or member of a set it is lost.

    Type checkers know what it answers: `Agent[Deps, Output]`. `Output` follows from `output=`, and is `None` without.
    `Deps` is `Any` unless you write it, as in `agent: Agent[Database, Trip] = ...`; then `deps=` is checked.

    Attributes:
        model: a spec string such as `"llamacpp:smollm2"`, or anything that is a `Model`
        name: what people, routes and events call it
        instructions: the system message: text, a function of the `RunContext`, async or not, or a `Template`
        tools: functions, tools, toolkits, or spec strings of tools that plugins provide
        output: the type that the answer must fit: an attrs or data class, a pydantic model, a TypedDict, a list, ...,
            or an `Output` with more to say of it; `None` for text
        memory: what of a session's past the model sees, and what else is kept: state, summaries, facts about users
        settings: temperature and the like; a dict of them will do
        limits: limits of each run of this agent (budgets, turns, timeouts), or a dict of them; `None` takes the
            runtime's
        hooks: what stands around each run's steps: hooks, guardrails, or guardrails' spec strings
        description: one sentence for people who choose among agents, on the page and in lists. The model never sees it,
            and nobody but the model sees the instructions
    """

    __slots__ = ()

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

        # One overload for a type alone: mypy reads `A | B` as a type only where nothing but a type may stand.
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


_LONGEST = 60


def _show(value: Any) -> str:
    """Show a field's value in few words: functions, tools and classes by their names."""
    if isinstance(value, list | tuple):
        inner = ", ".join(map(_show, value))
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
    """Return the settings, made of a dict where one is given. Raises `UsageError` for an unknown key."""
    return _value_of(ModelSettings, given, "settings")


def limits_of(given: Limits | Mapping[str, Any]) -> Limits:
    """Return the limits, made of a dict where one is given. Raises `UsageError` for an unknown key or wrong value."""
    return _value_of(Limits, given, "limits")


def memory_of(given: MemoryPolicy | Mapping[str, Any]) -> MemoryPolicy:
    """Return the policy, made of a dict where one is given. Raises `UsageError` for an unknown key or wrong value."""
    if isinstance(given, Mapping):
        given = dict(given)
        for key, type_ in (("summary", Summary), ("facts", UserMemory)):
            if key in given:
                given[key] = _value_of(type_, given[key], f"{key} of memory")
    return _value_of(MemoryPolicy, given, "memory")


def _value_of(type_: type[T], given: Any, what: str) -> T:
    """The value of a dict of its fields; anything else as it is, for others to check."""
    if not isinstance(given, Mapping):
        return cast(T, given)
    known = [field.name for field in attrs.fields(type_)]
    for key in given:
        if key not in known:
            raise UsageError(f"{what} has an unknown key {key!r}", hint=suggest("key", str(key), known))
    return type_(**given)
