"""Bases of embedders and rerankers over HTTP: one pooled client each, one request a call, every failure told.

A plugin's subclass says where a request goes, what it holds, and how its answer is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

from agno_rt.errors import ModelError, UsageError
from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.model import NO_KEY, build_headers
from agno_rt.http_client.server import HttpServer, Key, without_query
from agno_rt.knowledge.embedders import EmbedderProfile, Embeddings, Purpose, Vector, check_texts
from agno_rt.knowledge.rerankers import Ranked, RerankerProfile, check_ranking
from agno_rt.limits import LimitStatistics
from agno_rt.messages import Usage
from agno_rt.wire.lenient_json import write_json
from agno_rt.wire.refusals import ErrorReader, Peer, describe_error
from agno_rt.wire.vectors import read_value

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["HttpEmbedder", "HttpReranker", "JsonService", "split_dimensions"]

T = TypeVar("T")

_REFUSED = (400, 413, 422, 500)
"""Statuses of a text that is too long; llama.cpp's server and older ones of Ollama say 500."""

_LENGTH_WORDS = (
    "too long",
    "too large",
    "too many tokens",
    "maximum context",
    "context length",
    "max_tokens",
    "exceed",
)
"""Words of services that refuse a text for its length."""


def split_dimensions(model: str) -> tuple[str, int | None]:
    """Return the model and the length of vectors in `MODEL@512`; `None` without a length.

    Raises `UsageError` for a length of 0.
    """
    name, at, number = model.rpartition("@")
    if not at or not name or not number.isdecimal():
        return model, None
    if int(number) < 1:
        raise UsageError(f"{model!r} asks for vectors without numbers", hint=f"Write {name}@512, or {name}.")
    return name, int(number)


class JsonService:
    """A service that answers a JSON body with a JSON body.

    Args:
        name: the spec string of the embedder or reranker
        model: the name of the model, for errors
        server: the address, the timeouts and the bounds
        provider: the name of the service in errors
        user_agent: the name of the distribution
    """

    read_error: ErrorReader = staticmethod(describe_error)

    def __init__(self, name: str, model: str, server: HttpServer, provider: str, user_agent: str) -> None:
        self.name = name
        self.model = model
        self.server = server
        self.provider = provider
        # Two servers may have the same name; the URL tells them apart.
        self.identity = server.base_url
        self._client = HttpClient(server, provider, user_agent)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, base_url={without_query(self.server.base_url)!r})"

    def find_key(self) -> Key:
        """Return the key to send. Raises `ConfigError` for a missing key. Override it."""
        raise NotImplementedError("override find_key")

    def build_headers(self, key: Key) -> Mapping[str, str]:
        """Return the headers of a request besides the types of content: the key as a bearer's token."""
        return {"authorization": f"Bearer {key.text}"} if key.text else {}

    async def ask(self, path: str, body: Mapping[str, Any], read: Callable[[Any], T], noun: str) -> T:
        """Send the body to the path below the base URL, and return the result of `read`. Raises `ModelError`."""
        key = self.find_key()
        url = self.server.url(path)
        own = self.build_headers(key)
        peer = self.make_peer(key, url)
        # A token signed by the key is a secret, too.
        peer = attrs.evolve(peer, secrets=(*peer.secrets, *own.values()))
        headers = build_headers(self.server, own, stream=False)
        async with self._client.post(url, write_json(body, self.model), headers, peer) as answer:
            return await self.read_answer(answer, read, noun)

    async def read_answer(self, answer: Answer, read: Callable[[Any], T], noun: str) -> T:
        """Return the result of `read` for the answer's value. Raises `ModelError` for a refusal and another value."""
        await answer.check()
        return read_value(await answer.read_all(), answer.peer, read, noun)

    async def warm(self) -> None:
        """Open a connection ahead of the first call. Raises `ModelError` if the server cannot be reached."""
        await self._client.warm(self.make_peer(NO_KEY, self.server.base_url))

    def check_ready(self) -> None:
        """Raise `ConfigError` if the server needs a key and the key is missing. Does not ask the server."""
        self.find_key()

    async def aclose(self) -> None:
        """Close the connections. A running call fails."""
        await self._client.aclose()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the numbers of connections in use and of requests waiting for a connection."""
        return self._client.statistics()

    def make_peer(self, key: Key, url: str) -> Peer:
        """Return the server for errors about a request."""
        return Peer(
            name=self.name,
            provider=self.provider,
            model=self.model,
            url=without_query(url),
            key_source=key.source,
            secrets=self.server.secrets(key),
            read_error=self.read_error,
        )


class HttpEmbedder(JsonService):
    """Base of an embedder over HTTP. Override `request`, which sends the texts by `ask`, and set `profile`.

    `dimensions` is the length of vectors: as known, as asked for, or as in the first answer.
    """

    profile = EmbedderProfile()
    dimensions: int | None = None

    async def request(self, texts: Sequence[str], purpose: Purpose) -> tuple[list[Vector], Usage]:
        """Send the texts in one request, and return their vectors in order, with the usage. Override it."""
        raise NotImplementedError("override request")

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """Return the vectors of the texts, in order.

        Raises `ModelError` for every failure of the server or the connection, and for an answer whose vectors do not
        fit the texts; `ConfigError` for a missing key; `UsageError` for a blank text, and for a text that the server
        refuses for its length; `Overloaded` if too many requests wait for a connection.
        """
        check_texts(texts)
        if not texts:
            await trio.lowlevel.checkpoint()
            return Embeddings(())
        try:
            vectors, usage = await self.request(texts, purpose)
        except ModelError as exc:
            refused = explain_length(exc, texts)
            if refused is None:
                raise
            raise refused from exc
        length = len(vectors[0])
        if self.dimensions is None:
            self.dimensions = length
        elif length != self.dimensions:
            hint = "Vectors of another length cannot be compared with those of before. Has the model been replaced?"
            problem = f"{self.name} answered with vectors of {length} numbers, where {self.dimensions} were expected"
            raise ModelError(problem, provider=self.provider, hint=hint)
        price = self.profile.price
        if price is not None and not usage.cost:
            usage = attrs.evolve(usage, cost=price.of(usage))
        return Embeddings(vectors, usage)


class HttpReranker(JsonService):
    """Base of a reranker over HTTP. Override `request`, which sends the texts by `ask`."""

    profile = RerankerProfile()

    async def request(self, query: str, texts: Sequence[str], wanted: int) -> list[Ranked]:
        """Send the texts in one request, and return the `wanted` best ones, the best first. Override it."""
        raise NotImplementedError("override request")

    async def rerank(self, query: str, texts: Sequence[str], *, top: int | None = None) -> list[Ranked]:
        """Return the `top` best texts, or all texts, the best first. Raises as `HttpEmbedder.embed`.

        A blank text is the worst: services refuse it, or score it at random.
        """
        check_ranking(query, texts, top)
        places = [place for place, text in enumerate(texts) if text and not text.isspace()]
        wanted = len(texts) if top is None else min(top, len(texts))
        ranked: list[Ranked] = []
        if places:
            told = [texts[place] for place in places]
            found = await self.request(query, told, min(wanted, len(told)))
            ranked = [Ranked(places[each.place], each.score) for each in found]
        else:
            await trio.lowlevel.checkpoint()
        if len(ranked) < wanted:
            lowest = min((each.score for each in ranked), default=0.0)
            blank = [place for place in range(len(texts)) if place not in set(places)]
            ranked += [Ranked(place, min(0.0, lowest)) for place in blank[: wanted - len(ranked)]]
        return ranked


def explain_length(error: ModelError, texts: Sequence[str]) -> UsageError | None:
    """Return the error of a text that was refused for its length; `None` for any other error."""
    # Behind the status and its phrase, which for 413 is "Request Entity Too Large".
    said = error.message.partition(": ")[2].lower()
    if error.status not in _REFUSED or not any(words in said for words in _LENGTH_WORDS):
        return None
    longest = max(range(len(texts)), key=lambda place: len(texts[place]))
    hint = "Cut the text, or embed it in parts: chunks of a page or less are found best."
    return UsageError(f"text {longest} of {len(texts[longest])} characters is too long: {error.message}", hint=hint)
