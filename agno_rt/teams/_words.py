"""The texts between members: notes, answers with names, lists of members. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from agno_rt.agent import Agent
from agno_rt.context import RunContext
from agno_rt.errors import AgnoError, UsageError
from agno_rt.failures import named, text_of
from agno_rt.instructions import Instructions
from agno_rt.messages import Message
from agno_rt.result import RunResult
from agno_rt.runnable import Flow
from agno_rt.teams.mode import Members

__all__ = [
    "Share",
    "add_instructions",
    "add_note",
    "check_share",
    "collect_outputs",
    "describe_members",
    "put_history",
    "require_answer",
    "share_input",
    "tell_answer",
    "tell_answers",
    "text_of_input",
]

Share: TypeAlias = Literal["task", "history"]
"""The part of a conversation for members: the task alone, or the session's history as well."""


def check_share(mode: str, share: str) -> None:
    """Raise `UsageError` for an unknown value of `share`."""
    if share not in ("task", "history"):
        raise UsageError(f"share of {mode} is {share!r}", hint="Give 'task', or 'history' for the session's history.")


def put_history(flow: Flow, input: Sequence[Message]) -> tuple[Message, ...]:
    """Return the session's history and the input. Assistants' names, which services may refuse, are left out."""
    history = (
        attrs.evolve(each, name=None) if each.role == "assistant" and each.name else each for each in flow.history
    )
    return (*history, *input)


def share_input(flow: Flow, input: Sequence[Message], share: Share) -> tuple[Message, ...]:
    """Return the part of the conversation for a member."""
    return put_history(flow, input) if share == "history" else tuple(input)


def text_of_input(input: Iterable[Message]) -> str:
    """Return the texts of the input's user messages."""
    return "\n\n".join(message.text for message in input if message.role == "user")


def add_note(input: Sequence[Message], note: str) -> tuple[Message, ...]:
    """Return the input with the note at the end, within the last message if the user wrote the message."""
    if not input or input[-1].role != "user":
        return (*input, Message("user", note))
    last = input[-1]
    content = f"{last.content}\n\n{note}" if isinstance(last.content, str) else (*last.content, note)
    return (*input[:-1], attrs.evolve(last, content=content))


def tell_answer(answer: RunResult | BaseException) -> str:
    """Return an answer's text, or the failure in words."""
    if isinstance(answer, RunResult):
        return answer.content
    return f"failed: {text_of(answer) if isinstance(answer, AgnoError) else named(answer)}"


def tell_answers(names: Iterable[str], answers: Iterable[RunResult | BaseException]) -> str:
    """Return all answers, each after its member's name in brackets."""
    # Without a call for each answer of a large team, here and in `collect_outputs`.
    told = [
        f"[{name}]\n{answer.content if answer.__class__ is RunResult else tell_answer(answer)}"
        for name, answer in zip(names, answers, strict=True)
    ]
    return "\n\n".join(told)


def require_answer(answers: Sequence[RunResult | BaseException]) -> None:
    """Raise the first failure if there is no answer at all."""
    if not any(isinstance(answer, RunResult) for answer in answers):
        raise next(answer for answer in answers if isinstance(answer, BaseException))


def collect_outputs(names: Iterable[str], answers: Iterable[RunResult | BaseException]) -> dict[str, Any]:
    """Return each answer's output, or text, or failure in words, by the member's name."""
    return {
        name: (answer.content if answer.output is None else answer.output)
        if answer.__class__ is RunResult
        else tell_answer(answer)
        for name, answer in zip(names, answers, strict=True)
    }


def describe_members(members: Members) -> str:
    """Return a list of the members' names and descriptions, one a line."""
    lines = (
        f"- {name}: {member.description}".removesuffix(": ")
        for name, member in zip(members.names, members, strict=True)
    )
    return "\n".join(lines)


def add_instructions(agent: Agent, text: str) -> Instructions:
    """Return the agent's instructions with the text after them."""
    given = agent.instructions
    if isinstance(given, str):
        return f"{given}\n\n{text}" if given else text

    async def instructions(context: RunContext) -> str:
        from agno_rt._drive.render_instructions import render_instructions

        return f"{await render_instructions(given, context)}\n\n{text}"

    return instructions
