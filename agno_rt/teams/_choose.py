"""Lets a function or a model decide: on the next member, on the end. A model answers by a type, not in prose."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs

from agno_rt.agent import Agent
from agno_rt.errors import NotFound, UsageError
from agno_rt.messages import Message
from agno_rt.runnable import Flow, Runnable
from agno_rt.teams._words import add_instructions, describe_members
from agno_rt.teams.mode import Members

__all__ = [
    "NOBODY",
    "ask_agent",
    "ask_whether",
    "call_function",
    "check_decider",
    "choose_member",
    "name_choice",
    "name_function",
]

NOBODY = "nobody"
"""The choice of a model for none of the members."""


def check_decider(field: str, decider: object) -> None:
    """Raise `UsageError` unless the decider is a function, or an agent without an output type."""
    if isinstance(decider, Agent):
        if decider.output is not None:
            hint = f"Leave out its output: {field} gives the agent the type of its answer."
            raise UsageError(f"the agent {decider.name!r} in {field} has an output type", hint=hint)
    elif isinstance(decider, Runnable) or not callable(decider):
        raise UsageError(f"{field} is {decider!r}", hint="Give an Agent, or a function.")


async def call_function(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function, async or not."""
    value = function(*args)
    return await value if inspect.isawaitable(value) else value


async def ask_agent(flow: Flow, agent: Agent, output: Any, text: str, input: Sequence[Message]) -> Any:
    """Ask a copy of the agent, with the text at the end of its instructions, for an answer of the type."""
    copy = attrs.evolve(agent, output=output, instructions=add_instructions(agent, text))
    return (await flow.run(copy, tuple(input))).output


async def ask_whether(flow: Flow, judge: Agent, question: str, input: Sequence[Message]) -> bool:
    """Ask the judge a question, and return the answer."""
    return bool(await ask_agent(flow, judge, bool, f"{question} Answer true or false.", input))


async def choose_member(
    flow: Flow, agent: Agent, members: Members, input: Sequence[Message], *, question: str, or_nobody: bool
) -> str | None:
    """Ask the agent for the name of a member. The answer's type has the members' names and no others."""
    names = (*members.names, NOBODY) if or_nobody else members.names
    text = f"{question}\n{describe_members(members)}"
    if or_nobody:
        text = f"{text}\n- {NOBODY}: none of the others fits"
    chosen = await ask_agent(flow, agent, Literal[names], text, input)
    return None if or_nobody and chosen == NOBODY else str(chosen)


def name_choice(field: str, chosen: Any, members: Members) -> str | None:
    """Return the name of a function's choice, given as a member or a name; `None` for nobody."""
    if chosen is None:
        return None
    name = chosen.name if isinstance(chosen, Runnable) else chosen
    if name not in members.names:
        raise NotFound("member", str(name), members.names, where=f"returned by {field}")
    return str(name)


def name_function(function: Callable[..., Any]) -> str:
    """Return a function's name, for pictures."""
    return str(getattr(function, "__name__", "") or type(function).__name__)
