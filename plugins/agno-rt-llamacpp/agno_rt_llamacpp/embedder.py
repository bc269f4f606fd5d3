"""`LlamaEmbedder`: vectors of texts from an embedding model in a GGUF file, in this process.

A text is a call of llama.cpp by itself: several texts in one call take the same time, and cannot be stopped in between.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs
import trio

from agno_rt import Limiter
from agno_rt.errors import ModelError
from agno_rt.knowledge.embedders import EmbedderProfile, Embeddings, Purpose, Vector, check_texts, unit_vector
from agno_rt.limits import LimitStatistics
from agno_rt.messages import Usage
from agno_rt.models import FREE
from agno_rt_llamacpp.gguf import read_facts
from agno_rt_llamacpp.profile import MINILM, PROVIDER, Settings
from agno_rt_llamacpp.weights import locate

__all__ = ["LlamaEmbedder"]

_SILENT, _TALKING = -1, 3
_TOO_LONG = re.compile(r"\((\d+) tokens\) is (?:too large|larger)")
_MOST_LETTERS = 8
"""Letters for a token that a text may have before it is cut unread; the words of most languages have fewer."""
_MARGIN = 0.95
"""The share of the letters by proportion that is tried next, as tokens are not spread evenly."""

_UNKNOWN = EmbedderProfile(too_long="cut", batch_texts=32, requests=1, price=FREE, in_process=True)
_MINILM = attrs.evolve(
    _UNKNOWN,
    max_tokens=512,
    languages=("en",),
    note="all-MiniLM-L6-v2 in this process: English, 384 numbers, no key and no network.",
)


class _Server(Protocol):
    def handle_embeddings(self, request: Mapping[str, Any]) -> Any: ...

    def handle_metrics(self) -> str: ...


class LlamaEmbedder:
    """An embedding model in a GGUF file, loaded at the first call and kept until `aclose`.

    One call is computed at a time, by all of llama.cpp's threads; at most `settings.queue` more wait in order, and
    further calls are refused with `Overloaded`, limit `llamacpp.embedder`. A text above the model's length is cut.
    """

    def __init__(self, source: str, settings: Settings | None = None) -> None:
        self.name = f"{PROVIDER}:{source}"
        self.dimensions: int | None = 384 if source == MINILM.name else None
        self.profile = _MINILM if source == MINILM.name else _UNKNOWN
        self._source = source
        self._settings = settings or Settings()
        self._place = Limiter("llamacpp.embedder", 1, self._settings.queue)
        self._threads = trio.CapacityLimiter(1)
        self._server: _Server | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"LlamaEmbedder({self._source!r})"

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """Return the vectors of the texts. The purpose makes no difference.

        Raises `UsageError` for a blank text and for a missing or invalid model file; `Overloaded` for a full queue;
        `ModelError` for any failure of llama.cpp, and for a model that does not embed. A cancelled call ends after the
        text under way.
        """
        check_texts(texts)
        await trio.lowlevel.checkpoint_if_cancelled()
        if not texts:
            return Embeddings(())
        async with self._place:
            if self._closed:
                raise ModelError(f"{self.name} was closed", provider=PROVIDER, hint="Use it while its runtime is open.")
            server = await self._load_server()
            found = await trio.to_thread.run_sync(
                _embed_all, server, self.name, texts, self.profile.max_tokens, limiter=self._threads
            )
        self.dimensions = len(found.vectors[0])
        return found

    async def _load_server(self) -> _Server:
        if self._server is None:
            path = locate(self._source)
            server, most = await trio.to_thread.run_sync(_open_server, path, self._settings, limiter=self._threads)
            self.profile = attrs.evolve(self.profile, max_tokens=most)
            self._server = server
            return server
        return self._server

    def check_ready(self) -> None:
        """Raise `UsageError` with a hint if the model's file is missing. Does not load the model."""
        locate(self._source)

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the calls under way, 0 or 1, and the number of calls that wait."""
        return (self._place.statistics(),)

    async def aclose(self) -> None:
        """Unload the model after the call under way. Later calls raise `ModelError`."""
        self._closed = True
        async with self._place:
            server, self._server = self._server, None
            if server is not None:
                del server  # llama.cpp stops its loop within milliseconds


def _embed_all(server: _Server, name: str, texts: Sequence[str], most: int | None) -> Embeddings:
    """Return the vectors of the texts, in a thread of trio's. Stops between two texts if the task is cancelled."""
    vectors: list[Vector] = []
    cut: list[int] = []
    tokens = 0
    for place, text in enumerate(texts):
        trio.from_thread.check_cancelled()
        vector, read, was_cut = _embed_text(server, name, text, most)
        vectors.append(vector)
        tokens += read
        if was_cut:
            cut.append(place)
    return Embeddings(vectors, Usage(input_tokens=tokens), tuple(cut))


def _embed_text(server: _Server, name: str, text: str, most: int | None) -> tuple[Vector, int, bool]:
    """Return the vector of a text, the tokens read, and whether the text was cut."""
    whole = text = text.encode("utf-8", "replace").decode()  # llama.cpp refuses halves of surrogate pairs
    if most is not None:
        text = text[: most * _MOST_LETTERS]
    while True:
        try:
            answer = server.handle_embeddings({"input": [text]})
        except (RuntimeError, ValueError) as exc:
            raise ModelError(f"{name}: llama.cpp failed: {str(exc)[:500]}", provider=PROVIDER) from exc
        if "error" not in answer:
            break
        said = str(answer["error"].get("message", answer["error"]))
        too_long = _TOO_LONG.search(said)
        if too_long is None or most is None or len(text) < 2:
            hint = "A chat model is not an embedder: name the GGUF file of an embedding model."
            raise ModelError(f"{name} made no vector: {said[:500]}", provider=PROVIDER, hint=hint)
        text = text[: max(1, int(len(text) * most / int(too_long[1]) * _MARGIN))]
    try:
        vector = unit_vector(answer["data"][0]["embedding"])
    except (ValueError, TypeError, LookupError) as exc:
        raise ModelError(f"{name} made a vector that cannot be used: {exc}", provider=PROVIDER) from exc
    return vector, int(answer.get("usage", {}).get("prompt_tokens", 0)), len(text) < len(whole)


def _open_server(path: Path, settings: Settings) -> tuple[_Server, int]:
    """Load the model, and return it with the most tokens of a text.

    Raises `UsageError` for anything but a GGUF file, `ModelError` if llama.cpp cannot load it.
    """
    facts = read_facts(path)
    # As in `engine`: threads that spin while waiting slow trio down.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

    import xllamacpp  # type: ignore[import-untyped]  # has no stubs; _Server declares the used methods

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.embedding = True
    # A text is read in one batch, and may not be longer than the table of positions.
    most = min(facts.context_length or settings.context, settings.context)
    params.n_ctx = params.n_batch = params.n_ubatch = most
    params.n_parallel = 1
    params.n_gpu_layers = settings.gpu_layers
    params.verbosity = _TALKING if settings.verbose else _SILENT
    if settings.threads:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads
    params.warmup = params.fit_params = False
    params.api_keys = [secrets.token_urlsafe(32)]
    params.ui = False
    params.endpoint_metrics = True
    try:
        server = xllamacpp.Server(params)
    except (RuntimeError, ValueError) as exc:
        raise ModelError(
            f"llama.cpp cannot load {str(path)!r}: the file is damaged, of a kind unknown to it, or too large",
            hint="Set verbose = true in [plugins.llamacpp] to see why.",
            provider=PROVIDER,
        ) from exc
    server.handle_metrics()  # a server destroyed before its loop runs never ends
    return server, most
