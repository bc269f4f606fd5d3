"""The runtime for asyncio code: each method crosses over to a `Runtime` in a thread of its own."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import CancelledError, Future
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, TypeVarTuple, final, overload

from agno_rt._decide.controls import StopAt, When
from agno_rt._drive.job import Busy
from agno_rt._drive.map_inputs import CONCURRENCY, OnError, OnResult
from agno_rt._runtime.run_values import NO_RESULT
from agno_rt._schema.generics import DepsT, OutputT
from agno_rt.errors import UsageError
from agno_rt.events import Event
from agno_rt.from_asyncio._crossing import Pipe, wait_for_end, wait_for_result
from agno_rt.from_asyncio._host import Call, Host, abandon
from agno_rt.from_asyncio._visit import LOOP
from agno_rt.limits import LimitStatistics
from agno_rt.result import RunResult
from agno_rt.run_store import Approval, RunStatus
from agno_rt.runnable import Runnable
from agno_rt.runs import Run, RunStream
from agno_rt.runtime import Input, Runtime

__all__ = ["AsyncioRun", "AsyncioRuntime", "AsyncioStream", "AsyncioWithinStream"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@final
class AsyncioRuntime:
    """A `Runtime` for asyncio code: `async with AsyncioRuntime() as rt: await rt.run(agent, "hi")`.

    Takes the arguments of `Runtime`, or a `Runtime` that is not open yet. Open it once and share it: any task of any
    event loop in any thread may use it. Tools, hooks and observers run in the runtime's thread, with a copy of the
    contextvars of the calling task. Wrap functions that need the task's event loop with `to_asyncio`.

    A task that is cancelled while it waits for a call cancels the call, and gets its `CancelledError` when the call has
    unwound, however often the task is cancelled meanwhile. Errors arrive as they were raised, with their `.result`.

    Leaving the block waits for calls and background runs. Leaving it by an error or a cancellation cancels them, and so
    does dropping the runtime without closing it, with a warning.
    """

    def __init__(self, runtime: Runtime | None = None, **options: Any) -> None:
        if runtime is not None and options:
            raise UsageError("a runtime was given, and options for one", hint="Give the options to the Runtime.")
        self.runtime = Runtime(**options) if runtime is None else runtime
        self._host: Host | None = None
        self._dropped: weakref.finalize[Any, Self] | None = None

    async def open(self) -> Self:
        """Start the thread, open the runtime and return it, where `async with` will not do. Close it with `aclose`."""
        if self._host is not None:
            raise UsageError("this runtime is open already", hint="Open it once; share it among tasks.")
        host = self._host = Host(self.runtime)
        self._dropped = weakref.finalize(self, abandon, host)
        # At the exit of the interpreter, `_host` itself ends the open runtimes.
        self._dropped.atexit = False
        host.start()
        try:
            await wait_for_result(host.opening)
        except BaseException:
            await self._close(hurry=True)
            raise
        return self

    async def aclose(self) -> None:
        """Wait for calls and background runs, then close the runtime. A cancellation of this wait cancels them."""
        await self._close(hurry=False)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        notes = await self._close(hurry=exc is not None)
        if exc is not None:
            for note in notes:
                exc.add_note(note)

    @overload
    async def call(self, function: Callable[[Runtime, *Ts], Awaitable[T]], *args: *Ts) -> T: ...
    @overload
    async def call(self, function: Callable[[Runtime, *Ts], T], *args: *Ts) -> T: ...
    async def call(self, function: Callable[..., Any], *args: Any) -> Any:  # type: ignore[misc]  # wider than both
        """Call `function(runtime, *args)` in the runtime's thread, under trio; return its value, awaited if awaitable.

        For everything without a method here: `await rt.call(lambda rt: rt.memory.load("alice"))`, or a trio function of
        your own.
        """
        return await wait_for_result(self._submit(function, *args))

    async def run(
        self,
        agent: Runnable[DepsT, OutputT],
        input: Input,
        *,
        session: str | None = None,
        user: str | None = None,
        deps: DepsT | None = None,
        busy: Busy | None = None,
    ) -> RunResult[OutputT]:
        """As `Runtime.run`."""
        run = functools.partial(Runtime.run, session=session, user=user, deps=deps, busy=busy)
        return await self.call(run, agent, input)

    async def map(
        self,
        agent: Runnable[DepsT, OutputT],
        inputs: Iterable[Input],
        *,
        concurrency: int = CONCURRENCY,
        on_error: OnError = "raise",
        on_result: OnResult | None = None,
        deps: DepsT | None = None,
    ) -> list[RunResult[OutputT]]:
        """As `Runtime.map`; `inputs` and `on_result` are used in the runtime's thread."""
        options: Any = {"concurrency": concurrency, "on_error": on_error, "on_result": on_result, "deps": deps}
        return await self.call(functools.partial(Runtime.map, **options), agent, inputs)

    @asynccontextmanager
    async def stream(
        self,
        agent: Runnable[DepsT, OutputT],
        input: Input,
        *,
        session: str | None = None,
        user: str | None = None,
        deps: DepsT | None = None,
        busy: Busy | None = None,
    ) -> AsyncIterator[AsyncioStream[OutputT]]:
        """As `Runtime.stream`: leaving the block early cancels the run and waits until it has unwound."""
        pipe = Pipe(asyncio.get_running_loop(), self._running())
        open_ = functools.partial(Runtime.stream, session=session, user=user, deps=deps, busy=busy)
        call = self._submit(pipe.carry, open_, agent, input)
        future = call.future
        future.add_done_callback(lambda _: pipe.wake())
        try:
            await pipe.until(lambda: pipe.stream is not None or future.done())
            if pipe.stream is None:
                future.result()
            assert pipe.stream is not None
            yield AsyncioStream(self, pipe, pipe.stream, future)
        finally:
            call.cancel()
            cancelled = await wait_for_end(call)
            if cancelled is not None:
                raise cancelled

    async def start(
        self,
        agent: Runnable[DepsT, OutputT],
        input: Input,
        *,
        session: str | None = None,
        user: str | None = None,
        deps: DepsT | None = None,
        busy: Busy | None = None,
    ) -> AsyncioRun[OutputT]:
        """As `Runtime.start`: the run goes on in the background, owned by this runtime."""
        start = functools.partial(Runtime.start, session=session, user=user, deps=deps, busy=busy)
        call = self._submit(start, agent, input)
        try:
            return AsyncioRun(self, await wait_for_result(call))
        except asyncio.CancelledError:
            # The run may have started all the same, and nobody has its handle.
            if call.future.exception() is None:
                call.host.post(call.future.result().cancel)
            raise

    async def resume(
        self,
        run_id: str,
        agent: Runnable[DepsT, OutputT] | None = None,
        *,
        user: str | None = None,
        deps: DepsT | None = None,
        force: bool = False,
    ) -> RunResult[OutputT]:
        """As `Runtime.resume`."""
        return await self.call(functools.partial(Runtime.resume, user=user, deps=deps, force=force), run_id, agent)

    async def fork(
        self,
        run_id: str,
        at: int | str | None = None,
        *,
        input: Input | None = None,
        result: Any = NO_RESULT,
        user: str | None = None,
    ) -> str:
        """As `Runtime.fork`."""
        fork = functools.partial(Runtime.fork, input=input, result=result, user=user)
        return await self.call(fork, run_id, at)

    async def cancel(self, run_id: str, *, user: str | None = None) -> bool:
        """As `Runtime.cancel`: cancel a stored run by its id."""
        return await self.call(functools.partial(Runtime.cancel, user=user), run_id)

    async def send(self, run_id: str, input: Input, when: When = "next", *, user: str | None = None) -> RunStatus:
        """As `Runtime.send`."""
        return await self.call(functools.partial(Runtime.send, user=user), run_id, input, when)

    async def stop(
        self, run_id: str, at: StopAt = "tools", *, grace: float | None = None, user: str | None = None
    ) -> bool:
        """As `Runtime.stop`."""
        return await self.call(functools.partial(Runtime.stop, grace=grace, user=user), run_id, at)

    async def approve(
        self, approval: str, arguments: Any = None, *, user: str | None = None, by: str | None = None
    ) -> Approval:
        """As `Runtime.approve`."""
        return await self.call(functools.partial(Runtime.approve, user=user, by=by), approval, arguments)

    async def deny(
        self, approval: str, reason: str = "", *, user: str | None = None, by: str | None = None
    ) -> Approval:
        """As `Runtime.deny`."""
        return await self.call(functools.partial(Runtime.deny, user=user, by=by), approval, reason)

    async def answer(self, approval: str, value: Any, *, user: str | None = None, by: str | None = None) -> Approval:
        """As `Runtime.answer`."""
        return await self.call(functools.partial(Runtime.answer, user=user, by=by), approval, value)

    async def statistics(self) -> tuple[LimitStatistics, ...]:
        """As `Runtime.statistics`."""
        return await self.call(Runtime.statistics)

    def _running(self) -> Host:
        if self._host is None or not self._host.opening.future.done():
            raise UsageError("this runtime is not open", hint="Use it inside `async with AsyncioRuntime() as rt:`.")
        return self._host

    def _submit(self, function: Callable[..., Any], *args: Any) -> Call:
        context = contextvars.copy_context()
        # The asyncio tools of the run belong to the event loop of this caller.
        context.run(LOOP.set, asyncio.get_running_loop())
        return self._running().submit(function, args, context)

    async def _close(self, *, hurry: bool) -> list[str]:
        """Close the runtime, and return notes on further errors if `hurry`."""
        host = self._host
        if host is None:
            return []
        (host.hurry if hurry else host.stop)()
        try:
            return await wait_for_result(host.ending)
        finally:
            if host.ending.future.done():
                host.thread.join()  # returns at once: the thread has nothing more to do
                if self._host is host:
                    self._host = None
                    assert self._dropped is not None
                    self._dropped.detach()


@final
class AsyncioRun(Generic[OutputT]):
    """A run under way in the background of a runtime, from `AsyncioRuntime.start`."""

    def __init__(self, runtime: AsyncioRuntime, run: Run[OutputT]) -> None:
        self.id = run.id
        self._runtime = runtime
        self._run = run

    @property
    def result(self) -> RunResult[OutputT] | None:
        """The result, or None while the run is under way."""
        return self._run.result

    def cancel(self) -> None:
        """Cancel the run; `wait` then returns its result so far, with status `cancelled`."""
        host = self._runtime._host
        if host is not None:
            host.post(self._run.cancel)

    async def send(self, input: Input, when: When = "next") -> None:
        """As `Run.send`."""
        await self._runtime.call(lambda _: self._run.send(input, when))

    async def stop(self, at: StopAt = "tools", *, grace: float | None = None) -> None:
        """As `Run.stop`."""
        await self._runtime.call(lambda _: self._run.stop(at, grace=grace))

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the spent part of each of the run's budgets."""
        return self._run.statistics()

    async def wait(self) -> RunResult[OutputT]:
        """Wait for the run and return its result or raise its error. Cancelling this wait does not cancel the run."""

        async def wait(runtime: Runtime) -> RunResult[OutputT]:
            return await self._run.wait()

        return await self._runtime.call(wait)


@final
class AsyncioStream(Generic[OutputT]):
    """The events of one run, in order, from `AsyncioRuntime.stream`: iterate with `async for`.

    The last event is `RunEnded`. If the run ended without an answer, the iteration then raises its error. The events of
    runs within are left out: see `within`.
    """

    def __init__(self, runtime: AsyncioRuntime, pipe: Pipe, stream: RunStream[OutputT], ended: Future[Any]) -> None:
        self._runtime = runtime
        self._pipe = pipe
        self._stream = stream
        self._ended = ended

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._stream.run_id

    @property
    def result(self) -> RunResult[OutputT] | None:
        """The result, or None until the events are read to the end."""
        return self._stream.result

    async def send(self, input: Input, when: When = "next") -> None:
        """As `RunStream.send`."""
        await self._runtime.call(lambda _: self._stream.send(input, when))

    async def stop(self, at: StopAt = "tools", *, grace: float | None = None) -> None:
        """As `RunStream.stop`."""
        await self._runtime.call(lambda _: self._stream.stop(at, grace=grace))

    def within(self) -> AsyncioWithinStream:
        """As `RunStream.within`, before the first event is read. Raises `UsageError` later."""
        if self._pipe.within is not None:
            hint = "Call within() once, before you read the first event."
            raise UsageError("the events of this stream are read already", hint=hint)
        self._pipe.choose(within=True)
        return AsyncioWithinStream(self)

    def cancel(self) -> None:
        """Cancel the run; its remaining events, up to `RunEnded`, still come."""
        self._pipe.host.post(self._stream.cancel)

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the run's budgets, and the events waiting for the reader in the runtime's thread."""
        return self._stream.statistics()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._pipe.within is None:
            self._pipe.choose(within=False)
        found = await self._receive()
        event: Event = found[1] if isinstance(found, tuple) else found
        return event

    async def _receive(self) -> Any:
        pipe = self._pipe
        await pipe.until(lambda: pipe.ready or self._ended.done())
        if pipe.ready:
            return pipe.take()
        with suppress(CancelledError):  # raised when the block was left early
            self._ended.result()
        raise StopAsyncIteration


@final
class AsyncioWithinStream:
    """The events of a run and of all runs within, each with its path, from `AsyncioStream.within`."""

    def __init__(self, stream: AsyncioStream[Any]) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[str, Event]:
        found: tuple[str, Event] = await self._stream._receive()
        return found
