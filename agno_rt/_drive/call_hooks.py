"""Calls a run's hooks around its steps, and races guardrails with the model. Knows the protocol, no single hook.

A run without hooks has no `Hooks` and never comes here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
import trio

from agno_rt._decide.hooks import Hooks
from agno_rt._drive.job import Job
from agno_rt._drive.scopes import cause
from agno_rt.context import RunContext
from agno_rt.errors import AgnoError, Blocked, HookError
from agno_rt.events import GuardTripped
from agno_rt.failures import leaves, must_pass, named
from agno_rt.hooks import CallReview, Guard, Review, Verdict
from agno_rt.messages import Message, ToolCall
from agno_rt.models import ModelRequest, ModelResponse

__all__ = [
    "after_model",
    "after_run",
    "after_tool",
    "before_model",
    "before_run",
    "before_tool",
    "guard_messages",
    "race_guards",
    "review_call",
]


async def before_run(job: Job, hooks: Hooks) -> None:
    """Let the hooks see, change or refuse the input."""
    for hook in hooks.before_run:
        context = job.context()
        if isinstance(hook, Guard):
            job.input = tuple([await _guard_message(job, hook, context, message) for message in job.input])
        elif (changed := await _call_hook(hook, (tuple,), hook.before_run, context, job.input)) is not None:
            job.input = _check_messages(hook, changed)


async def guard_messages(job: Job, hooks: Hooks, messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return messages that were sent to the run under way, as changed by the guardrails of the input."""
    context, guards = job.context(), [hook for hook in (*hooks.before_run, *hooks.racing) if isinstance(hook, Guard)]
    for guard in guards:
        messages = [await _guard_message(job, guard, context, message) for message in messages]
    return tuple(messages)


async def after_run(job: Job, hooks: Hooks, content: str) -> str:
    """Return the answer's text as changed by the hooks."""
    for hook in hooks.after_run:
        context = job.context()
        if isinstance(hook, Guard):
            content = await _check_text(job, hook, context, "output", content)
        elif (changed := await _call_hook(hook, (str,), hook.after_run, context, content)) is not None:
            content = changed
    return content


async def before_model(job: Job, hooks: Hooks, request: ModelRequest) -> ModelRequest | ModelResponse:
    """Return the request as changed by the hooks, or the response of a hook that answers for the model."""
    for hook in hooks.before_model:
        changed = await _call_hook(hook, (ModelRequest, ModelResponse), hook.before_model, job.context(), request)
        if isinstance(changed, ModelResponse):
            return changed
        request = request if changed is None else changed
    return request


async def after_model(job: Job, hooks: Hooks, response: ModelResponse) -> ModelResponse:
    """Return the response as changed by the hooks."""
    for hook in hooks.after_model:
        changed = await _call_hook(hook, (ModelResponse,), hook.after_model, job.context(), response)
        response = response if changed is None else changed
    return response


async def before_tool(job: Job, hooks: Hooks, call: ToolCall) -> ToolCall | str:
    """Return the call as changed by the hooks, or the text of a hook that answers for the tool."""
    for hook in hooks.before_tool:
        context = attrs.evolve(job.context(), call=call)
        changed = await _call_hook(hook, (ToolCall, str), hook.before_tool, context, call)
        if isinstance(changed, str):
            return changed
        call = call if changed is None else changed
    return call


async def review_call(job: Job, hooks: Hooks, asked: CallReview) -> tuple[str, Review] | None:
    """Return the first review of a call that is about to ask a person, with the name of the hook."""
    for hook in hooks.review_call:
        context = attrs.evolve(job.context(), call=asked.call)
        review: Review | None = await _call_hook(hook, (Review,), hook.review_call, context, asked)
        if review is not None:
            return _name_hook(hook), review
    return None


async def after_tool(job: Job, hooks: Hooks, call: ToolCall, content: str) -> str | None:
    """Return the result as changed by the hooks, or `None` if they changed nothing."""
    told: str | None = None
    for hook in hooks.after_tool:
        context = attrs.evolve(job.context(), call=call)
        now = content if told is None else told
        if isinstance(hook, Guard):
            changed = await _guard_result(job, hook, context, call, now)
        else:
            changed = await _call_hook(hook, (str,), hook.after_tool, context, call, now)
        told = told if changed is None else changed
    return told


async def _guard_result(job: Job, guard: Guard, context: RunContext, call: ToolCall, content: str) -> str | None:
    """Return the text that replaces a result stopped by the guardrail, or `None` to let the result pass."""
    verdict: Verdict | None = await _call_hook(guard.rail, (Verdict,), guard.rail.check, context, content)
    if verdict is None:
        return None
    await _report_trip(job, guard, "tools", verdict)
    if verdict.text is not None:
        return verdict.text
    return f"What {call.name} returned was blocked by the guardrail {guard.rail.name}: {verdict.reason}."


async def race_guards(
    job: Job,
    hooks: Hooks,
    ask: Callable[[], Awaitable[ModelResponse]],
    passed: Callable[[], Awaitable[None]] | None = None,
) -> ModelResponse:
    """Ask the model while the racing guardrails judge the input. A guardrail that blocks the input cancels the rest.

    Once every guardrail has let the input pass, `passed` is called; the answer is returned after that.
    """
    context = job.context()
    texts = [text for message in job.input if message.role == "user" for text in _list_texts(message)]

    async def race(guard: Guard) -> None:
        for text in texts:
            if (verdict := await _call_hook(guard.rail, (Verdict,), guard.rail.check, context, text)) is not None:
                # The model already reads the input, so a replacement text comes too late and blocks instead.
                raise await _report_trip(job, guard, "input", attrs.evolve(verdict, text=None))

    async def judged() -> None:
        async with trio.open_nursery() as guards:
            for guard in hooks.racing:
                guards.start_soon(race, guard, name=f"guardrail {guard.rail.name}")
        if passed is not None:
            await passed()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(judged, name="guardrails")
            answer = await ask()
    except BaseExceptionGroup as group:
        refusal = _find_refusal(group)
        raise refusal from refusal.__cause__
    return answer


def _find_refusal(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return a guardrail's block, if any: it counts more than an error of the model at the same time."""
    blocks = [leaf for leaf in leaves(group) if isinstance(leaf, Blocked)]
    return cause(group if not blocks or must_pass(group) else blocks[0])


async def _guard_message(job: Job, guard: Guard, context: RunContext, message: Message) -> Message:
    """Return a user's message with its texts checked by the guardrail; other messages pass unchecked."""
    if message.role != "user":
        return message
    if isinstance(message.content, str):
        text = await _check_text(job, guard, context, "input", message.content)
        return message if text is message.content else attrs.evolve(message, content=text)
    parts = [
        await _check_text(job, guard, context, "input", part) if isinstance(part, str) else part
        for part in message.content
    ]
    return attrs.evolve(message, content=tuple(parts))


async def _check_text(job: Job, guard: Guard, context: RunContext, where: str, text: str) -> str:
    """Return the text, or the guardrail's text in its place. Raises `Blocked` if the guardrail stops the text."""
    verdict: Verdict | None = await _call_hook(guard.rail, (Verdict,), guard.rail.check, context, text)
    if verdict is None:
        return text
    tripped = await _report_trip(job, guard, where, verdict)
    if verdict.text is None:
        raise tripped
    return verdict.text


async def _report_trip(job: Job, guard: Guard, where: str, verdict: Verdict) -> Blocked:
    """Send the event of a guardrail that objects, and return the error to raise if it gave no other text."""
    name = guard.rail.name
    if job.emitter is not None:
        action: Any = "blocked" if verdict.text is None else "changed"
        await job.emitter.send(GuardTripped(job.run_id, name, where, action, verdict.reason))
    return Blocked(f"the guardrail {name} blocked the {where}: {verdict.reason}", guard=name, reason=verdict.reason)


def _list_texts(message: Message) -> list[str]:
    content = message.content
    return [content] if isinstance(content, str) else [part for part in content if isinstance(part, str)]


def _check_messages(hook: object, changed: tuple[Any, ...]) -> tuple[Message, ...]:
    for message in changed:
        if not isinstance(message, Message):
            raise _make_hook_error(hook, message, (Message,))
    return changed


async def _call_hook(hook: object, kinds: tuple[type, ...], ask: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Call the hook and return its value. Raises `HookError` unless the value is `None` or of these kinds."""
    try:
        said = await ask(*args)
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        name = _name_hook(hook)
        raise HookError(f"the hook {name} failed: {named(exc)}", hook=name) from exc
    if said is not None and not isinstance(said, kinds):
        raise _make_hook_error(hook, said, kinds)
    return said


def _make_hook_error(hook: object, said: object, kinds: Sequence[type]) -> HookError:
    name, expected = _name_hook(hook), " or ".join(kind.__name__ for kind in kinds)
    hint = f"Let it return a {expected}, or None to let pass what it was given."
    return HookError(f"the hook {name} returned a {type(said).__name__}", hook=name, hint=hint)


def _name_hook(hook: object) -> str:
    return str(getattr(hook, "name", type(hook).__name__))
