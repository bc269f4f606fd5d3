"""Drives one run under trio: scopes, nursery, limits, events. What to do next is decided in `_turn`, never here.

Knows no plugin and opens nothing: `Runtime` hands it a `Job`, in which everything that the agent named is resolved.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar, final

import attrs
import msgspec
import trio

from agno_rt._calls import call_tools
from agno_rt._emit import Emitter, EventBuffer
from agno_rt._limiter import Limiter
from agno_rt._scopes import cause, deadline, ended_as, named
from agno_rt._turn import Turns
from agno_rt._window import window
from agno_rt.errors import AgnoError, BackendError, ModelError
from agno_rt.events import Event, ModelEnded, ModelStarted, RunEnded, RunStarted, Status
from agno_rt.limits import Limits
from agno_rt.memory import MemoryBackend
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.models import NO_USAGE, Emit, FinishReason, Model, ModelRequest, ModelResponse, ModelSettings
from agno_rt.tools import Tool

__all__ = [
    "HELD",
    "STREAM_BUFFER",
    "Job",
    "Output",
    "Run",
    "RunResult",
    "RunStream",
    "SessionAccess",
    "carry_out",
    "execute",
    "stop",
]

T = TypeVar("T")

HELD: ContextVar[tuple[Limiter, ...]] = ContextVar("agno_rt_held", default=())
"""The places that the runs around a tool hold: a run that the tool makes must not wait for one of them."""

STREAM_BUFFER = 256
"""Events that a stream holds for a reader that is behind; when it is full, the run waits."""


@final
@attrs.define(eq=False)
class RunResult:
    """What came of a run.

    `content` is the answer's text, and `output` the same as the agent's output type, if it has one. `messages` are
    those that this run added to the conversation: the input, each response, each tool's result. `error` is set where
    the status is `failed` or `limited`. `finish_reason` is why the answer ended: `length` where it was cut off.
    """

    run_id: str
    status: Status
    content: str = ""
    output: Any = None
    messages: tuple[Message, ...] = ()
    usage: Usage = NO_USAGE
    error: BaseException | None = None
    finish_reason: FinishReason = "stop"


@attrs.define(eq=False)
class SessionAccess:
    """The session that a run reads and appends to, with the lock that puts its runs in order."""

    id: str
    memory: MemoryBackend
    lock: Limiter
    last: int | None


@attrs.frozen(eq=False)
class Output:
    """The type that an answer must fit, and the JSON Schema that says so to the model."""

    type: Any
    schema: Mapping[str, Any]


class Job(msgspec.Struct, eq=False):
    """A run, ready to be carried out. `outcome` is filled in when it is over, however it ended.

    A Struct, because one is made for each run and attrs takes three times as long.
    """

    run_id: str
    agent: str
    model: Model
    instructions: str
    input: tuple[Message, ...]
    tools: Mapping[str, Tool]
    settings: ModelSettings
    limits: Limits
    admission: Limiter
    model_calls: Limiter
    user: str | None = None
    output: Output | None = None
    session: SessionAccess | None = None
    emitter: Emitter | None = None
    held: tuple[Limiter, ...] = ()
    outcome: RunResult | None = None


async def execute(job: Job) -> RunResult:
    """Carry out the job and return its result, after at least one checkpoint.

    Raises one of our errors, with the result so far as its `result`, when there is no answer; lets `trio.Cancelled`
    through. Either way the run's last event is sent exactly once, if its first one was.
    """
    turns = Turns(job.limits.turns, None if job.output is None else job.output.type)
    try:
        await trio.lowlevel.checkpoint()
        if job.limits.run_timeout is None:
            await _admitted(job, turns)
        else:
            with deadline(job.limits.run_timeout, "run_timeout", "the run"):
                await _admitted(job, turns)
    except BaseException as exc:
        # Whoever raised a group on the way, a tool, a model, a backend or our own nursery: this is where it ends.
        bare = cause(exc)
        _end(job, turns, ended_as(bare), bare)
        if bare is exc:
            raise
        raise bare from None
    return _end(job, turns, "completed", None)


def _end(job: Job, turns: Turns, status: Status, exc: BaseException | None) -> RunResult:
    error = None if status == "cancelled" else exc
    own, usage = turns.own_messages(), turns.usage
    result = RunResult(job.run_id, status, turns.content, turns.output, own, usage, error, turns.finish_reason)
    job.outcome = result
    if isinstance(error, AgnoError):
        error.result = result
    if job.emitter is not None and job.emitter.started:
        code = None if error is None else getattr(error, "code", "internal")
        text = None if error is None else str(error)
        job.emitter.post(RunEnded(job.run_id, status, result.content, result.usage, text, code))
    return result


async def _admitted(job: Job, turns: Turns) -> None:
    admission, emitter, access = job.admission, job.emitter, job.session
    if not admission.try_acquire():
        await admission.acquire()
    try:
        if emitter is not None:
            emitter.start(_run_started(job))
        if access is None:
            turns.begin(_before(job, ()), job.input)
            await _converse(job, turns)
        else:
            async with access.lock:
                await _in_session(job, turns, access)
    finally:
        admission.release()


def _run_started(job: Job) -> RunStarted:
    asked = next((message.content for message in reversed(job.input) if message.role == "user"), "")
    return RunStarted(job.run_id, job.agent, asked, None if job.session is None else job.session.id, job.user)


def _before(job: Job, history: Sequence[Message]) -> list[Message]:
    """What the model sees before the input."""
    if job.instructions:
        return [Message("system", job.instructions), *history]
    return list(history)


async def _in_session(job: Job, turns: Turns, access: SessionAccess) -> None:
    memory = access.memory
    session = await _stored(access, functools.partial(memory.load, access.id, access.last))
    turns.begin(_before(job, window(session.messages, access.last)), job.input)
    await _converse(job, turns)
    append = functools.partial(memory.append, access.id, turns.own_messages(), version=session.version, user=job.user)
    await _stored(access, append)


async def _stored(access: SessionAccess, operation: Callable[[], Awaitable[T]]) -> T:
    try:
        return await operation()
    except AgnoError:
        raise
    except Exception as exc:
        raise BackendError(f"the memory backend failed on session {access.id!r}: {named(exc)}") from exc


async def _converse(job: Job, turns: Turns) -> None:
    respond = _respond if job.emitter is None else _respond_told
    while turns.state != "completed":
        if turns.state == "asking":
            turns.ask()
            turns.answered(await respond(job, _request(job, turns)))
        else:
            turns.called(await _call(job, turns))


async def _call(job: Job, turns: Turns) -> list[Message]:
    lock = () if job.session is None else (job.session.lock,)
    held = HELD.set((*job.held, job.admission, *lock))
    try:
        return await call_tools(job, turns.calls)
    finally:
        HELD.reset(held)


def _request(job: Job, turns: Turns) -> ModelRequest:
    settings = job.settings
    return ModelRequest(
        tuple(turns.messages),
        tuple(job.tools.values()) if job.tools else (),
        settings.tool_choice if turns.turn == 1 else "auto",
        None if job.output is None else job.output.schema,
        settings,
        turns.turn,
    )


async def _respond_told(job: Job, request: ModelRequest) -> ModelResponse:
    """Ask the model, and tell of it."""
    emitter, name, turn = job.emitter, job.model.name, request.turn
    assert emitter is not None
    await emitter.send(ModelStarted(job.run_id, name, turn))
    try:
        response = await _respond(job, request, emitter.send_delta)
    except BaseException as exc:
        status = ended_as(exc)
        text = None if status == "cancelled" else str(exc)
        emitter.post(ModelEnded(job.run_id, name, turn, status, NO_USAGE, text))
        raise
    emitter.post(ModelEnded(job.run_id, name, turn, "completed", response.usage))
    return response


async def _respond(job: Job, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
    model, limit, seconds = job.model, job.model_calls, job.limits.model_timeout
    if not limit.try_acquire():
        await limit.acquire()
    try:
        if seconds is None:
            response = await model.respond(request, emit)
        else:
            with deadline(seconds, "model_timeout", f"the model {model.name}"):
                response = await model.respond(request, emit)
    except AgnoError:
        raise
    except Exception as exc:
        raise ModelError(f"the model {model.name} failed: {named(exc)}", provider=model.name) from exc
    finally:
        limit.release()
    # The usual answer is told by its types at once.
    usual = type(response) is ModelResponse and type(response.content) is str and type(response.usage) is Usage
    if not (usual and not response.tool_calls) and (problem := _nonsense(response)):
        raise ModelError(f"the model {model.name} returned {problem}", provider=model.name, hint=_RESPONSE_HINT)
    return response


_RESPONSE_HINT = "Its respond() must return a ModelResponse with text, ToolCalls and a Usage: tell the plugin's author."


def _nonsense(response: object) -> str:
    """What is wrong with a model's response, if anything: a plugin's mistake must not get into a history."""
    if not isinstance(response, ModelResponse):
        return f"{type(response).__name__}, not a ModelResponse"
    if not isinstance(response.content, str):
        return f"content that is {type(response.content).__name__}, not str"
    if not isinstance(response.usage, Usage):
        return f"usage that is {type(response.usage).__name__}, not Usage"
    calls = response.tool_calls
    if calls and not (isinstance(calls, tuple | list) and all(isinstance(call, ToolCall) for call in calls)):
        return "tool calls that are no ToolCalls"
    return ""


@final
@attrs.define(eq=False)
class Run:
    """A run under way in the background of a runtime, from `Runtime.start`."""

    id: str
    _job: Job
    _scope: trio.CancelScope = attrs.Factory(trio.CancelScope)
    _finished: trio.Event = attrs.Factory(trio.Event)
    _error: Exception | None = None

    @property
    def result(self) -> RunResult | None:
        """What came of it, once it is over."""
        return self._job.outcome

    def cancel(self) -> None:
        """Cancel the run; `wait` then returns its result so far, with status `cancelled`."""
        self._scope.cancel()

    async def wait(self) -> RunResult:
        """Wait for the end and return the result. Raises the error of a run that ended without an answer."""
        await self._finished.wait()
        if self._error is not None:
            raise self._error
        assert self._job.outcome is not None
        return self._job.outcome


@final
@attrs.define(eq=False)
class RunStream:
    """The events of one run, in order, from `Runtime.stream`: iterate over it with `async for`.

    The last event is the run's `RunEnded`. Where it ended without an answer, the iteration then raises its error.
    """

    run: Run
    _buffer: EventBuffer

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.id

    @property
    def result(self) -> RunResult | None:
        """What came of the run, once its events are read to the end."""
        return self.run.result

    def cancel(self) -> None:
        """Cancel the run; its remaining events, up to `RunEnded`, still come."""
        self.run.cancel()

    def __aiter__(self) -> RunStream:
        return self

    async def __anext__(self) -> Event:
        event = await self._buffer.receive()
        if event is not None:
            return event
        await self.run.wait()
        raise StopAsyncIteration


async def carry_out(run: Run, buffer: EventBuffer | None = None) -> None:
    """The task of a background run: executes it, and keeps what it raises for whoever waits."""
    try:
        with run._scope:
            await execute(run._job)
    except Exception as exc:
        run._error = exc
    finally:
        run._finished.set()
        if buffer is not None:
            buffer.close()


async def stop(run: Run) -> None:
    """Cancel a background run and wait until it has unwound, whatever is being cancelled around the caller."""
    run.cancel()
    with trio.CancelScope(shield=True):
        await run._finished.wait()
