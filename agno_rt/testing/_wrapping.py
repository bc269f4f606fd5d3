"""Puts something around the calls of a run's parts: models, tools, memory backends, hooks, guardrails, observers.

A wrapped part is as the part itself to whoever uses it, its other attributes included.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
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
from agno_rt.wrappers.base import Wrapper

__all__ = ["Wrapping"]

T = TypeVar("T")
M = TypeVar("M", bound=MemoryBackend)
ToolT = TypeVar("ToolT", Tool, Toolkit)

READS = (
    "aclose",
    "cached",
    "facts",
    "find",
    "get",
    "list",
    "load",
    "recall",
    "search",
    "session_info",
    "sessions",
    "statistics",
)
"""How the names of methods that change nothing begin."""


class Wrapping:
    """Wraps parts; says what happens around their calls in `_before`, `_after` and, in synchronous code, `_at`."""

    async def _before(self, what: str) -> None:
        """Before a call, and before each delta that a model emits."""
        self._at(what)

    async def _after(self, what: str) -> None:
        """When a call that does something is done, and what it did stands."""
        self._at(f"{what}, done")

    def _at(self, what: str) -> None:
        """Before and after what cannot wait."""

    def model(self, model: str | Model) -> Model:
        """The model, or that of a spec, with a point before each answer, before each delta, and after the answer."""
        return _Model(model, self)

    def memory(self, memory: M) -> M:
        """The backend, with a point before each method, and after those that write."""

        def around(name: str, method: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
            what, writes = f"memory.{name}", not name.startswith(READS)

            async def call(*args: Any, **kwargs: Any) -> T:
                await self._before(what)
                result = await method(*args, **kwargs)
                if writes:
                    # What is written is written, and a backend says so, cancelled or not.
                    with trio.CancelScope(shield=True):
                        await self._after(what)
                return result

            return call

        return cast(M, _proxy(memory, (), _async_methods(memory), around))

    def tool(self, tool: ToolT) -> ToolT:
        """The tool, or each tool of the toolkit, with a point before each call and when it is done."""
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

    def hook(self, hook: T) -> T:
        """The hook, guardrail or `Guard`, with a point before each of its methods and when it is done."""
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

        own = [name for name in _async_methods(hook) if getattr(type(hook), name, 0) is not getattr(Hook, name, None)]
        proxy: Any = _proxy(hook, (Hook,) if isinstance(hook, Hook) else (), own, around)
        if (bind := getattr(hook, "bound", None)) is not None:
            # A guardrail that asks a model: the runtime takes what this returns in its place.
            proxy.bound = lambda binder: proxy if (made := bind(binder)) is hook else self.hook(made)
        return cast(T, proxy)

    def observer(self, observer: Observer) -> Observer:
        """The observer, with a point before each event."""
        what = f"observer {getattr(observer, '__name__', type(observer).__name__)}"

        def observe(event: Any) -> None:
            self._at(what)
            observer(event)

        return functools.update_wrapper(observe, observer)


class _Model(Wrapper):
    """A wrapped model. It is a wrapper, so that the runtime binds those within it."""

    kind = "wrapped model"

    def __init__(self, inner: str | Model, wrapping: Wrapping) -> None:
        super().__init__(inner)
        self._wrapping = wrapping

    def __getattr__(self, name: str) -> Any:
        # The runtime asks a wrapper within for its statistics itself.
        if name.startswith("_") or (name == "statistics" and isinstance(self.inner, Wrapper)):
            raise AttributeError(name)
        return getattr(self.inner, name)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the model within, with a point before, one before each delta, and one when the answer is there."""
        wrapping, what = self._wrapping, f"model {self.name}"

        async def told(delta: Delta) -> None:
            assert emit is not None
            await wrapping._before(f"{what}, emitting")
            await emit(delta)

        await wrapping._before(what)
        response = await self.inner.respond(request, None if emit is None else told)
        await wrapping._after(what)
        return response


class _Proxy:
    """What all wrapped backends and hooks are: another object but for the methods that are wrapped."""

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


def _proxy(inner: object, bases: tuple[type, ...], names: list[str], around: Callable[[str, Any], Any]) -> object:
    # The methods are on the class, because that is where a protocol and the runtime look for them.
    def method(name: str) -> Callable[..., Any]:
        call = around(name, getattr(inner, name))

        async def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await call(*args, **kwargs)

        return functools.wraps(getattr(inner, name))(wrapped)

    own: dict[str, Any] = {name: method(name) for name in names}
    if hasattr(inner, "name"):
        # As with the methods: from Python 3.12 on, a protocol does not ask `__getattr__`.
        own["name"] = inner.name
    made = type(f"Wrapped{type(inner).__name__}", (_Proxy, *bases), own)
    proxy = made()
    proxy._inner = inner
    return proxy
