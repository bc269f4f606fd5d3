"""Wraps the calls of a run's parts: models, tools, memory backends, hooks, guardrails, observers.

A wrapped part can be used as the part itself, with all its attributes.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import attrs
import trio

from agno_rt.errors import UsageError
from agno_rt.events import Delta
from agno_rt.hooks import Guard, Hook
from agno_rt.hookspecs import Observer
from agno_rt.memory import MemoryBackend
from agno_rt.models import Emit, Model, ModelRequest, ModelResponse
from agno_rt.tools import Tool, Toolkit
from agno_rt.tools import tool as as_tool
from agno_rt.wrappers.base import Wrapper

__all__ = ["Wrapping"]

T = TypeVar("T")
M = TypeVar("M", bound=MemoryBackend)
ToolT = TypeVar("ToolT", Tool, Toolkit)

READS = (
    "aclose",
    "approvals",
    "cached",
    "cancels",
    "check",
    "count",
    "export",
    "facts",
    "find",
    "get",
    "grants",
    "list",
    "load",
    "migrations",
    "recall",
    "runs",
    "search",
    "session_info",
    "sessions",
    "signals",
    "statistics",
    "wait",
)
"""The beginnings of the names of methods without effects. Among them are those that a runtime calls every moment, as
`cancels`: how often, is up to the machine, so they must not count as writes."""


class Wrapping:
    """Wraps parts. Subclasses act around calls in `_before`, `_after` and, in synchronous code, `_at`."""

    async def _before(self, what: str) -> None:
        """Act before a call, and before each delta of a model."""
        self._at(what)

    async def _after(self, what: str) -> None:
        """Act after a call with an effect, when the effect can no longer be undone."""
        self._at(f"{what}, done")

    def _at(self, what: str) -> None:
        """Act before and after a synchronous call."""

    def model(self, model: str | Model) -> Model:
        """Wrap a model or spec, with a point before each answer, before each delta, and after the answer."""
        return _Model(model, self)

    def memory(self, memory: M) -> M:
        """Wrap a backend, with a point before each method, and after each method that writes."""

        def around(name: str, method: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
            what, writes = f"memory.{name}", not name.startswith(READS)

            async def call(*args: Any, **kwargs: Any) -> T:
                await self._before(what)
                result = await method(*args, **kwargs)
                if writes:
                    # Shielded: a backend whose write has succeeded returns, also if cancelled meanwhile.
                    with trio.CancelScope(shield=True):
                        await self._after(what)
                return result

            return call

        return cast(M, _make_proxy(memory, (), _async_methods(memory), around))

    def tool(self, tool: ToolT) -> ToolT:
        """Wrap a tool, or each tool of a toolkit, with a point before and after each call.

        A toolkit with `open` also has points before and after it opens, and before it closes.
        """
        if isinstance(tool, Toolkit) and tool.open is not None:
            return attrs.evolve(tool, open=self._wrap_open(tool.open, f"toolkit {tool.name}"))
        if isinstance(tool, Toolkit):
            return attrs.evolve(tool, tools=[self.tool(each) for each in tool.tools])
        if getattr(tool, "process", False):
            raise UsageError(
                f"tool {tool.name!r} runs in a process of its own, where nothing can be injected",
                hint="Wrap a copy that runs here: attrs.evolve(tool, process=False).",
            )
        function, what = tool.function, f"tool {tool.name}"
        if not tool.is_async:

            @functools.wraps(function)
            def called(*args: Any, **kwargs: Any) -> Any:
                self._at(what)
                result = function(*args, **kwargs)
                self._at(f"{what}, done")
                return result

            return attrs.evolve(tool, function=called)

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            await self._before(what)
            result = await function(*args, **kwargs)
            await self._after(what)
            return result

        return attrs.evolve(tool, function=awaited)

    def _wrap_open(self, open_: Callable[[], Any], what: str) -> Callable[[], Any]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Any]:
            await self._before(f"{what}, opening")
            async with open_() as given:
                await self._after(f"{what}, opening")
                yield self._wrap_changing(given) if isinstance(given, AsyncIterable) else self._wrap_all(given)
                await self._before(f"{what}, closing")

        return opened

    def _wrap_all(self, given: Iterable[Any]) -> list[Tool]:
        return [self.tool(each if isinstance(each, Tool) else as_tool(each)) for each in given]

    async def _wrap_changing(self, changing: AsyncIterable[Iterable[Any]]) -> AsyncIterator[list[Tool]]:
        async for given in changing:
            yield self._wrap_all(given)

    def hook(self, hook: T) -> T:
        """Wrap a hook, guardrail or `Guard`, with a point before and after each call of a method."""
        if isinstance(hook, Guard):
            return cast(T, attrs.evolve(hook, rail=self.hook(hook.rail)))
        title = getattr(hook, "name", type(hook).__name__)

        def around(name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            what = f"hook {title}.{name}"

            async def call(*args: Any, **kwargs: Any) -> Any:
                await self._before(what)
                result = await method(*args, **kwargs)
                await self._after(what)
                return result

            return call

        # The hook's own methods alone: the runtime skips methods inherited from `Hook`.
        own = [name for name in _async_methods(hook) if getattr(type(hook), name, 0) is not getattr(Hook, name, None)]
        proxy: Any = _make_proxy(hook, (Hook,) if isinstance(hook, Hook) else (), own, around)
        if (bind := getattr(hook, "bound", None)) is not None:
            # For a guardrail with a model: the runtime replaces the guardrail by the value of `bound`.
            proxy.bound = lambda binder: proxy if (made := bind(binder)) is hook else self.hook(made)
        return cast(T, proxy)

    def observer(self, observer: Observer) -> Observer:
        """Wrap an observer, with a point before each event."""
        what = f"observer {getattr(observer, '__name__', type(observer).__name__)}"

        def observe(event: Any) -> None:
            self._at(what)
            observer(event)

        return functools.update_wrapper(observe, observer)


class _Model(Wrapper):
    """A wrapped model. It is a `Wrapper`, so that the runtime binds the models within."""

    kind = "wrapped model"

    def __init__(self, inner: str | Model, wrapping: Wrapping) -> None:
        super().__init__(inner)
        self._wrapping = wrapping

    def __getattr__(self, name: str) -> Any:
        # The runtime itself asks wrappers within for their statistics.
        if name.startswith("_") or (name == "statistics" and isinstance(self.inner, Wrapper)):
            raise AttributeError(name)
        return getattr(self.inner, name)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the model within, with a point before the request, before each delta, and after the answer."""
        wrapping, what = self._wrapping, f"model {self.name}"

        async def emit_at_point(delta: Delta) -> None:
            assert emit is not None
            await wrapping._before(f"{what}, emitting")
            await emit(delta)

        await wrapping._before(what)
        response = await self.inner.respond(request, None if emit is None else emit_at_point)
        await wrapping._after(what)
        return response


class _Proxy:
    """The base of wrapped backends and hooks: passes everything but the wrapped methods to another object."""

    _inner: Any

    def __getattr__(self, name: str) -> Any:
        if name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return f"wrapped({self._inner!r})"


def _async_methods(inner: object) -> list[str]:
    names = (name for name in dir(type(inner)) if not name.startswith("_"))
    return [name for name in names if inspect.iscoroutinefunction(getattr(inner, name, None))]


def _make_proxy(inner: object, bases: tuple[type, ...], names: list[str], around: Callable[[str, Any], Any]) -> object:
    # The methods go on the class, because protocols and the runtime look for them there.
    def method(name: str) -> Callable[..., Any]:
        call = around(name, getattr(inner, name))

        async def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await call(*args, **kwargs)

        return functools.wraps(getattr(inner, name))(wrapped)

    own: dict[str, Any] = {name: method(name) for name in names}
    # From Python 3.12 on, `isinstance` with a protocol does not call `__getattr__`, so set these here.
    own.update({name: getattr(inner, name) for name in ("name", "lease_seconds") if hasattr(inner, name)})
    made = type(f"Wrapped{type(inner).__name__}", (_Proxy, *bases), own)
    proxy = made()
    proxy._inner = inner
    return proxy
