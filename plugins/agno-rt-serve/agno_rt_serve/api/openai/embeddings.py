"""Embeddings, `/v1/embeddings`: the vectors of texts, by the embedders of the settings.

Reference: the OpenAI API reference, "Embeddings".
"""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from agno_rt.errors import AgnoError, NotFound, UsageError
from agno_rt.knowledge import Embedder, Embeddings
from agno_rt_serve.api.openai.answers import error_body
from agno_rt_serve.api.openai.described import describe
from agno_rt_serve.api.openai.models import embedder_specs, unknown_model
from agno_rt_serve.api.openai.refused import Refused, check_ranges, decode_body
from agno_rt_serve.api.routing import Route
from agno_rt_serve.api.site import Site
from agno_rt_serve.auth.caller import caller_of
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, json_body, respond

__all__ = ["EmbeddingRoutes"]

_MOST_TEXTS = 2048
"""OpenAI's own bound for the texts of a request."""

_MOST_SIZES = 16
"""The most embedders made for the `dimensions` of requests: each stays open, and any client may ask for another."""


class EmbeddingBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/embeddings`. A missing field is the same as `null`."""

    model: str
    input: Any
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    user: str | None = None


class EmbeddingItem(msgspec.Struct):
    """The vector of one text: a list of numbers, or the 32-bit floats in base64, little-endian."""

    embedding: list[float] | str
    index: int
    object: str = "embedding"


class EmbeddingUsage(msgspec.Struct):
    """The tokens read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(msgspec.Struct):
    """The vectors, in the order of the texts."""

    data: list[EmbeddingItem]
    model: str
    usage: EmbeddingUsage
    object: str = "list"


_decoder = msgspec.json.Decoder(EmbeddingBody)


_EMBED = describe("embed", "Embed texts", EmbeddingList, body=EmbeddingBody, errors=(404, 500, 502, 504))


class EmbeddingRoutes:
    """Answers `/v1/embeddings`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._specs = embedder_specs(site)
        self._sized: dict[tuple[str, int], Embedder] = {}

    def routes(self) -> list[Route]:
        """Return the route; errors have OpenAI's shape."""
        return [Route("POST", "/v1/embeddings", self._embed, error_body, _EMBED)]

    async def _embed(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked: EmbeddingBody = decode_body(_decoder, await json_body(scope, receive), "a request for embeddings")
        check_ranges(asked, (("dimensions", 1, 1_000_000),))
        texts = _read_texts(asked.input)
        spec = self._specs.get(asked.model)
        if spec is None:
            raise unknown_model(NotFound("embedder", asked.model, self._specs))
        caller = caller_of(scope)
        caller.check("run", "models", asked.model)
        if caller.purse is not None:
            caller.purse.check()
        embedder = self._choose(spec, asked.dimensions)
        try:
            made = await embedder.embed(texts)
        except UsageError as exc:
            raise Refused(exc.message, "input", exc.hint) from exc
        if caller.purse is not None and made.usage.cost:
            caller.purse.add(made.usage.cost)
        _check_vectors(made, asked.dimensions)
        listed = EmbeddingList(
            [EmbeddingItem(_render(vector, asked), at) for at, vector in enumerate(made.vectors)],
            asked.model,
            EmbeddingUsage(made.usage.input_tokens, made.usage.input_tokens),
        )
        await respond(send, 200, JSON, msgspec.json.encode(listed))

    def _choose(self, spec: str, dimensions: int | None) -> Embedder:
        """Return the embedder, or the one of that spec for shorter vectors. Raises `Refused` if it cannot."""
        embedder = self._site.runtime.embedder(spec)
        if dimensions is None or embedder.dimensions in (None, dimensions):
            return embedder
        known = self._sized.get((spec, dimensions))
        if known is None and len(self._sized) < _MOST_SIZES:
            try:
                known = self._site.runtime.embedder(f"{spec.partition('@')[0]}@{dimensions}")
            except AgnoError:
                known = None  # the spec has no place for a length
        if known is None or known.dimensions != dimensions:
            hint = f"Leave `dimensions` out: its vectors have {embedder.dimensions}."
            raise Refused(f"the embedder cannot make vectors of {dimensions} numbers", "dimensions", hint)
        self._sized[spec, dimensions] = known
        return known


def _read_texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise Refused("input is neither a text nor a list of texts", "input", "Send a text, or a list of texts.")
    if len(texts) > _MOST_TEXTS:
        raise Refused(f"input has more than {_MOST_TEXTS:,} texts", "input", "Send several requests.")
    for at, text in enumerate(texts):
        where = "input" if isinstance(given, str) else f"input[{at}]"
        if isinstance(text, int | list):
            hint = "Send texts: only the embedder knows its tokens. LangChain: check_embedding_ctx_length=False."
            raise Refused(f"{where} has the ids of tokens, which are not supported", "input", hint)
        if not isinstance(text, str) or not text or text.isspace():
            raise Refused(f"{where} is not a text, or is blank", "input", "Leave blank texts out; they mean nothing.")
    return texts


def _check_vectors(made: Embeddings, dimensions: int | None) -> None:
    """Raise `Refused` for texts that were cut, and for vectors of another length than the client asked for."""
    if made.cut:
        hint = "Split it: a vector of its beginning would pass for one of the whole."
        raise Refused(f"input[{made.cut[0]}] is longer than the embedder reads", "input", hint)
    if dimensions is not None and any(len(vector) != dimensions for vector in made.vectors):
        hint = f"Leave `dimensions` out: its vectors have {len(made.vectors[0])}."
        raise Refused(f"the embedder cannot make vectors of {dimensions} numbers", "dimensions", hint)


def _render(vector: Sequence[float], asked: EmbeddingBody) -> list[float] | str:
    numbers = array("f", vector)
    if asked.encoding_format != "base64":
        return numbers.tolist()
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode("ascii")
