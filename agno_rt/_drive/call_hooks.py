"""Calls the hooks of a run around its steps, and races guardrails with the model. Knows what hooks are, not which.

A run without hooks has no `Hooks` and never comes here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
import msgspec
import trio

from agno_rt._drive.job import Job
from agno_rt._drive.scopes import cause
from agno_rt.context import RunContext
from agno_rt.errors import AgnoError, Blocked, HookError
from agno_rt.events import GuardTripped
from agno_rt.failures import leaves, must_pass, named
from agno_rt.hooks import Guard, Hook, Verdict
from agno_rt.messages import Message, ToolCall
from agno_rt.models import ModelRequest, ModelResponse

__all__ = ["Hooks", "after_model", "after_run", "after_tool", "before_model", "before_run", "before_tool", "raced"]


class Hooks(msgspec.Struct, frozen=True, eq=False):
    """The hooks of an agent, each in the places where it has something to say. Make it with `of`."""

    before_run: tuple[Hook | Guard, ...] = ()
    after_run: tuple[Hook | Guard, ...] = ()
    before_model: tuple[Hook, ...] = ()
    after_model: tuple[Hook, ...] = ()
    before_tool: tuple[Hook, ...] = ()
    after_tool: tuple[Hook | Guard, ...] = ()
    racing: tuple[Guard, ...] = ()
    holds: bool = False

    @classmethod
    def of(cls, hooks: Sequence[Hook | Guard]) -> Hooks:
        """Sort the hooks by their places: those before a step in order, those after it in the reverse order."""
        guards = [hook for hook in hooks if isinstance(hook, Guard)]
        others = [hook for hook in hooks if isinstance(hook, Hook)]
        input_guards = [guard for guard in guards if "input" in guard.on]
        output_guards = [guard for guard in guards if "output" in guard.on]
        tool_guards = [guard for guard in guards if "tools" in guard.on]
        waiting = [guard for guard in input_guards if not guard.race]
        return cls(
            before_run=tuple(hook for hook in hooks if hook in waiting or hook in _having(others, "before_run")),
            after_run=tuple(
                hook for hook in hooks[::-1] if hook in output_guards or hook in _having(others, "after_run")
            ),
            before_model=_having(others, "before_model"),
            after_model=_having(others, "after_model")[::-1],
            before_tool=_having(others, "before_tool"),
            after_tool=tuple(
                hook for hook in hooks[::-1] if hook in tool_guards or hook in _having(others, "after_tool")
            ),
            racing=tuple(guard for guard in input_guards if guard.race),
            holds=bool(output_guards) or any(hook.holds for hook in others),
        )


def _having(hooks: Sequence[Hook], method: str) -> tuple[Hook, ...]:
    """The hooks that say something there: those that override the method."""
    return tuple(hook for hook in hooks if getattr(type(hook), method) is not getattr(Hook, method))


async def before_run(job: Job, hooks: Hooks) -> None:
    """Let the hooks see, change or refuse the input."""
    for hook in hooks.before_run:
        context = job.context()
        if isinstance(hook, Guard):
            job.input = tuple([await _guarded(job, hook, context, message) for message in job.input])
        elif (changed := await _called(hook, (tuple,), hook.before_run, context, job.input)) is not None:
            job.input = _all_messages(hook, changed)


async def after_run(job: Job, hooks: Hooks, content: str) -> str:
    """What the hooks make of a text that would be the answer."""
    for hook in hooks.after_run:
        context = job.context()
        if isinstance(hook, Guard):
            content = await _checked(job, hook, context, "output", content)
        elif (changed := await _called(hook, (str,), hook.after_run, context, content)) is not None:
            content = changed
    return content


async def before_model(job: Job, hooks: Hooks, request: ModelRequest) -> ModelRequest | ModelResponse:
    """The request as the hooks make it, or the answer of one that gives it in the model's place."""
    for hook in hooks.before_model:
        changed = await _called(hook, (ModelRequest, ModelResponse), hook.before_model, job.context(), request)
        if isinstance(changed, ModelResponse):
            return changed
        request = request if changed is None else changed
    return request


async def after_model(job: Job, hooks: Hooks, response: ModelResponse) -> ModelResponse:
    """The response as the hooks make it."""
    for hook in hooks.after_model:
        changed = await _called(hook, (ModelResponse,), hook.after_model, job.context(), response)
        response = response if changed is None else changed
    return response


async def before_tool(job: Job, hooks: Hooks, call: ToolCall) -> ToolCall | str:
    """The call as the hooks make it, or the text of one that answers in the tool's place."""
    for hook in hooks.before_tool:
        context = attrs.evolve(job.context(), call=call)
        changed = await _called(hook, (ToolCall, str), hook.before_tool, context, call)
        if isinstance(changed, str):
            return changed
        call = call if changed is None else changed
    return call


async def after_tool(job: Job, hooks: Hooks, call: ToolCall, content: str) -> str | None:
    """What the model is to be told instead, or `None` where the hooks changed nothing."""
    told: str | None = None
    for hook in hooks.after_tool:
        context = attrs.evolve(job.context(), call=call)
        now = content if told is None else told
        if isinstance(hook, Guard):
            changed = await _guarded_result(job, hook, context, call, now)
        else:
            changed = await _called(hook, (str,), hook.after_tool, context, call, now)
        told = told if changed is None else changed
    return told


async def _guarded_result(job: Job, guard: Guard, context: RunContext, call: ToolCall, content: str) -> str | None:
    """What the model is told in the place of a result that the guardrail does not let pass."""
    verdict: Verdict | None = await _called(guard.rail, (Verdict,), guard.rail.check, context, content)
    if verdict is None:
        return None
    await _tripped(job, guard, "tools", verdict)
    if verdict.text is not None:
        return verdict.text
    return f"What {call.name} returned was blocked by the guardrail {guard.rail.name}: {verdict.reason}."


async def raced(
    job: Job,
    hooks: Hooks,
    ask: Callable[[], Awaitable[ModelResponse]],
    passed: Callable[[], Awaitable[None]] | None = None,
) -> ModelResponse:
    """Ask the model while the racing guardrails judge the input: one that blocks it cancels the rest at once.

    Returns when there is an answer and every guardrail has let the input pass; `passed` is called when they have.
    """
    context = job.context()
    texts = [text for message in job.input if message.role == "user" for text in _texts(message)]

    async def race(guard: Guard) -> None:
        for text in texts:
            if (verdict := await _called(guard.rail, (Verdict,), guard.rail.check, context, text)) is not None:
                raise await _tripped(job, guard, "input", attrs.evolve(verdict, text=None))

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
        refusal = _refusal(group)
        raise refusal from refusal.__cause__
    return answer


def _refusal(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """A block is the news, whatever the model raised at the same time."""
    blocks = [leaf for leaf in leaves(group) if isinstance(leaf, Blocked)]
    return cause(group if not blocks or must_pass(group) else blocks[0])


async def _guarded(job: Job, guard: Guard, context: RunContext, message: Message) -> Message:
    """A message of the user's, as the guardrail lets it pass; others are not the input's."""
    if message.role != "user":
        return message
    if isinstance(message.content, str):
        text = await _checked(job, guard, context, "input", message.content)
        return message if text is message.content else attrs.evolve(message, content=text)
    parts = [
        await _checked(job, guard, context, "input", part) if isinstance(part, str) else part
        for part in message.content
    ]
    return attrs.evolve(message, content=tuple(parts))


async def _checked(job: Job, guard: Guard, context: RunContext, where: str, text: str) -> str:
    verdict: Verdict | None = await _called(guard.rail, (Verdict,), guard.rail.check, context, text)
    if verdict is None:
        return text
    tripped = await _tripped(job, guard, where, verdict)
    if verdict.text is None:
        raise tripped
    return verdict.text


async def _tripped(job: Job, guard: Guard, where: str, verdict: Verdict) -> Blocked:
    name = guard.rail.name
    if job.emitter is not None:
        action: Any = "blocked" if verdict.text is None else "changed"
        await job.emitter.send(GuardTripped(job.run_id, name, where, action, verdict.reason))
    return Blocked(f"the guardrail {name} blocked the {where}: {verdict.reason}", guard=name, reason=verdict.reason)


def _texts(message: Message) -> list[str]:
    content = message.content
    return [content] if isinstance(content, str) else [part for part in content if isinstance(part, str)]


def _all_messages(hook: object, changed: tuple[Any, ...]) -> tuple[Message, ...]:
    for message in changed:
        if not isinstance(message, Message):
            raise _nonsense(hook, message, (Message,))
    return changed


async def _called(hook: object, kinds: tuple[type, ...], ask: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """What the hook says: nothing, or a value of one of these kinds."""
    try:
        said = await ask(*args)
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        name = _name(hook)
        raise HookError(f"the hook {name} failed: {named(exc)}", hook=name) from exc
    if said is not None and not isinstance(said, kinds):
        raise _nonsense(hook, said, kinds)
    return said


def _nonsense(hook: object, said: object, kinds: Sequence[type]) -> HookError:
    name, expected = _name(hook), " or ".join(kind.__name__ for kind in kinds)
    hint = f"Let it return a {expected}, or None to let pass what it was given."
    return HookError(f"the hook {name} returned a {type(said).__name__}", hook=name, hint=hint)


def _name(hook: object) -> str:
    return str(getattr(hook, "name", type(hook).__name__))
