"""The agent as a plain value: what to ask, of which model, with which tools. Knows nothing of how it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from agno_rt.hooks import Guard, Guardrail, Hook
from agno_rt.instructions import Instructions
from agno_rt.limits import Limits
from agno_rt.memory import MemoryPolicy
from agno_rt.models import NO_SETTINGS, Model, ModelSettings
from agno_rt.tools import Tool, Toolkit

__all__ = ["PLAIN_MEMORY", "Agent"]

PLAIN_MEMORY = MemoryPolicy()
"""What agents that say nothing of it have."""


@attrs.define(eq=False, weakref_slot=False)
class Agent:
    """What answers: a model with a name, instructions and tools. It opens nothing and computes nothing when it is made.

    Make as many as you like, and share one among any number of runs, sessions and users: it holds no state. Treat it
    as read-only; `attrs.evolve(agent, name="...")` makes a changed copy.

    Attributes:
        model: a spec string such as `"llamacpp:smollm2"`, or anything that is a `Model`
        name: what people, routes and events call it
        instructions: the system message: text, a function of the `RunContext`, async or not, or a `Template`
        tools: tools, toolkits, or spec strings of tools that plugins provide
        output: the type that the answer must fit: an attrs or data class, a TypedDict, a list, ..., or an `Output`
            with more to say of it; `None` for text
        memory: what of a session's past the model sees, and what else is kept: state, summaries, facts about users
        settings: temperature and the like
        limits: limits of each run of this agent (budgets, turns, timeouts); `None` takes the runtime's
        hooks: what stands around each run's steps: hooks, guardrails, or guardrails' spec strings
    """

    model: str | Model
    name: str = ""
    instructions: Instructions = ""
    tools: Sequence[Tool | Toolkit | str] = ()
    output: Any = None
    memory: MemoryPolicy = PLAIN_MEMORY
    settings: ModelSettings = NO_SETTINGS
    limits: Limits | None = None
    hooks: Sequence[Hook | Guardrail | Guard | str] = ()
