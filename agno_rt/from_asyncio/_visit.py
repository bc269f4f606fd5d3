"""The way back: asyncio tasks that trio code waits for."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, ParamSpec, TypeVar, final

import trio

from agno_rt.errors import UsageError
from agno_rt.from_asyncio._crossing import call_in_loop

__all__ = ["LOOP", "to_asyncio"]

T = TypeVar("T")
P = ParamSpec("P")

LOOP: contextvars.ContextVar[asyncio.AbstractEventLoop] = contextvars.ContextVar("agno_rt_asyncio_loop")
"""The event loop that asked for the run."""


def to_asyncio(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Wrap an asyncio coroutine function for trio code: a tool, a hook, a model's `respond`.

    The function runs as a task of the event loop that asked for the run, with the run's contextvars. Cancelling the run
    cancels the task, and waits for its end. Raises the errors of the function, and `UsageError` if no event loop asked
    for the run. In asyncio code, the wrapper awaits the function as usual. For a tool, write `@tool` and below it
    `@to_asyncio`.
    """

    @functools.wraps(function)
    async def visiting(*args: P.args, **kwargs: P.kwargs) -> T:
        if not trio.lowlevel.in_trio_run():
            return await function(*args, **kwargs)
        name = getattr(function, "__qualname__", repr(function))
        return await _Visit(name, lambda: function(*args, **kwargs)).carry_out()

    return visiting


@final
class _Visit(Generic[T]):
    """A call of an asyncio coroutine function from trio code."""

    def __init__(self, name: str, begin: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._name = name
        self._begin = begin
        self._task: asyncio.Task[T] | None = None
        self._token = trio.lowlevel.current_trio_token()
        self._done = trio.Event()
        self._exit: BaseException | None = None

    async def carry_out(self) -> T:
        loop = LOOP.get(None)
        if loop is None or not call_in_loop(loop, self._start, loop, contextvars.copy_context()):
            hint = "Ask for the run from asyncio, by an AsyncioRuntime, and keep that event loop running meanwhile."
            raise UsageError(f"{self._name} belongs to asyncio, and there is no event loop for it", hint=hint)
        try:
            await self._done.wait()
        except trio.Cancelled:
            if call_in_loop(loop, self._cancel):
                # Wait without a bound, as a nursery does: the task may still use what the run is about to close.
                with trio.CancelScope(shield=True):
                    await self._done.wait()
            raise
        assert self._task is not None
        if self._exit is not None:
            raise self._exit
        if self._task.cancelled():
            hint = "Let its own timeouts raise another error, and keep the event loop running while runs need it."
            raise UsageError(f"the asyncio task of {self._name} was cancelled from elsewhere", hint=hint)
        return self._task.result()

    # Called in the event loop's thread.

    def _start(self, loop: asyncio.AbstractEventLoop, context: contextvars.Context) -> None:
        async def task() -> T:
            try:
                return await self._begin()
            except SystemExit as exc:
                # asyncio would stop the event loop, and so the program. Here it is a failure like any other.
                self._exit = exc
                raise asyncio.CancelledError from exc

        self._task = loop.create_task(task(), name=self._name, context=context)
        self._task.add_done_callback(self._ended)

    def _cancel(self) -> None:
        assert self._task is not None
        self._task.cancel()

    def _ended(self, task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            # Retrieve the error: asyncio would log it as never retrieved if the run was cancelled meanwhile.
            task.exception()
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._done.set)
