"""Says which field of an agent has a value of the wrong kind, before anything starts. Pure.

An agent itself checks nothing when it is made, so that it costs no more than its slots.
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
from agno_rt.memory import MemoryPolicy, Summary, UserMemory
from agno_rt.models import ModelSettings

__all__ = ["check_agent", "check_limits", "check_values"]

_Fits: TypeAlias = Callable[[Any], bool]
_Rule: TypeAlias = tuple[_Fits, str, str]
"""Whether a value fits the field, what it should be, and what to write."""


def check_agent(agent: Agent) -> None:
    """Raise `UsageError` for something else than an agent, and for a name or instructions of the wrong kind."""
    if not isinstance(agent, Agent):
        raise UsageError(f"{repr_of(agent)} is not an Agent", hint="Write Agent('llamacpp:smollm2', ...).")
    _check("", agent, _AGENT)


def check_values(memory: MemoryPolicy, settings: ModelSettings, limits: Limits | None) -> None:
    """Raise `UsageError` for the first of an agent's values, or of what is in it, that has the wrong kind."""
    _refuse("memory", memory, _VALUES["memory"])
    _refuse("settings", settings, _VALUES["settings"])
    check_limits(limits)
    _check("settings.", settings, _SETTINGS)
    _check("memory.", memory, _MEMORY)
    if memory.summary is not None:
        _check("memory.summary.", memory.summary, _SUMMARY)
    if memory.facts is not None:
        _check("memory.facts.", memory.facts, _FACTS)


def check_limits(limits: object) -> None:
    """Raise `UsageError` for limits that are not `Limits`."""
    _refuse("limits", limits, _VALUES["limits"])


def _is_instructions(value: object) -> bool:
    return isinstance(value, str | Template) or callable(value)


def _check(place: str, holder: object, rules: Mapping[str, _Rule]) -> None:
    for field, rule in rules.items():
        _refuse(f"{place}{field}", getattr(holder, field), rule)


def _refuse(field: str, value: object, rule: _Rule) -> None:
    fits, wanted, remedy = rule
    if not fits(value):
        raise UsageError(f"{field} is {repr_of(value)}, not {wanted}", hint=remedy)


def _kind(*kinds: type) -> _Fits:
    return lambda value: isinstance(value, kinds)


def _or_none(fits: _Fits) -> _Fits:
    return lambda value: value is None or fits(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


_AGENT: Mapping[str, _Rule] = {
    "name": (_kind(str), "text", "Write name='assistant', or leave it out."),
    "instructions": (
        _is_instructions,
        "text or a function",
        "Give text, a function of the RunContext, or a Template.",
    ),
    "description": (_kind(str), "text", "Write description='Answers from the handbook', or leave it out."),
}
_VALUES: Mapping[str, _Rule] = {
    "memory": (
        _kind(MemoryPolicy),
        "a MemoryPolicy",
        "Write memory=MemoryPolicy(...). Where sessions are stored, the runtime is told: Runtime(memory='sqlite:///a.db').",
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
_SUMMARY: Mapping[str, _Rule] = {
    "prompt": (_kind(str), "text", "Write what the model is told to do, or leave it out."),
}
_FACTS: Mapping[str, _Rule] = {
    "tools": (_kind(bool), "True or False", "Write tools=False where the model is not to keep facts."),
}
