"""`LlamaModel`: the model for agno_rt. Queues requests, and carries deltas from llama.cpp to trio."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import attrs
import trio

from agno_rt import Limiter
from agno_rt.errors import ModelError
from agno_rt.events import Delta
from agno_rt.limits import LimitStatistics
from agno_rt.media import check_media
from agno_rt.models import Emit, ModelRequest, ModelResponse
from agno_rt_llamacpp.engine import Engine, OnChunk, open_engine
from agno_rt_llamacpp.handover import Handover
from agno_rt_llamacpp.profile import PROFILE, PROVIDER, SMOLLM2, Sampling, Settings
from agno_rt_llamacpp.weights import locate
from agno_rt_llamacpp.wire import Answer, Defaults, Question, question, read_chance

__all__ = ["LlamaModel"]


class LlamaModel:
    """A model in a GGUF file, loaded on the first request and kept until `aclose`.

    At most `settings.parallel` requests are decoded at once, and `settings.queue` more requests wait in order; further
    requests are refused with `Overloaded`, limit `llamacpp.slots`.
    """

    def __init__(self, name: str, settings: Settings | None = None) -> None:
        self.name = f"{PROVIDER}:{name}"
        self._source = name
        self._settings = settings or Settings()
        # The file may allow fewer tokens; nobody has read it yet.
        self.profile = attrs.evolve(PROFILE, context=self._settings.context)
        self._slots = Limiter("llamacpp.slots", self._settings.parallel, self._settings.queue)
        self._threads = trio.CapacityLimiter(self._settings.parallel + 1)
        self._loading = trio.Lock()
        self._engine: Engine | None = None
        self._closed = False

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer the request.

        Raises `UsageError` for media, and for a missing or invalid model file; `Overloaded` for a full queue;
        `ModelError` for a prompt larger than the context and for any failure of llama.cpp. After a cancellation,
        decoding stops within a token, or within a batch of the prompt. While llama.cpp holds text back, a cancelled
        request returns within two seconds, and its slot is free once llama.cpp notices.
        """
        check_media(request.messages, self.profile, self.name)
        await self._slots.acquire()
        begun = False
        try:
            engine = await self._get_engine()
            asked = question(request, self._build_defaults(engine), engine.to_grammar)
            # The slot now belongs to the thread, because the thread may outlast a cancelled request.
            handover = Handover(functools.partial(_complete, engine, asked), self._slots.release)
            begun = True
        finally:
            if not begun:
                self._slots.release()
        return await _collect_answer(handover, Answer(asked, self._settings.think_tags), emit or _discard_delta)

    async def warm(self) -> None:
        """Load the model ahead of the first request. Raises `UsageError` and `ModelError` as `respond` does."""
        await self._get_engine()

    def check_ready(self) -> None:
        """Raise `UsageError` with a hint if the model's file is missing. Does not load the model."""
        locate(self._source)

    async def busy(self) -> int:
        """Return the number of requests in llama.cpp now; 0 if no model is loaded."""
        if self._engine is None:
            return 0
        return await trio.to_thread.run_sync(self._engine.busy, limiter=self._threads)

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the numbers of slots in use and of requests waiting for a slot."""
        return (self._slots.statistics(),)

    async def aclose(self) -> None:
        """Stop the running answers and unload the model. Later requests raise `ModelError`."""
        self._closed = True
        async with self._loading:
            engine, self._engine = self._engine, None
            if engine is not None:
                await trio.to_thread.run_sync(engine.close, abandon_on_cancel=True)

    async def _get_engine(self) -> Engine:
        if self._engine is None:
            async with self._loading:
                # Look again: while this task waited for the lock, another task may have loaded the model.
                if self._engine is None:
                    self._engine = await self._load_engine()
        return self._engine

    async def _load_engine(self) -> Engine:
        if self._closed:
            raise ModelError(f"{self.name} was closed", provider=PROVIDER, hint="Ask it while its runtime is open.")
        path = locate(self._source)
        return await trio.to_thread.run_sync(open_engine, path, self._settings, limiter=self._threads)

    def _build_defaults(self, engine: Engine) -> Defaults:
        own = SMOLLM2.sampling if self._source == SMOLLM2.name else Sampling()
        facts = engine.facts
        return Defaults(self._settings.max_tokens, own.over(self._settings), facts.tools, facts.control_tokens)


def _complete(engine: Engine, asked: Question, on_chunk: OnChunk) -> None:
    """Pass the chunks of the answer to `on_chunk`, on this thread. Raises as `Engine.complete` does."""
    body = asked.body
    if asked.probe is not None and asked.call_body is not None:
        # The prompt is read once: llama.cpp keeps it for the second request.
        chunks: list[Mapping[str, Any]] = []
        engine.complete(asked.probe, chunks.append)
        if read_chance(chunks) >= asked.call_chance:
            body = asked.call_body
    engine.complete(body, on_chunk)


async def _collect_answer(handover: Handover, answer: Answer, emit: Emit) -> ModelResponse:
    try:
        while not answer.cut and (chunk := await handover.next()) is not None:
            for delta in answer.feed(chunk):
                await emit(delta)
    finally:
        await handover.leave()
    rest, response = answer.finish()
    for delta in rest:
        await emit(delta)
    return response


async def _discard_delta(delta: Delta) -> None:
    """Drop the delta: nobody listens."""
