"""Finds the field of an agent with a value of the wrong type, before a run starts. Pure.

`Agent()` itself checks nothing, so that making an agent costs no more than filling its slots.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from agno_rt.agent import Agent
from agno_rt.errors import UsageError
from agno_rt.failures import repr_of
from agno_rt.instructions import Template
from agno_rt.limits import Limits
from agno_rt.memory import LargeResults, MemoryPolicy, Summary, UserMemory
from agno_rt.models import ModelSettings
from agno_rt.names import check_name
from agno_rt.runnable import Runnable

__all__ = ["check_agent", "check_limits", "check_own_name", "check_runnable", "check_values"]

_Fits: TypeAlias = Callable[[Any], bool]
_Rule: TypeAlias = tuple[_Fits, str, str]
"""The test for a field's value, the expected type in words, and the hint."""


def check_agent(agent: Agent) -> None:
    """Raise `UsageError` unless the value is an agent with a name, instructions and description of the right types."""
    if not isinstance(agent, Agent):
        raise UsageError(f"{repr_of(agent)} is not an Agent", hint="Write Agent('llamacpp:smollm2', ...).")
    _check_fields("", agent, _AGENT)


def check_runnable(runnable: Runnable) -> None:
    """Raise `UsageError` for a runnable that is not an agent and cannot run, or whose fields have the wrong type."""
    if type(runnable).conduct is Runnable.conduct:
        problem = f"the {runnable.kind} {repr_of(runnable)} cannot run"
        hint = f"Write `async def conduct(self, flow, input)` in the class {type(runnable).__name__}."
        raise UsageError(problem, hint=hint)
    _check_fields("", runnable, _RUNNABLE)
    memory: Any = runnable.memory
    # Compared by type: isinstance with a Mapping would be two calls for each run of a team.
    fields = {"context": memory.context, "results": memory.results} if type(memory) is MemoryPolicy else memory
    if fields.get("context") or fields.get("results"):
        field = "context" if fields.get("context") else "results"
        hint = f"Give {field} to the agents within: memory=MemoryPolicy({field}=...)."
        raise UsageError(f"the memory policy of a {runnable.kind} has {field}, and asks no model", hint=hint)


def check_own_name(runnable: Runnable) -> None:
    """Raise `UsageError` if the runnable has a name that cannot be a name."""
    if runnable.name:
        article = "an" if runnable.kind[:1] in "aeiou" else "a"
        check_name(f"{article} {runnable.kind}'s name", runnable.name)


def check_values(memory: MemoryPolicy, settings: ModelSettings, limits: Limits | None) -> None:
    """Raise `UsageError` for the first of an agent's values, or of their fields, with the wrong type."""
    _check_field("memory", memory, _VALUES["memory"])
    _check_field("settings", settings, _VALUES["settings"])
    check_limits(limits)
    _check_fields("settings.", settings, _SETTINGS)
    _check_fields("memory.", memory, _MEMORY)
    if memory.summary is not None:
        _check_fields("memory.summary.", memory.summary, _SUMMARY)
    if memory.facts is not None:
        _check_fields("memory.facts.", memory.facts, _FACTS)
    if memory.results is not None:
        _check_field("memory.results", memory.results, _RESULTS)


def check_limits(limits: object) -> None:
    """Raise `UsageError` if the value is neither `Limits` nor `None`."""
    _check_field("limits", limits, _VALUES["limits"])


def _is_instructions(value: object) -> bool:
    return isinstance(value, str | Template) or callable(value)


def _check_fields(place: str, holder: object, rules: Mapping[str, _Rule]) -> None:
    for field, rule in rules.items():
        _check_field(f"{place}{field}", getattr(holder, field), rule)


def _check_field(field: str, value: object, rule: _Rule) -> None:
    fits, wanted, remedy = rule
    if not fits(value):
        raise UsageError(f"{field} is {repr_of(value)}, not {wanted}", hint=remedy)


def _kind(*kinds: type) -> _Fits:
    return lambda value: isinstance(value, kinds)


def _or_none(fits: _Fits) -> _Fits:
    return lambda value: value is None or fits(value)


def _is_whole(value: object) -> bool:
    # `True` is an int to Python, but max_tokens=True is a mistake.
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


_RUNNABLE: Mapping[str, _Rule] = {
    "name": (_kind(str), "text", "Write name='assistant', or leave it out."),
    "description": (_kind(str), "text", "Write description='Answers from the handbook', or leave it out."),
}
_AGENT: Mapping[str, _Rule] = {
    **_RUNNABLE,
    "instructions": (
        _is_instructions,
        "text or a function",
        "Give text, a function of the RunContext, or a Template.",
    ),
}
_VALUES: Mapping[str, _Rule] = {
    "memory": (
        _kind(MemoryPolicy),
        "a MemoryPolicy",
        "Write memory=MemoryPolicy(...). To choose where sessions are stored, use Runtime(memory='sqlite:///a.db').",
    ),
    "settings": (_kind(ModelSettings), "ModelSettings", "Write settings=ModelSettings(temperature=0)."),
    "limits": (_or_none(_kind(Limits)), "Limits", "Write limits=Limits(turns=4), or leave it out."),
}
_SETTINGS: Mapping[str, _Rule] = {
    "temperature": (_or_none(_is_number), "a number", "Write temperature=0.2, or None for the model's own."),
    "max_tokens": (_or_none(_is_whole), "a whole number", "Write max_tokens=500, or None for the model's own."),
    "seed": (_or_none(_is_whole), "a whole number", "Write seed=7, or None."),
    "tool_choice": (_kind(str), "text", "Write 'auto', 'none', 'required', or a tool's name."),
    "extra": (_kind(Mapping), "a mapping", "Write extra={'top_p': 0.9}."),
}
_MEMORY: Mapping[str, _Rule] = {
    "summary": (_or_none(_kind(Summary)), "a Summary", "Write summary=Summary(), or leave it out."),
    "facts": (_or_none(_kind(UserMemory)), "a UserMemory", "Write facts=UserMemory(), or leave it out."),
    "journal": (_kind(bool), "True or False", "Write journal=True to store each step of a run."),
}
_RESULTS: _Rule = _kind(LargeResults), "LargeResults", "Write results=LargeResults(), or leave it out."
_SUMMARY: Mapping[str, _Rule] = {
    "prompt": (_kind(str), "text", "Write the model's task as text, or leave it out."),
}
_FACTS: Mapping[str, _Rule] = {
    "tools": (_kind(bool), "True or False", "Write tools=False if the model must not keep facts."),
}
