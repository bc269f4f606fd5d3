"""Carries out the run of a runnable that conducts other runnables. Knows no kind of runnable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from agno_rt._decide.turns import Turns
from agno_rt._drive.flow import LiveFlow
from agno_rt._drive.job import Job, Resolved
from agno_rt._drive.scopes import cause
from agno_rt._schema.pydantic_types import plain_value
from agno_rt.errors import AgnoError, HookError
from agno_rt.failures import must_pass, named
from agno_rt.messages import Message
from agno_rt.result import RunResult
from agno_rt.runnable import Flow

__all__ = ["ResolvedFlow", "conduct"]


class ResolvedFlow(Resolved, kw_only=True):
    """The resolved parts of a conducting runnable: its `conduct`, and the runtime's `run` for the runs within."""

    conduct: Callable[[Flow, tuple[Message, ...]], Awaitable[Any]]
    run: Callable[..., Coroutine[Any, Any, RunResult]]


async def conduct(job: Job[ResolvedFlow], turns: Turns) -> None:
    """Call the runnable's `conduct`, and take in the answer."""
    flow = LiveFlow(job, turns)
    try:
        with flow.opened():
            answer = await job.resolved.conduct(flow, job.input)
    except BaseException as exc:
        bare = cause(exc)  # the runnable's own nurseries put a single failure into a group
        if bare is exc and isinstance(exc, AgnoError):
            raise
        if must_pass(exc):
            raise
        if isinstance(bare, AgnoError):
            raise bare from bare.__cause__
        raise HookError(f"{job.agent or 'a runnable'} failed: {named(bare)}", hook="conduct") from bare
    if isinstance(answer, RunResult):
        speaker = answer.messages[-1].name if answer.messages else None
        turns.conclude(answer.content, answer.output, answer.finish_reason, speaker)
    elif answer is None or isinstance(answer, str):
        turns.conclude(answer or "")
    else:
        turns.conclude(_encode_answer(job.agent, answer), answer)


def _encode_answer(name: str, answer: object) -> str:
    try:
        return msgspec.json.encode(answer, enc_hook=plain_value).decode()
    except (TypeError, ValueError) as exc:
        hint = "Let its conduct return a text, a RunResult, or a value that JSON can carry."
        raise HookError(f"{name or 'a runnable'} returned {named(exc)}", hook="conduct", hint=hint) from exc
