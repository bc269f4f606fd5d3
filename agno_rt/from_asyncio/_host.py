"""The thread in which a runtime lives under trio, and the calls from other threads that cross over to it.

Knows no event loop: the outcome of a call is a `concurrent.futures.Future`, so any thread may wait for it.
"""

from __future__ import annotations

import atexit
import contextvars
import functools
import inspect
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Generic, TypeVar, final

import trio

from agno_rt._drive.scopes import raise_cause
from agno_rt.errors import UsageError
from agno_rt.runtime import Runtime

__all__ = ["EXIT_SECONDS", "Call", "Crossing", "Host", "abandon"]

EXIT_SECONDS = 5.0
"""How long the interpreter's exit waits for each runtime that nobody closed."""

T = TypeVar("T")


class Crossing(Generic[T]):
    """Work under way in the thread: `future` gets the outcome once the work has unwound."""

    __slots__ = ("future", "host")

    def __init__(self, host: Host) -> None:
        self.future: Future[T] = Future()
        self.host = host

    def cancel(self) -> None:
        """Cancel it, from any thread."""
        self.host.hurry()


@final
class Call(Crossing[Any]):
    """A function call in the thread."""

    __slots__ = ("args", "cancel_requested", "context", "function", "scope")

    def __init__(
        self, host: Host, function: Callable[..., Any], args: tuple[Any, ...], context: contextvars.Context
    ) -> None:
        super().__init__(host)
        self.function = function
        self.args = args
        self.context = context
        self.scope = trio.CancelScope()
        self.cancel_requested = False

    def cancel(self) -> None:
        """Cancel it, from any thread."""
        self.cancel_requested = True
        if not self.future.done():
            self.host.post(self.scope.cancel)


@final
class Host:
    """The thread with the runtime. It has no reference to the `AsyncioRuntime`, so that a dropped one is collected."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.opening = Crossing[None](self)
        self.ending = Crossing[list[str]](self)
        # A daemon, because the interpreter's exit would wait for other threads without bound.
        self.thread = threading.Thread(target=self._thread, name="agno_rt from asyncio", daemon=True)
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._calls: set[Call] = set()
        self._changed = trio.Event()
        self._stopping = False
        self._hurried = False
        self._patience = trio.CancelScope()

    def start(self) -> None:
        """Start the thread; `opening` ends when the runtime is open."""
        _watch_exit()
        _open.add(self)
        self.thread.start()

    def submit(self, function: Callable[..., Any], args: tuple[Any, ...], context: contextvars.Context) -> Call:
        """Begin `function(runtime, *args)` as a task of the thread, and await its value if awaitable.

        Raises `UsageError` if the runtime is closed.
        """
        call = Call(self, function, args, context)
        if not self.post(self._begin, call):
            raise _closed_error()
        return call

    def post(self, function: Callable[..., object], *args: Any) -> bool:
        """Call the function soon, in the thread. Return False if the thread has ended."""
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(function, *args)
                return True
        return False

    def stop(self) -> None:
        """End the thread after the calls under way; `ending` gets notes on further errors."""
        self.post(self._stop)

    def hurry(self) -> None:
        """Cancel the calls under way, and end the thread."""
        self._hurried = True
        self.post(self._hurry)

    def _thread(self) -> None:
        notes: list[str] = []
        failure: BaseException | None = None
        try:
            trio.run(self._main)
        except _LeftError as left:
            notes = getattr(left, "__notes__", notes)
        except BaseException as exc:
            # Raised to the opener if the runtime never opened, else to the closer.
            failure = exc
        _open.discard(self)
        if failure is not None and not self.opening.future.done():
            self.opening.future.set_exception(failure)
            failure = None
        if failure is None:
            self.ending.future.set_result(notes)
        else:
            self.ending.future.set_exception(failure)

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        try:
            # The nursery is the outer block, because background runs may still make calls while the runtime closes.
            async with trio.open_nursery() as self._nursery, self.runtime:
                self.opening.future.set_result(None)
                with self._patience:
                    if self._hurried:  # already, while the runtime was opening
                        self._hurry()
                    await self._until(lambda: self._stopping and not self._calls)
                if self._patience.cancel_called:
                    for call in self._calls:
                        call.scope.cancel()
                    await self._until(lambda: not self._calls)
                    raise _LeftError
        except BaseExceptionGroup as group:
            raise_cause(group)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed = trio.Event()
            await self._changed.wait()

    def _stop(self) -> None:
        self._stopping = True
        self._changed.set()

    def _hurry(self) -> None:
        if self._patience.cancel_called or (self._stopping and not self._calls):
            # The runtime is closing already, and waits for its background runs: cancel those, too.
            assert self._nursery is not None
            self._nursery.cancel_scope.cancel()
        self._patience.cancel()

    def _begin(self, call: Call) -> None:
        assert self._nursery is not None
        if not self._patience.cancel_called:
            with suppress(RuntimeError):  # the nursery is closed
                call.context.run(self._nursery.start_soon, self._carry_out, call)
                self._calls.add(call)
                return
        call.future.set_exception(_closed_error())

    async def _carry_out(self, call: Call) -> None:
        try:
            with call.scope:
                value = await _call_function(call.function, self.runtime, *call.args)
        except trio.Cancelled:
            call.future.set_exception(_closed_error())
            raise
        except BaseException as exc:
            call.future.set_exception(exc)
        else:
            if not call.scope.cancelled_caught:
                call.future.set_result(value)
            else:
                call.future.set_exception(CancelledError() if call.cancel_requested else _closed_error())
        finally:
            self._calls.discard(call)
            self._changed.set()
            # A cycle otherwise: the error's traceback refers to this frame, and the call to the error.
            del call


class _LeftError(Exception):
    """The block around the runtime is left early, because its calls were cancelled."""


async def _call_function(function: Callable[..., Any], *args: Any) -> Any:
    try:
        value = function(*args)
        return await value if inspect.isawaitable(value) else value
    except BaseExceptionGroup as group:
        raise_cause(group)


def _closed_error() -> UsageError:
    return UsageError("this runtime was closed", hint="Keep the AsyncioRuntime open while a call is under way.")


_open: set[Host] = set()


def abandon(host: Host) -> None:
    """End the thread of a runtime that was dropped without being closed, with a warning."""
    host.hurry()
    _warn_of_open()


@functools.cache
def _watch_exit() -> None:
    atexit.register(_unwind_at_exit)


def _unwind_at_exit() -> None:
    """Let runtimes that nobody closed unwind. Wait briefly: a run may need an event loop that has stopped."""
    left = list(_open)
    for host in left:
        host.hurry()
    for host in left:
        host.thread.join(EXIT_SECONDS)
    for _ in left:
        _warn_of_open()


def _warn_of_open() -> None:
    message = "an AsyncioRuntime was left open: use `async with`, or `await rt.aclose()`"
    warnings.warn(message, ResourceWarning, stacklevel=3)
