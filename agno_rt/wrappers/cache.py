"""A wrapper that answers repeated requests from a cache, and sends equal requests under way to the model once."""

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
    """Tell whether a response is worth keeping: it is not cut off, and has text or tool calls."""
    return response.finish_reason in ("stop", "tool_calls") and bool(response.content or response.tool_calls)


class Cache(Wrapper):
    """Answers repeated requests from a store, and asks the model for all others.

    Two requests are equal if they agree in everything that may change an answer: the model, the messages with media,
    the tools' names, descriptions and schemas, the tool choice, the output's schema, every setting, and the user. A
    model is identified by class, name and, if present, its `identity`; media at a URL by the URL.

    An answer from the cache costs nothing: the `usage` is zero, and `saved` adds up the usage of the first time. The
    answer is emitted as one delta for the reasoning, one for the text and one for each tool call.

    Of equal requests at the same time, one goes to the model. The others wait and receive its deltas as they come, each
    at its own pace. If the first is cancelled, the next asks. If the first fails with an `AgnoError`, each of the
    others raises a copy. Errors are never kept.

    If the store fails, or has other data under the key, the model is asked. Requests with settings beyond JSON always
    go to the model.

    Args:
        model: a spec string, a `Model` or another wrapper
        store: the place for the answers: this object (`None`), until it is gone; the runtime's memory backend
            (`"memory"`), for later and for other processes too; or a `CacheStore`
        ttl: seconds to keep an answer; `None` for as long as there is room
        size: the most answers to keep; the least recently used go first. In a store, all caches count together
        shared: true to give users each other's answers. By default each user has separate answers, and all runs
            without a user count as one user
        keep: returns true for a response to keep; `is_complete` by default

    Attributes:
        hits: requests answered from the store, or together with another request
        misses: requests sent to the model
        bypassed: requests sent past the cache, because encoding them failed
        failures: failures of the store; `failure` has the text of the latest
        saved: the usage of all answers that were not paid for again
        waiting: requests waiting now for another's answer
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
            raise UsageError(f"the store of a cache is {store!r}, not a CacheStore", hint=hint)
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
        """Begin with an empty cache in this object, and with all counts at 0."""
        self.hits = self.misses = self.bypassed = self.failures = self.waiting = 0
        self.failure = ""
        self.saved = Usage()
        self._flights: dict[str, Flight] = {}
        self._identity: list[Any] | None = None
        self._own = _LocalStore()
        asked = self._asked_store
        self._store: CacheStore | None = self._own if asked is None else None if isinstance(asked, str) else asked

    def bound(self, binder: Binder) -> Model:
        """Bind as every wrapper, and for `store="memory"` use the runtime's memory backend as the store.

        Raises `UsageError` if the backend is not a `CacheStore`.
        """
        bound = super().bound(binder)
        if self._asked_store != "memory":
            return bound
        store = binder.memory
        if not isinstance(store, CacheStore):
            hint = "Use another memory, or leave store out to keep the answers in the Cache object."
            raise UsageError(f"the memory {type(store).__name__} is not a CacheStore, so it cannot cache", hint=hint)
        if bound is self:
            # The store belongs to this runtime alone, and the original may be bound by others.
            bound = self._copy_with(self.models())
        assert isinstance(bound, Cache)
        bound._store = store
        return bound

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer from the store, or together with an equal request under way, or ask the model."""
        store = self._require_store()
        if self._identity is None:
            self._identity = identity(self.inner)
        key = key_of(self._identity, request, shared=self.shared)
        if key is None:
            self.bypassed += 1
            return await self.inner.respond(request, emit)
        teller = None if emit is None else Teller(emit)
        # Again after a flight without an answer: the first follower to run asks, and the others join the new flight.
        while (flight := self._flights.get(key)) is not None and flight.joinable:
            await self._follow(flight, teller)
            if flight.value is not None:
                return await self._answer_with(flight.value, teller)
            if (error := flight.error()) is not None:
                raise error from error.__cause__
            if teller is not None:
                await teller.restart(f"{self.name} is asked again: the run that had asked it was ended")
        return await self._lead(store, key, request, teller)

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the number of answers in this object, the most to keep, and the number of waiting requests."""
        return (LimitStatistics(f"cache of {self.name}", self.size, len(self._own), self.waiting),)

    async def clear(self) -> None:
        """Forget every answer. Answers under way are not kept, and no new request waits for them.

        A memory backend or another store forgets the answers of all caches. Raises `BackendError` if the store fails.
        """
        self._flights = {}
        await self._require_store().uncache()

    def _require_store(self) -> CacheStore:
        if self._store is None:
            hint = "Run an agent with the cache, or ask the model that `runtime.model(wrapper)` returns."
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
                return await self._answer_with(value, teller)
            self.misses += 1
            await self._ask(store, request, flight, teller)
            response: ModelResponse = flight.response
            return response
        finally:
            # Without an answer, as after a cancellation, the followers wake up here and the first of them asks.
            self._close(flight)
            flight.end()

    def _close(self, flight: Flight) -> None:
        """Let no more requests join the flight."""
        # Another flight may have the key by now: after `clear`, or when this one ended without an answer.
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
        # Raised outside the `except`, the error does not get the group, which holds it, as its context. The `del` keeps
        # this frame from holding it. Either would be a cycle that only the garbage collector frees.
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
        # If `clear` has removed the flight meanwhile, the answer must not be kept.
        if flight.value is not None and self._flights.get(flight.key) is flight and self._keep(response):
            await self._write(store, flight.key, flight.value)
        # Close now, and not after a slow reader has read everything: new requests look in the store from here on.
        self._close(flight)

    async def _answer_with(self, value: bytes, teller: Teller | None) -> ModelResponse:
        response = unpack(value)
        assert response is not None
        self.hits += 1
        self.saved = self.saved + response.usage
        # A follower whose reader has the streamed deltas needs no second copy.
        if teller is not None and not teller.told:
            await _emit_response(response, teller)
        # No request was made, so that no provider knows an id of it.
        return attrs.evolve(response, usage=NO_USAGE, request_id="")

    async def _read(self, store: CacheStore, key: str) -> bytes | None:
        try:
            value = await store.cached(key)
        except BackendError as exc:
            self._count_failure(exc)
            return None
        return None if value is None or unpack(value) is None else value

    async def _write(self, store: CacheStore, key: str, value: bytes) -> None:
        try:
            await store.cache(key, value, seconds=self.ttl, size=self.size)
        except BackendError as exc:
            self._count_failure(exc)

    def _count_failure(self, exc: BackendError) -> None:
        self.failures += 1
        self.failure = text_of(exc)


_FOREVER = float("inf")


async def _emit_response(response: ModelResponse, emit: Emit) -> None:
    if response.reasoning:
        await emit(ReasoningDelta(response.reasoning))
    if response.content:
        await emit(TextDelta(response.content))
    for index, call in enumerate(response.tool_calls):
        await emit(ToolCallDelta(index, call.id, call.name, call.arguments))


class _LocalStore:
    """The default store of a cache, in its own object: a `CacheStore` that never waits."""

    def __init__(self) -> None:
        self._clock = LastingClock()
        self._values: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    async def cached(self, key: str) -> bytes | None:
        """Return the value under the key, or `None`."""
        value, until = self._values.get(key, (None, _FOREVER))
        if until <= self._clock.now():
            del self._values[key]
            return None
        if value is not None:
            self._values.move_to_end(key)
        return value

    async def cache(self, key: str, value: bytes, *, seconds: float | None = None, size: int | None = None) -> None:
        """Keep the value, and drop the least recently used ones over `size`."""
        self._values[key] = value, _FOREVER if seconds is None else self._clock.now() + seconds
        self._values.move_to_end(key)
        while size is not None and len(self._values) > size:
            self._values.popitem(last=False)

    async def uncache(self, key: str | None = None) -> int:
        """Forget one value, or all, and return the number."""
        if key is not None:
            return int(self._values.pop(key, None) is not None)
        count = len(self._values)
        self._values.clear()
        return count
