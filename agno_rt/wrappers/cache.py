"""A model around a model that answers again what was asked before, and asks once where many ask the same at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal

import attrs
import trio

from agno_rt._drive.scopes import cause
from agno_rt.errors import BackendError, UsageError
from agno_rt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.failures import text_of
from agno_rt.limits import LimitStatistics
from agno_rt.memory import CacheStore
from agno_rt.messages import Usage
from agno_rt.models import NO_USAGE, Binder, Emit, Model, ModelRequest, ModelResponse
from agno_rt.wrappers._cache_key import identity, key_of, pack, unpack
from agno_rt.wrappers._shared import LastingClock
from agno_rt.wrappers._single_flight import Flight
from agno_rt.wrappers.base import Teller, Wrapper

__all__ = ["Cache", "is_complete"]


def is_complete(response: ModelResponse) -> bool:
    """Whether a response is worth keeping: one that came to its end, and has text or tool calls."""
    return response.finish_reason in ("stop", "tool_calls") and bool(response.content or response.tool_calls)


class Cache(Wrapper):
    """Answers a request that was answered before from what it kept, and asks the model for the others.

    Two requests are the same where nothing differs that may change an answer: the model, the messages with their media,
    the tools' names, descriptions and schemas, the tool choice, the output's schema, every setting, and the user. A
    model is told apart by its class, its name and, where it has one, its `identity`; media at a URL by the URL.

    An answer from the cache costs nothing: its `usage` is zero, and `saved` counts what it would have been. It is
    emitted as one delta for the reasoning, one for the text and one for each tool call.

    Of requests that are the same and come at once, one is put to the model; the others wait, and are given what it
    emits as it comes, at their own pace. If the one is cancelled, the next of them asks. If it fails with one of our
    errors, that is the answer to those who waited with it: each has a copy. An error is never kept.

    A store that cannot be used, or has something else under the key, holds nothing up: the model is asked. So it is for
    a request whose settings JSON cannot carry.

    Args:
        model: a spec string, a `Model` or another wrapper
        store: where answers are kept: in this object, and gone with it (`None`); in the memory backend of the runtime
            (`"memory"`), so that they outlive it and are there for other processes; or in a `CacheStore`
        ttl: how long an answer is kept, in seconds; `None` for as long as there is room
        size: how many answers are kept; of more, those asked for longest ago are forgotten. In a store, it counts all
            that is cached there
        shared: whether one user may be given the answer to another. Otherwise users have nothing of each other's; runs
            without a user are as of one user
        keep: whether to keep a response; `is_complete` by default

    Attributes:
        hits: requests answered from the store, or together with another
        misses: requests that the model was asked
        bypassed: requests that went past the cache, as they cannot be told apart
        failures: how often the store could not be used; `failure` says why, of the last time
        saved: the usage of the answers that were not paid for again
        waiting: how many wait now for another's answer
    """

    kind = "cache"

    def __init__(
        self,
        model: str | Model,
        *,
        store: CacheStore | Literal["memory"] | None = None,
        ttl: float | None = 3600.0,
        size: int = 1_000,
        shared: bool = False,
        keep: Callable[[ModelResponse], bool] = is_complete,
    ) -> None:
        if store is not None and store != "memory" and not isinstance(store, CacheStore):
            hint = "Give 'memory' for the runtime's memory backend, a CacheStore, or None."
            raise UsageError(f"the store of a cache is {store!r}", hint=hint)
        if ttl is not None and (not isinstance(ttl, int | float) or isinstance(ttl, bool) or not 0 < ttl < _FOREVER):
            raise UsageError(f"ttl is {ttl!r}", hint="Give seconds above 0, or None.")
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise UsageError(f"size is {size!r}", hint="Give a whole number of at least 1.")
        self.ttl = ttl
        self.size = size
        self.shared = shared
        self._asked_store = store
        self._keep = keep
        super().__init__(model)

    def begin(self) -> None:
        """Begin with nothing kept in this object, and count from nothing."""
        self.hits = self.misses = self.bypassed = self.failures = self.waiting = 0
        self.failure = ""
        self.saved = Usage()
        self._flights: dict[str, Flight] = {}
        self._identity: list[Any] | None = None
        self._own = _Kept()
        asked = self._asked_store
        self._store: CacheStore | None = self._own if asked is None else None if isinstance(asked, str) else asked

    def bound(self, binder: Binder) -> Model:
        """As every wrapper; and with the runtime's memory backend, if that is to be its store.

        Raises `UsageError` for a backend that keeps no cached answers.
        """
        made = super().bound(binder)
        if self._asked_store != "memory":
            return made
        store = binder.memory
        if not isinstance(store, CacheStore):
            hint = "Use another memory, or leave store out: then the answers are kept in the cache itself."
            raise UsageError(f"the memory {type(store).__name__} keeps no cached answers (no CacheStore)", hint=hint)
        if made is self:
            made = self._anew(self.models())
        assert isinstance(made, Cache)
        made._store = store
        return made

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer from what is kept, or together with the same request that is under way, or ask the model."""
        store = self._usable()
        if self._identity is None:
            self._identity = identity(self.inner)
        key = key_of(self._identity, request, shared=self.shared)
        if key is None:
            self.bypassed += 1
            return await self.inner.respond(request, emit)
        teller = None if emit is None else Teller(emit)
        while (flight := self._flights.get(key)) is not None and flight.joinable:
            await self._follow(flight, teller)
            if flight.value is not None:
                return await self._given(flight.value, teller)
            if (error := flight.error()) is not None:
                raise error from error.__cause__
            if teller is not None:
                await teller.restart(f"{self.name} is asked again: another run had asked it, and was ended")
        return await self._lead(store, key, request, teller)

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """How many answers are kept, of how many, and how many wait for another's. A store elsewhere is not counted."""
        return (LimitStatistics(f"cache of {self.name}", self.size, len(self._own), self.waiting),)

    async def clear(self) -> None:
        """Forget every answer, also those that are under way: of these, none is kept, and nobody else waits for them.

        In a memory backend or another store, that is all that is cached there, by other caches too. Raises
        `BackendError` where it cannot be used.
        """
        self._flights = {}
        await self._usable().uncache()

    def _usable(self) -> CacheStore:
        if self._store is None:
            hint = "Run an agent that has it, or ask what `runtime.model(wrapper)` returns."
            raise UsageError("a cache in the runtime's memory was used outside of a runtime", hint=hint)
        return self._store

    async def _follow(self, flight: Flight, teller: Teller | None) -> None:
        self.waiting += 1
        try:
            await flight.follow(teller)
        finally:
            self.waiting -= 1

    async def _lead(self, store: CacheStore, key: str, request: ModelRequest, teller: Teller | None) -> ModelResponse:
        flight = self._flights[key] = Flight(key)
        try:
            value = await self._read(store, key)
            if value is not None:
                flight.land(None, value)
                self._close(flight)
                return await self._given(value, teller)
            self.misses += 1
            await self._ask(store, request, flight, teller)
            response: ModelResponse = flight.response
            return response
        finally:
            self._close(flight)
            flight.end()

    def _close(self, flight: Flight) -> None:
        """Let nobody join it any more. Another may have its place: after `clear`, or when it had no answer."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    async def _ask(self, store: CacheStore, request: ModelRequest, flight: Flight, teller: Teller | None) -> None:
        if teller is None:
            await self._fly(store, request, flight, None)
            return
        failure: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._fly, store, request, flight, flight.emit, name=f"cache: {self.name}")
                await flight.follow(teller)
        except BaseExceptionGroup as group:
            failure = cause(group)
        # Out here it does not get the group, which holds it, for its context; nor is it held by this frame, which it
        # holds: either would keep it until the collector comes by.
        if failure is not None:
            try:
                raise failure
            finally:
                del failure

    async def _fly(self, store: CacheStore, request: ModelRequest, flight: Flight, emit: Emit | None) -> None:
        try:
            response = await self.inner.respond(request, emit)
        except Exception as exc:
            flight.fail(cause(exc))
            raise
        flight.land(response, pack(response))
        # Not of the flights any more, it was asked before the cache was cleared.
        if flight.value is not None and self._flights.get(flight.key) is flight and self._keep(response):
            await self._write(store, flight.key, flight.value)
        # Now, not when a slow reader has read it all: what comes from here on finds it in the store, or not at all.
        self._close(flight)

    async def _given(self, value: bytes, teller: Teller | None) -> ModelResponse:
        response = unpack(value)
        assert response is not None
        self.hits += 1
        self.saved = self.saved + response.usage
        if teller is not None and not teller.told:
            await _emit(response, teller)
        return attrs.evolve(response, usage=NO_USAGE)

    async def _read(self, store: CacheStore, key: str) -> bytes | None:
        try:
            value = await store.cached(key)
        except BackendError as exc:
            self._failed(exc)
            return None
        return None if value is None or unpack(value) is None else value

    async def _write(self, store: CacheStore, key: str, value: bytes) -> None:
        try:
            await store.cache(key, value, seconds=self.ttl, size=self.size)
        except BackendError as exc:
            self._failed(exc)

    def _failed(self, exc: BackendError) -> None:
        self.failures += 1
        self.failure = text_of(exc)


_FOREVER = float("inf")


async def _emit(response: ModelResponse, emit: Emit) -> None:
    if response.reasoning:
        await emit(ReasoningDelta(response.reasoning))
    if response.content:
        await emit(TextDelta(response.content))
    for index, call in enumerate(response.tool_calls):
        await emit(ToolCallDelta(index, call.id, call.name, call.arguments))


class _Kept:
    """The store of a cache that has no other: a `CacheStore` that never waits."""

    def __init__(self) -> None:
        self._clock = LastingClock()
        self._values: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    async def cached(self, key: str) -> bytes | None:
        """What is kept under the key."""
        value, until = self._values.get(key, (None, _FOREVER))
        if until <= self._clock.now():
            del self._values[key]
            return None
        if value is not None:
            self._values.move_to_end(key)
        return value

    async def cache(self, key: str, value: bytes, *, seconds: float | None = None, size: int | None = None) -> None:
        """Keep the value."""
        self._values[key] = value, _FOREVER if seconds is None else self._clock.now() + seconds
        self._values.move_to_end(key)
        while size is not None and len(self._values) > size:
            self._values.popitem(last=False)

    async def uncache(self, key: str | None = None) -> int:
        """Forget one, or all."""
        if key is not None:
            return int(self._values.pop(key, None) is not None)
        count = len(self._values)
        self._values.clear()
        return count
