"""Embedders and rerankers for any number of texts: split into requests, several at once, tried again, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import trio

from agno_rt._drive.scopes import cause, raise_first
from agno_rt.errors import ModelError, UsageError
from agno_rt.knowledge.embedders import (
    Embedder,
    EmbedderProfile,
    Embeddings,
    Purpose,
    Vector,
    check_texts,
    embedder_profile,
)
from agno_rt.knowledge.rerankers import Ranked, Reranker, RerankerProfile, check_ranking, reranker_profile
from agno_rt.limiter import Limiter
from agno_rt.limits import LimitStatistics
from agno_rt.messages import Usage
from agno_rt.wrappers.backoff import Backoff

__all__ = ["Batches", "RerankerBatches", "estimate_text_tokens"]

T = TypeVar("T")


def estimate_text_tokens(text: str) -> int:
    """Return the tokens of a text, as estimated: one for three bytes of UTF-8, which is seldom too few."""
    return len(text) // 3 + 1 if text.isascii() else len(text.encode("utf-8", "replace")) // 3 + 1


class _Requests:
    """The requests of one embedder or reranker: at most `total` at once, each tried again after a passing failure."""

    def __init__(self, name: str, total: int, backoff: Backoff) -> None:
        self.retries = 0
        self._backoff = backoff
        self._places = Limiter(f"{name} requests", total)

    async def carry_out(self, requests: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
        """Carry out the requests, and return their results in order. The first failure cancels the others."""
        if len(requests) == 1:
            return [await self._try(requests[0])]
        results: dict[int, T] = {}
        # The workers share one iterator: a long list of requests needs few tasks.
        places = enumerate(requests)

        async def work() -> None:
            for at, request in places:
                results[at] = await self._try(request)

        try:
            async with trio.open_nursery() as nursery:
                for _ in range(min(self._places.total, len(requests))):
                    nursery.start_soon(work)
        except BaseExceptionGroup as group:
            raise_first(group)
        return [results[at] for at in range(len(requests))]

    def statistics(self) -> LimitStatistics:
        """Return the number of requests under way, and of those that wait."""
        return self._places.statistics()

    async def _try(self, request: Callable[[], Awaitable[T]]) -> T:
        began, attempt = trio.current_time(), 0
        while True:
            try:
                async with self._places:
                    return await request()
            except Exception as exc:
                failure = cause(exc)
                if not isinstance(failure, ModelError):
                    raise
                attempt += 1
                wait = self._backoff.next_wait(failure, attempt)
                if wait is None:
                    self._backoff.explain(failure, attempt, trio.current_time() - began)
                    try:
                        raise failure from failure.__cause__
                    finally:
                        # The error's traceback holds this frame, so holding the error here would make a cycle.
                        del failure
            self.retries += 1
            await trio.sleep(wait)  # without a place, which another request may use meanwhile


class Batches:
    """An embedder that takes any number of texts, around an embedder with bounded requests.

    The texts are split into requests of at most `batch_texts` texts and about `batch_tokens` tokens; at most `requests`
    are under way at once, for all calls together. A request is tried again after a `ModelError` that is `retryable`, as
    by `Retry`. The first other failure cancels the other requests and is raised. Vectors are in the order of the texts.

    `Runtime.embedder` returns each embedder in batches with the bounds of its profile.

    Args:
        embedder: the embedder to ask
        batch_texts: the most texts of a request; by default as in the embedder's profile, as the next two
        batch_tokens: the most tokens of a request, as estimated by `estimate_text_tokens`
        requests: the most requests at once
        backoff: the policy of retries

    Raises `UsageError` for unusable bounds.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        batch_texts: int | None = None,
        batch_tokens: int | None = None,
        requests: int | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        profile = embedder_profile(embedder)
        self.inner = embedder
        self._texts = _check_bound("batch_texts", batch_texts or profile.batch_texts)
        self._tokens = batch_tokens or profile.batch_tokens
        total = _check_bound("requests", requests or profile.requests)
        self._requests = _Requests(embedder.name, total, backoff or Backoff())

    def __repr__(self) -> str:
        return f"Batches({self.inner!r})"

    @property
    def name(self) -> str:
        """The name of the embedder."""
        return self.inner.name

    @property
    def dimensions(self) -> int | None:
        """The length of the embedder's vectors, if known."""
        return self.inner.dimensions

    @property
    def profile(self) -> EmbedderProfile:
        """The profile of the embedder."""
        return embedder_profile(self.inner)

    @property
    def retries(self) -> int:
        """The number of requests that were tried again, so far."""
        return self._requests.retries

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """Return the vectors of the texts, in order; of no texts, none.

        Raises `UsageError` for a blank text, `ModelError` for a request that failed for good, or for an answer with
        another number of vectors than texts, or with vectors of several lengths.
        """
        check_texts(texts)
        if purpose not in ("document", "query"):
            raise UsageError(f"purpose is {purpose!r}", hint="Give 'document' or 'query'.")
        if not texts:
            return Embeddings(())
        batches = list(self._split(texts))
        answers = await self._requests.carry_out([partial(self._ask, batch, purpose) for batch in batches])
        return self._join(answers)

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the state of the limit of requests, then those of the embedder."""
        return (self._requests.statistics(), *getattr(self.inner, "statistics", tuple)())

    async def aclose(self) -> None:
        """Close the embedder."""
        await _close(self.inner)

    def check_ready(self) -> None:
        """Raise the error that a call would meet, if weights or a key are missing."""
        getattr(self.inner, "check_ready", bool)()

    def _split(self, texts: Sequence[str]) -> Iterator[Sequence[str]]:
        begin, tokens = 0, 0
        for at, text in enumerate(texts):
            needed = 0 if self._tokens is None else estimate_text_tokens(text)
            if at > begin and (at - begin >= self._texts or tokens + needed > (self._tokens or 0) > 0):
                yield texts[begin:at]
                begin, tokens = at, 0
            tokens += needed
        yield texts[begin:]

    async def _ask(self, batch: Sequence[str], purpose: Purpose) -> Embeddings:
        answer = await self.inner.embed(batch, purpose=purpose)
        if len(answer.vectors) != len(batch):
            # By count alone no vector can be told to belong to its text.
            raise self._fail(f"returned {len(answer.vectors)} vectors for {len(batch)} texts")
        return answer

    def _join(self, answers: Sequence[Embeddings]) -> Embeddings:
        vectors: list[Vector] = []
        usage, cut = Usage(), []
        for answer in answers:
            cut += [len(vectors) + place for place in answer.cut]
            vectors += answer.vectors
            usage += answer.usage
        lengths = {len(vector) for vector in vectors}
        if len(lengths) > 1:
            raise self._fail(f"returned vectors of several lengths: {', '.join(map(str, sorted(lengths)))}")
        return Embeddings(vectors, usage, tuple(cut))

    def _fail(self, what: str) -> ModelError:
        hint = "Nothing of the answer was used. Is the name that of a model for embeddings?"
        return ModelError(f"{self.name} {what}", provider=self.name, hint=hint)


class RerankerBatches:
    """A reranker that takes any number of texts, around a reranker with bounded requests. Otherwise as `Batches`.

    The scores of several requests are compared with each other, as rerankers score each text by itself.
    """

    def __init__(
        self,
        reranker: Reranker,
        *,
        batch_texts: int | None = None,
        requests: int | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        profile = reranker_profile(reranker)
        self.inner = reranker
        self._texts = _check_bound("batch_texts", batch_texts or profile.batch_texts)
        total = _check_bound("requests", requests or profile.requests)
        self._requests = _Requests(reranker.name, total, backoff or Backoff())

    def __repr__(self) -> str:
        return f"RerankerBatches({self.inner!r})"

    @property
    def name(self) -> str:
        """The name of the reranker."""
        return self.inner.name

    @property
    def profile(self) -> RerankerProfile:
        """The profile of the reranker."""
        return reranker_profile(self.inner)

    @property
    def retries(self) -> int:
        """The number of requests that were tried again, so far."""
        return self._requests.retries

    async def rerank(self, query: str, texts: Sequence[str], *, top: int | None = None) -> list[Ranked]:
        """Return the `top` best texts, or all texts, the best first; equal texts in their order.

        Raises `UsageError` for a blank query, `ModelError` for a request that failed for good, or for an answer with
        places that were not given, or were named twice.
        """
        check_ranking(query, texts, top)
        if not texts:
            return []
        begins = range(0, len(texts), self._texts)
        answers = await self._requests.carry_out([partial(self._ask, query, texts, at, top) for at in begins])
        ranked = [each for answer in answers for each in answer]
        return sorted(ranked, key=lambda each: (-each.score, each.place))[:top]

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the state of the limit of requests, then those of the reranker."""
        return (self._requests.statistics(), *getattr(self.inner, "statistics", tuple)())

    async def aclose(self) -> None:
        """Close the reranker."""
        await _close(self.inner)

    def check_ready(self) -> None:
        """Raise the error that a call would meet, if a key is missing."""
        getattr(self.inner, "check_ready", bool)()

    async def _ask(self, query: str, texts: Sequence[str], begin: int, top: int | None) -> list[Ranked]:
        batch = texts[begin : begin + self._texts]
        wanted = len(batch) if top is None else min(top, len(batch))
        answer = await self.inner.rerank(query, batch, top=top)
        places = {each.place for each in answer}
        if len(answer) < wanted or len(places) < len(answer) or not places <= set(range(len(batch))):
            what = f"ranked {len(places)} of {len(batch)} texts, where {wanted} were asked for"
            hint = "Nothing of the answer was used. Is the name that of a model for reranking?"
            raise ModelError(f"{self.name} {what}", provider=self.name, hint=hint)
        return [Ranked(begin + each.place, each.score) for each in answer]


async def _close(part: Any) -> None:
    close = getattr(part, "aclose", None)
    if close is not None:
        await close()


def _check_bound(name: str, value: object) -> int:
    if type(value) is not int or value < 1:
        raise UsageError(f"{name} is {value!r}", hint="Give a whole number of at least 1.")
    return value
