"""Carries out the tool calls of one turn under trio: in place, in threads, several in one bounded nursery.

Whatever goes wrong in a tool is told to the model, and the run goes on. Knows no model and no session.
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
from agno_rt._drive.invoke_tool import Late, carry_out, in_time
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
"""What is carried out at once: a call and its place in the order, or those of a batch."""


async def call_tools(job: Job, calls: Sequence[ToolCall]) -> list[Message | Approval]:
    """The results of the calls, in their order: one call in place, several in one nursery, bounded.

    In the place of a result stands the approval of a call that waits for a person.

    Raises what ends the run: an error of a hook, or what the run's caller has to mend.
    """
    if len(calls) == 1:
        return [await _call_tool(job, calls[0])]
    results: dict[int, Message | Approval] = {}
    tools = job.tools
    for call in calls:
        tool = tools.get(call.name)
        if tool is not None and (tool.batch or not tool.parallel):
            for units in _in_order(job, calls):
                await _together(job, iter(units), len(units), results)
            break
    else:
        await _together(job, iter(enumerate(calls)), len(calls), results)
    return [results[at] for at in range(len(calls))]


def _in_order(job: Job, calls: Sequence[ToolCall]) -> list[list[_Unit]]:
    """What is carried out one after another: what may run together, then what runs alone, and so on.

    The calls of a batch are one, at the place of the first.
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


async def _together(job: Job, units: Iterator[_Unit], count: int, results: dict[int, Message | Approval]) -> None:
    async def work() -> None:
        # The workers share one iterator, so each call is taken once and no more than `tools` are under way.
        for at, call in units:
            if isinstance(call, ToolCall):
                results[cast(int, at)] = await _call_tool(job, call)
            else:
                results.update(zip(cast(list[int], at), await _call_batch(job, call), strict=True))

    if count == 1:
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
    began = time.monotonic()  # noqa: F841 - `Runtime.tasks` reads it
    if job.journal is not None:
        return await _call_durably(job, job.journal, call)
    if job.hooks is job.emitter is None:
        _, content = await _outcome(job, call)
        return Message("tool", content, (), call.id, call.name)
    asked, answer = (call, None) if job.hooks is None else await _before(job, call)
    return await _made(job, call, asked, answer)


async def _call_durably(job: Job, journal: Journal, call: ToolCall) -> Message | Approval:
    """The result of a call, from the journal if it is there; or what it waits for. Begun, it is not made again."""
    turns = job.turns
    assert turns is not None
    if (told := journal.told(turns, call)) is not None:
        return told
    if journal.under_way(turns, call):
        return await _made(job, call, call, _UNKNOWN)
    settled = await _settled(job, journal, call)
    if isinstance(settled, Approval):
        return settled
    asked, answer = settled
    tool = job.tools.get(asked.name)
    if answer is None and tool is not None and not tool.idempotent:
        await journal.starting(turns, call)
    return await _made(job, call, asked, answer)


_UNKNOWN: Told = (
    "failed",
    "It is not known whether this was done: the program ended while it was under way. It was not called again.",
)


async def _settled(job: Job, journal: Journal, call: ToolCall) -> Approval | tuple[ToolCall, Told | None]:
    """The call as it is to be made, or with an answer that is there without making it; or what it waits for."""
    assert job.turns is not None
    decided = journal.decided.get((job.turns.turn, call.id))
    if decided is not None:
        if decided.status == "pending":
            return decided
        carried = approvals.carried(job, job.tools.get(decided.call.name), decided)
        return (carried, None) if isinstance(carried, ToolCall) else (decided.call, carried)
    asked, answer = (call, None) if job.hooks is None else await _before(job, call)
    tool = job.tools.get(asked.name)
    if answer is None and tool is not None and tool.pauses:
        needed = await approvals.asked(job, tool, asked)
        if isinstance(needed, Approval):
            # Its id leads to the run.
            return attrs.evolve(needed, id=f"{job.run_id}.{needed.id[:8]}", turn=job.turns.turn)
        return asked, needed
    return asked, answer


async def _made(job: Job, call: ToolCall, asked: ToolCall, answer: Told | None) -> Message:
    """Make the call as it is `asked`, unless there is an answer already, and tell of it."""
    emitter = job.emitter
    if emitter is not None:
        await emitter.send(ToolStarted(job.run_id, asked))
    try:
        status, content = await _outcome(job, asked) if answer is None else answer
        if job.hooks is not None:
            content = await _after(job, asked, content)
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


async def _before(job: Job, call: ToolCall) -> tuple[ToolCall, Told | None]:
    """The call as the hooks make it, and the answer of one that answers in the tool's place."""
    made = await call_hooks.before_tool(job, job.hooks, call)
    if isinstance(made, str):
        return call, ("completed", made)
    # The model finds the result by the id that it gave.
    return (made if made.id == call.id else attrs.evolve(made, id=call.id)), None


async def _after(job: Job, call: ToolCall, content: Content) -> Content:
    """What the model is told, as the hooks make it; where they change nothing, media stay."""
    changed = await call_hooks.after_tool(job, job.hooks, call, in_words(content))
    return content if changed is None else changed


async def _outcome(job: Job, call: ToolCall) -> Told:
    """What the model is told of the call. Whatever goes wrong in a tool is told too, and the run goes on."""
    tool = job.tools.get(call.name)
    if tool is None:
        return "failed", f"There is no tool {call.name!r}. {suggest('tool', call.name, job.tools)}"
    if not tool.plain:
        return (await carry_out(job, tool, (call,)))[0]
    try:
        arguments = tool.decode(call.arguments)
        if tool.inline and not tool.is_async:
            value = tool.function(**arguments)
            if type(value) is CoroutineType:
                value = await value
        else:
            value = await in_time(tool, arguments, job.limits.tool_timeout)
        # The usual result is told by its type at once.
        return "completed", value if type(value) is str and value.isascii() else content_of(value)
    except (ToolArgumentError, Late) as exc:
        return "failed", text_of(exc)
    except BaseException as exc:
        if must_pass(exc):
            raise
        return "failed", failure(call.name, exc)


async def _call_batch(job: Job, calls: Sequence[ToolCall]) -> list[Message]:
    """The results of the calls of a turn to a batch tool; those that are in the journal are not made again."""
    journal, turns = job.journal, job.turns
    if journal is None:
        return await _batched(job, calls)
    assert turns is not None
    known: dict[str, Message] = {}
    rest: list[ToolCall] = []
    for call in calls:
        if (told := journal.told(turns, call)) is not None:
            known[call.id] = told
        elif journal.under_way(turns, call):
            known[call.id] = await _made(job, call, call, _UNKNOWN)
        else:
            rest.append(call)
    if rest and not job.tools[rest[0].name].idempotent:
        for call in rest:
            await journal.starting(turns, call)
    made = await _batched(job, rest) if rest else []
    known |= {call.id: message for call, message in zip(rest, made, strict=True)}
    return [known[call.id] for call in calls]


async def _batched(job: Job, calls: Sequence[ToolCall]) -> list[Message]:
    """The results of the calls of a turn to a batch tool, made as one; events and hooks see each by itself."""
    began = time.monotonic()  # noqa: F841 - as above
    emitter = job.emitter
    asked = [(call, None) if job.hooks is None else await _before(job, call) for call in calls]
    started: list[ToolCall] = []
    results: list[Message] = []
    try:
        for made, _ in asked:
            if emitter is not None:
                await emitter.send(ToolStarted(job.run_id, made))
                started.append(made)
        outcomes = await _outcomes(job, calls[0].name, asked)
        for call, (made, _), (status, content) in zip(calls, asked, outcomes, strict=True):
            told = content if job.hooks is None else await _after(job, made, content)
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


async def _outcomes(job: Job, name: str, asked: Sequence[tuple[ToolCall, Told | None]]) -> list[Told]:
    """What the model is told of each. Those that hooks answered, or sent to another tool, are not in the batch."""
    told: dict[int, Told] = {}
    for at, (call, answer) in enumerate(asked):
        if answer is not None:
            told[at] = answer
        elif call.name != name:
            told[at] = await _diverted(job, call)
    rest = [at for at in range(len(asked)) if at not in told]
    if rest:
        told |= zip(rest, await carry_out(job, job.tools[name], [asked[at][0] for at in rest]), strict=True)
    return [told[at] for at in range(len(asked))]


async def _diverted(job: Job, call: ToolCall) -> Told:
    """What the model is told of a call that a hook took out of a batch; one that has to wait is not made."""
    tool = job.tools.get(call.name)
    needed = None if tool is None else await approvals.asked(job, tool, call)
    if isinstance(needed, Approval):
        return "failed", f"{call.name} was not called: it waits for a person, which no call of a batch can do."
    return await _outcome(job, call) if needed is None else needed
