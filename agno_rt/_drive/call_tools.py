"""Carries out the tool calls of one turn under trio: one in place, several in one bounded nursery.

A tool's failure becomes a result for the model, and the run goes on. Knows no model and no session.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator, Sequence
from types import CoroutineType
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import attrs
import msgspec
import trio

from agno_rt._decide.tool_results import Told, ToolPaused, content_of, failure, in_words
from agno_rt._drive import approvals, call_hooks
from agno_rt._drive.invoke_tool import Late, call_in_time, check_stopped, invoke_tool
from agno_rt._drive.job import Job
from agno_rt._drive.scopes import ended_as, raise_first
from agno_rt.errors import LimitExceeded, suggest
from agno_rt.events import Status, ToolEnded, ToolStarted
from agno_rt.failures import must_pass, text_of
from agno_rt.messages import Content, Message, ToolCall
from agno_rt.run_store import Approval
from agno_rt.tools import ToolArgumentError

if TYPE_CHECKING:
    from agno_rt._drive.write_journal import Journal  # stored runs alone need the module

__all__ = ["Result", "call_found_tools", "call_tools", "call_within"]

Result: TypeAlias = Message | Approval | ToolPaused
"""The outcome of a call: a result for the model, or the reason to wait."""

_Unit: TypeAlias = tuple[int, ToolCall] | tuple[list[int], list[ToolCall]]
"""One piece of work: a call with its place in the order, or the calls of a batch with their places."""


async def call_tools(job: Job, calls: Sequence[ToolCall]) -> list[Result]:
    """Carry out the calls and return their results in the calls' order.

    A call waiting for a person has its Approval in place of the result; a call waiting for a run within, a ToolPaused.
    Raises only errors that end the run: a hook's,
    or a mistake of the run's caller.
    """
    if len(calls) == 1:
        return [await _call_tool(job, calls[0])]
    results: dict[int, Result] = {}
    tools = job.resolved.tools
    try:
        for call in calls:
            tool = tools.get(call.name)
            if tool is not None and (tool.batch or not tool.parallel):
                for units in _split_steps(job, calls):
                    await _run_step(job, iter(units), len(units), results)
                break
        else:
            await _run_step(job, iter(enumerate(calls)), len(calls), results)
    except BaseException:
        if job.inbox is not None and job.inbox.takeover is not None:
            job.inbox.takeover.finished = {at: each for at, each in results.items() if isinstance(each, Message)}
        raise
    return [results[at] for at in range(len(calls))]


async def call_found_tools(job: Job, calls: Sequence[ToolCall]) -> list[Result]:
    """Carry out the calls as `call_tools` does, and each call of `call_tool` as a call of the found tool.

    Hooks, approvals, limits, events and the journal see the found tool's name. The result goes back under the name that
    the model called, because providers match the two.
    """
    index = job.resolved.index
    assert index is not None
    try:
        results = await call_tools(job, [index.find(call) for call in calls])
    except BaseException:
        if job.inbox is not None and (takeover := job.inbox.takeover) is not None:
            takeover.finished = {at: _rename(each, calls[at]) for at, each in takeover.finished.items()}
        raise
    return [
        _rename(each, call) if isinstance(each, Message) else each for each, call in zip(results, calls, strict=True)
    ]


async def call_within(job: Job, outer: ToolCall, number: int, asked: tuple[str, str]) -> Told:
    """Carry out a call of another tool, `asked` by name and arguments, as call `number` within the call `outer`.

    Raises `ToolPaused` if the call waits for a person: the call around waits, too, and is made again.
    """
    name, arguments = asked
    if name == outer.name:
        return "failed", f"{name} cannot call itself."
    # The id names the call when the call around is made again, also after a crash.
    digest = hashlib.sha256(f"{name} {arguments}".encode()).hexdigest()[:8]
    call = ToolCall(f"{outer.id}.{number}-{digest}", name, arguments)
    if job.budget is not None:
        try:
            job.budget.call(1)
        except LimitExceeded as exc:
            return "failed", text_of(exc)
    settled = await _settle_call(job, call)
    if isinstance(settled, Approval):
        raise ToolPaused([settled])
    if isinstance(settled, Message):
        assert job.journal is not None, "results of earlier processes are in the journal"
        assert job.journal.replay is not None
        assert job.turns is not None
        told = job.journal.replay.results[job.turns.turn, call.id]
        return ("completed" if told.status == "completed" else "failed"), told.content
    statuses: list[Literal["completed", "failed"]] = []
    try:
        tool = job.resolved.tools.get(settled.asked.name)
        make = _make_calls if tool is None or tool.parallel else _make_alone
        [message] = await make(job, (settled,), statuses)
    except ToolPaused as exc:
        exc.calls += (call.id,)  # made again as well, although the call has begun
        raise
    return statuses[0], message.content


def _rename(result: Message, call: ToolCall) -> Message:
    return result if result.name == call.name else attrs.evolve(result, name=call.name)


def _split_steps(job: Job, calls: Sequence[ToolCall]) -> list[list[_Unit]]:
    """Split the calls into steps to take one after another; the units of a step run together.

    All calls to one batch tool form one unit, at the place of the first call.
    """
    steps: list[list[_Unit]] = [[]]
    batches: dict[str, tuple[list[int], list[ToolCall]]] = {}
    for at, call in enumerate(calls):
        tool = job.resolved.tools.get(call.name)
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


async def _run_step(job: Job, units: Iterator[_Unit], count: int, results: dict[int, Result]) -> None:
    """Carry out `count` units, at most `Limits.tools` at once, and put their results into `results`."""

    async def work() -> None:
        # The workers share one iterator, so each unit is taken once, and the workers bound the calls under way.
        for at, call in units:
            if isinstance(call, ToolCall):
                results[cast(int, at)] = await _call_tool(job, call)
            else:
                results.update(zip(cast(list[int], at), await _call_tools(job, call), strict=True))

    if count == 1:  # in place, as a nursery costs a task
        await work()
        return
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(min(count, job.resolved.limits.tools)):
                nursery.start_soon(work)
    except BaseExceptionGroup as group:
        # Several calls may fail in the same way before the first failure has cancelled the rest.
        raise_first(group)


async def _call_tool(job: Job, call: ToolCall) -> Result:
    began = time.monotonic()  # noqa: F841 - `Runtime.tasks` reads the variable from this frame
    if job.journal is not None or job.resolved.hooks is not None:
        [result] = await _call_tools(job, (call,))
        return result
    try:
        if job.emitter is not None:
            return (await _make_calls(job, (_Asked(call, call),)))[0]
        # The plain call: no event, hook or journal entry needs the status, and fewer functions are called.
        _, content = await _run_tool(job, call)
    except ToolPaused:
        return cast(ToolPaused, sys.exception())  # no variable, which would cost each waiting run some bytes
    return Message("tool", content, (), call.id, call.name)


class _Asked(msgspec.Struct, eq=False):
    """A call of the model, the call to make after hooks and approvals, and its result if it need not be made."""

    call: ToolCall
    asked: ToolCall
    told: Told | None = None


async def _call_tools(job: Job, calls: Sequence[ToolCall]) -> list[Result]:
    """Carry out one call, or the calls to one batch tool; events, hooks and the journal see each call by itself.

    A call with a result in the journal is not made again, nor is a call that an earlier process began.
    """
    began = time.monotonic()  # noqa: F841 - as above
    results: dict[str, Result] = {}
    asked: list[_Asked] = []
    # Only a stored run has calls that wait for a person.
    settles = job.journal is not None or job.resolved.hooks is not None
    for call in calls:
        settled = await _settle_call(job, call) if settles else _Asked(call, call)
        if isinstance(settled, _Asked):
            asked.append(settled)
        else:
            results[call.id] = settled
    if asked:
        try:
            made: Sequence[Result] = await _make_calls(job, asked)
        except ToolPaused as exc:
            made = [exc] * len(asked)
        results |= {each.call.id: result for each, result in zip(asked, made, strict=True)}
    return [results[call.id] for call in calls]


async def _settle_call(job: Job, call: ToolCall) -> Message | Approval | _Asked:
    """Return the call's result or Approval if the journal has one; else apply hooks and approvals to the call."""
    journal, turns = job.journal, job.turns
    assert turns is not None
    if journal is None:
        return await _ask_around(job, call)
    if (told := journal.told(turns, call)) is not None:
        return told
    if journal.under_way(turns, call):
        return _Asked(call, call, _UNCERTAIN)
    decided = journal.decided.get((turns.turn, call.id))
    if decided is None:
        return await _ask_around(job, call)
    if decided.status == "pending":
        return decided
    carried = approvals.apply_decision(job, job.resolved.tools.get(decided.call.name), decided)
    return _Asked(call, carried) if isinstance(carried, ToolCall) else _Asked(call, decided.call, carried)


async def _ask_around(job: Job, call: ToolCall) -> Approval | _Asked:
    """Ask the hooks about the call, and whether the call must wait for a person."""
    asked = call
    if job.resolved.hooks is not None:
        changed = await call_hooks.before_tool(job, job.resolved.hooks, call)
        if isinstance(changed, str):
            return _Asked(call, call, ("completed", changed))
        # The model matches the result with its call by the id, so a hook cannot change the id.
        asked = changed if changed.id == call.id else attrs.evolve(changed, id=call.id)
    tool = job.resolved.tools.get(asked.name)
    if tool is None or not tool.pauses:
        return _Asked(call, asked)
    needed = await approvals.require_approval(job, tool, asked)
    if isinstance(needed, Approval):
        assert job.turns is not None
        # The id begins with the run's, so that the run can be found by an approval's id alone.
        return attrs.evolve(needed, id=f"{job.run_id}.{needed.id[-8:]}", turn=job.turns.turn)
    return _Asked(call, asked, needed)


_UNCERTAIN: Told = (
    "failed",
    "It is not known whether this was done: the program ended while it was under way. It was not called again.",
)
"""The result of a call that an earlier process began and did not finish."""


async def _make_calls(
    job: Job, calls: Sequence[_Asked], statuses: list[Literal["completed", "failed"]] | None = None
) -> list[Message]:
    """Make the calls between the events of their beginnings and ends, and return their results.

    The `statuses` of the calls are added to the list, if given.
    """
    emitter = job.emitter
    started: list[ToolCall] = []
    if job.journal is not None:
        await _store_beginnings(job, job.journal, calls)
    try:
        if emitter is not None:
            for each in calls:
                await emitter.send(ToolStarted(job.run_id, each.asked))
                started.append(each.asked)
        if len(calls) == 1:
            results = [calls[0].told or await _run_tool(job, calls[0].asked)]
        else:
            results = await _run_tools(job, calls)
        messages: list[Message] = []
        plain = job.journal is None and job.resolved.hooks is None
        for each, (status, told) in zip(calls, results, strict=True):
            content = told if plain else await _take_result(job, each, (status, told))
            messages.append(Message("tool", content, (), each.call.id, each.call.name))
            if statuses is not None:
                statuses.append(status)
            if emitter is not None:
                started.remove(each.asked)
                text = content if type(content) is str else in_words(content)
                emitter.post(ToolEnded(job.run_id, each.asked, status, text))
    except BaseException as exc:
        ended: Status = "paused" if isinstance(exc, ToolPaused) else ended_as(exc)
        for call in started:
            assert emitter is not None
            emitter.post(ToolEnded(job.run_id, call, ended, ""))
        raise
    return messages


_ALONE = object()
"""The key of the locks of calls within calls that run alone, by the id of the call around."""


async def _make_alone(
    job: Job, calls: Sequence[_Asked], statuses: list[Literal["completed", "failed"]]
) -> list[Message]:
    """Make one call within another call, of a tool that runs alone: such calls of the run follow one another.

    Such a call may make further ones, which must not wait for the end of the call around: they have a lock of their
    own.
    """
    assert job.kept is not None, "the call around has a context"
    # Here and not in a field of the job, for which each run would pay.
    locks: dict[str, trio.Lock] = job.kept.setdefault(_ALONE, {"": trio.Lock()})
    [call] = calls
    around = next((each for each in reversed(locks) if call.call.id.startswith(f"{each}.")), "")
    async with locks[around]:
        locks[call.call.id] = trio.Lock()
        try:
            return await _make_calls(job, calls, statuses)
        finally:
            locks.pop(call.call.id, None)


async def _store_beginnings(job: Job, journal: Journal, calls: Sequence[_Asked]) -> None:
    """Store which calls begin, so that a process resuming after a crash does not repeat a side effect."""
    assert job.turns is not None
    for each in calls:
        tool = job.resolved.tools.get(each.asked.name)
        if each.told is None and tool is not None and not tool.idempotent:
            await journal.starting(job.turns, each.call)


async def _take_result(job: Job, call: _Asked, told: Told) -> Content:
    """Return the result after the hooks, stored in the journal."""
    status, content = told
    if job.resolved.hooks is not None:
        # Hooks see text; an unchanged result keeps its media.
        changed = await call_hooks.after_tool(job, job.resolved.hooks, call.asked, in_words(content))
        content = content if changed is None else changed
    if job.journal is not None:
        assert job.turns is not None
        await job.journal.called(job.turns, call.call, (status, content), job.called)
    return content


async def _run_tools(job: Job, calls: Sequence[_Asked]) -> list[Told]:
    """Return the result of each call. Calls to one batch tool are made as one; the rest one after another."""
    told = {each.call.id: each.told for each in calls if each.told is not None}
    # A hook may have moved a call of the batch to another tool.
    batch = [each for each in calls if each.told is None and each.asked.name == each.call.name]
    for each in calls:
        if each.told is None and each not in batch:
            told[each.call.id] = await _run_tool(job, each.asked)
    if batch:
        results = await invoke_tool(job, job.resolved.tools[batch[0].asked.name], [each.asked for each in batch])
        told |= {each.call.id: result for each, result in zip(batch, results, strict=True)}
    return [told[each.call.id] for each in calls]


async def _run_tool(job: Job, call: ToolCall) -> Told:
    """Run the tool and return its result for the model. A tool's failure is a result too, and the run goes on."""
    tool = job.resolved.tools.get(call.name)
    if tool is None:
        return "failed", f"There is no tool {call.name!r}. {suggest('tool', call.name, job.resolved.tools)}"
    if not tool.plain:
        return (await invoke_tool(job, tool, (call,)))[0]
    try:
        arguments = tool.decode(call.arguments)
        if tool.inline and not tool.is_async:
            value = tool.function(**arguments)
            if type(value) is CoroutineType:
                value = await value
        else:
            value = await call_in_time(tool, arguments, job.resolved.limits.tool_timeout)
        # The usual result is plain ASCII text, which needs no conversion.
        return "completed", value if type(value) is str and value.isascii() else content_of(value)
    except (ToolArgumentError, Late) as exc:
        return "failed", text_of(exc)
    except BaseException as exc:
        if must_pass(exc):
            raise
        check_stopped(job, exc)
        return "failed", failure(call.name, exc)
