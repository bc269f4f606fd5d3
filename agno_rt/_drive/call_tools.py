"""Carries out the tool calls of one turn under trio: one in place, several in one bounded nursery.

A tool's failure becomes a result for the model, and the run goes on. Knows no model and no session.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from types import CoroutineType
from typing import TypeAlias, cast

import attrs
import trio

from agno_rt._decide.tool_results import Told, content_of, failure, in_words
from agno_rt._drive import approvals, call_hooks
from agno_rt._drive.invoke_tool import Late, call_in_time, invoke_tool
from agno_rt._drive.job import Job
from agno_rt._drive.scopes import ended_as, raise_first
from agno_rt._drive.write_journal import Journal
from agno_rt.errors import suggest
from agno_rt.events import ToolEnded, ToolStarted
from agno_rt.failures import must_pass, text_of
from agno_rt.messages import Content, Message, ToolCall
from agno_rt.run_store import Approval
from agno_rt.tools import ToolArgumentError

__all__ = ["call_tools"]

_Unit: TypeAlias = tuple[int, ToolCall] | tuple[list[int], list[ToolCall]]
"""One piece of work: a call with its place in the order, or the calls of a batch with their places."""


async def call_tools(job: Job, calls: Sequence[ToolCall]) -> list[Message | Approval]:
    """Carry out the calls and return their results in the calls' order.

    A call waiting for a person has its Approval in place of the result. Raises only errors that end the run: a hook's,
    or a mistake of the run's caller.
    """
    if len(calls) == 1:
        return [await _call_tool(job, calls[0])]
    results: dict[int, Message | Approval] = {}
    tools = job.tools
    for call in calls:
        tool = tools.get(call.name)
        if tool is not None and (tool.batch or not tool.parallel):
            for units in _split_steps(job, calls):
                await _run_step(job, iter(units), len(units), results)
            break
    else:
        await _run_step(job, iter(enumerate(calls)), len(calls), results)
    return [results[at] for at in range(len(calls))]


def _split_steps(job: Job, calls: Sequence[ToolCall]) -> list[list[_Unit]]:
    """Split the calls into steps to take one after another; the units of a step run together.

    All calls to one batch tool form one unit, at the place of the first call.
    """
    steps: list[list[_Unit]] = [[]]
    batches: dict[str, tuple[list[int], list[ToolCall]]] = {}
    for at, call in enumerate(calls):
        tool = job.tools.get(call.name)
        unit: _Unit = at, call
        if tool is not None and tool.batch:
            known = batches.get(call.name)
            if known is not None:
                known[0].append(at)
                known[1].append(call)
                continue
            unit = batches[call.name] = [at], [call]
        if tool is None or tool.parallel:
            steps[-1].append(unit)
        else:
            steps += [unit], []
    return [step for step in steps if step]


async def _run_step(job: Job, units: Iterator[_Unit], count: int, results: dict[int, Message | Approval]) -> None:
    """Carry out `count` units, at most `Limits.tools` at once, and put their results into `results`."""

    async def work() -> None:
        # The workers share one iterator, so each unit is taken once, and the workers bound the calls under way.
        for at, call in units:
            if isinstance(call, ToolCall):
                results[cast(int, at)] = await _call_tool(job, call)
            else:
                results.update(zip(cast(list[int], at), await _call_batch(job, call), strict=True))

    if count == 1:  # in place, as a nursery costs a task
        await work()
        return
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(min(count, job.limits.tools)):
                nursery.start_soon(work)
    except BaseExceptionGroup as group:
        # Several calls may fail in the same way before the first failure has cancelled the rest.
        raise_first(group)


async def _call_tool(job: Job, call: ToolCall) -> Message | Approval:
    began = time.monotonic()  # noqa: F841 - `Runtime.tasks` reads the variable from this frame
    if job.journal is not None:
        return await _call_durably(job, job.journal, call)
    if job.hooks is job.emitter is None:
        # The plain call: no event, hook or journal entry needs the status, and one function fewer is called.
        _, content = await _run_tool(job, call)
        return Message("tool", content, (), call.id, call.name)
    asked, answer = (call, None) if job.hooks is None else await _apply_before_hooks(job, call)
    return await _finish_call(job, call, asked, answer)


async def _call_durably(job: Job, journal: Journal, call: ToolCall) -> Message | Approval:
    """Return the call's result, from the journal if stored there, or its Approval. A begun call is not repeated."""
    turns = job.turns
    assert turns is not None
    if (told := journal.told(turns, call)) is not None:
        return told
    if journal.under_way(turns, call):
        return await _finish_call(job, call, call, _UNCERTAIN)
    settled = await _settle_call(job, journal, call)
    if isinstance(settled, Approval):
        return settled
    asked, answer = settled
    tool = job.tools.get(asked.name)
    if answer is None and tool is not None and not tool.idempotent:
        # Stored before the call, so that a process resuming after a crash does not repeat a side effect.
        await journal.starting(turns, call)
    return await _finish_call(job, call, asked, answer)


_UNCERTAIN: Told = (
    "failed",
    "It is not known whether this was done: the program ended while it was under way. It was not called again.",
)
"""The result of a call that an earlier process began and did not finish."""


async def _settle_call(job: Job, journal: Journal, call: ToolCall) -> Approval | tuple[ToolCall, Told | None]:
    """Apply hooks and approvals. Return (call, None) to run it, (call, answer) to skip it, or the pending Approval."""
    assert job.turns is not None
    decided = journal.decided.get((job.turns.turn, call.id))
    if decided is not None:
        if decided.status == "pending":
            return decided
        carried = approvals.apply_decision(job, job.tools.get(decided.call.name), decided)
        return (carried, None) if isinstance(carried, ToolCall) else (decided.call, carried)
    asked, answer = (call, None) if job.hooks is None else await _apply_before_hooks(job, call)
    tool = job.tools.get(asked.name)
    if answer is None and tool is not None and tool.pauses:
        needed = await approvals.require_approval(job, tool, asked)
        if isinstance(needed, Approval):
            # The id begins with the run's, so that the run can be found by an approval's id alone.
            return attrs.evolve(needed, id=f"{job.run_id}.{needed.id[:8]}", turn=job.turns.turn)
        return asked, needed
    return asked, answer


async def _finish_call(job: Job, call: ToolCall, asked: ToolCall, answer: Told | None) -> Message:
    """Run the call as `asked`, or use the `answer`; send events, store the result, return the message."""
    emitter = job.emitter
    if emitter is not None:
        await emitter.send(ToolStarted(job.run_id, asked))
    try:
        status, content = await _run_tool(job, asked) if answer is None else answer
        if job.hooks is not None:
            content = await _apply_after_hooks(job, asked, content)
        if job.journal is not None:
            assert job.turns is not None
            await job.journal.called(job.turns, call, (status, content), job.called)
    except BaseException as exc:
        if emitter is not None:
            emitter.post(ToolEnded(job.run_id, asked, ended_as(exc), ""))
        raise
    if emitter is not None:
        emitter.post(ToolEnded(job.run_id, asked, status, content if type(content) is str else in_words(content)))
    return Message("tool", content, (), call.id, call.name)


async def _apply_before_hooks(job: Job, call: ToolCall) -> tuple[ToolCall, Told | None]:
    """Return the call as changed by the hooks, and the answer of a hook that replaces the tool, or None."""
    made = await call_hooks.before_tool(job, job.hooks, call)
    if isinstance(made, str):
        return call, ("completed", made)
    # The model matches the result with its call by the id, so a hook cannot change the id.
    return (made if made.id == call.id else attrs.evolve(made, id=call.id)), None


async def _apply_after_hooks(job: Job, call: ToolCall, content: Content) -> Content:
    """Return the result as changed by the hooks. Hooks see text; an unchanged result keeps its media."""
    changed = await call_hooks.after_tool(job, job.hooks, call, in_words(content))
    return content if changed is None else changed


async def _run_tool(job: Job, call: ToolCall) -> Told:
    """Run the tool and return its result for the model. A tool's failure is a result too, and the run goes on."""
    tool = job.tools.get(call.name)
    if tool is None:
        return "failed", f"There is no tool {call.name!r}. {suggest('tool', call.name, job.tools)}"
    if not tool.plain:
        return (await invoke_tool(job, tool, (call,)))[0]
    try:
        arguments = tool.decode(call.arguments)
        if tool.inline and not tool.is_async:
            value = tool.function(**arguments)
            if type(value) is CoroutineType:
                value = await value
        else:
            value = await call_in_time(tool, arguments, job.limits.tool_timeout)
        # The usual result is plain ASCII text, which needs no conversion.
        return "completed", value if type(value) is str and value.isascii() else content_of(value)
    except (ToolArgumentError, Late) as exc:
        return "failed", text_of(exc)
    except BaseException as exc:
        if must_pass(exc):
            raise
        return "failed", failure(call.name, exc)


async def _call_batch(job: Job, calls: Sequence[ToolCall]) -> list[Message]:
    """Return the results of a turn's calls to a batch tool. Calls with a result in the journal are not repeated."""
    journal, turns = job.journal, job.turns
    if journal is None:
        return await _make_batch(job, calls)
    assert turns is not None
    known: dict[str, Message] = {}
    rest: list[ToolCall] = []
    for call in calls:
        if (told := journal.told(turns, call)) is not None:
            known[call.id] = told
        elif journal.under_way(turns, call):
            known[call.id] = await _finish_call(job, call, call, _UNCERTAIN)
        else:
            rest.append(call)
    if rest and not job.tools[rest[0].name].idempotent:
        for call in rest:
            await journal.starting(turns, call)
    made = await _make_batch(job, rest) if rest else []
    known |= {call.id: message for call, message in zip(rest, made, strict=True)}
    return [known[call.id] for call in calls]


async def _make_batch(job: Job, calls: Sequence[ToolCall]) -> list[Message]:
    """Run the calls of a turn to a batch tool as one; events, hooks and the journal see each call by itself."""
    began = time.monotonic()  # noqa: F841 - `Runtime.tasks` reads the variable from this frame
    emitter = job.emitter
    asked = [(call, None) if job.hooks is None else await _apply_before_hooks(job, call) for call in calls]
    started: list[ToolCall] = []
    results: list[Message] = []
    try:
        for made, _ in asked:
            if emitter is not None:
                await emitter.send(ToolStarted(job.run_id, made))
                started.append(made)
        outcomes = await _run_batch(job, calls[0].name, asked)
        for call, (made, _), (status, content) in zip(calls, asked, outcomes, strict=True):
            told = content if job.hooks is None else await _apply_after_hooks(job, made, content)
            if job.journal is not None:
                assert job.turns is not None
                await job.journal.called(job.turns, call, (status, told), job.called)
            results.append(Message("tool", told, (), call.id, call.name))
            if emitter is not None:
                started.remove(made)
                emitter.post(ToolEnded(job.run_id, made, status, in_words(told)))
    except BaseException as exc:
        if emitter is not None:
            for made in started:
                emitter.post(ToolEnded(job.run_id, made, ended_as(exc), ""))
        raise
    return results


async def _run_batch(job: Job, name: str, asked: Sequence[tuple[ToolCall, Told | None]]) -> list[Told]:
    """Return the result of each call. Calls answered by a hook, or sent to another tool, leave the batch."""
    told: dict[int, Told] = {}
    for at, (call, answer) in enumerate(asked):
        if answer is not None:
            told[at] = answer
        elif call.name != name:
            told[at] = await _run_diverted(job, call)
    rest = [at for at in range(len(asked)) if at not in told]
    if rest:
        told |= zip(rest, await invoke_tool(job, job.tools[name], [asked[at][0] for at in rest]), strict=True)
    return [told[at] for at in range(len(asked))]


async def _run_diverted(job: Job, call: ToolCall) -> Told:
    """Run a call that a hook moved out of a batch. A call that needs a person is refused."""
    tool = job.tools.get(call.name)
    needed = None if tool is None else await approvals.require_approval(job, tool, call)
    if isinstance(needed, Approval):
        return "failed", f"{call.name} was not called: it needs a person, and a call of a batch cannot wait for one."
    return await _run_tool(job, call) if needed is None else needed
