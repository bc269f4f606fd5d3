"""Models of an Ollama server: one pooled HTTP client for each model.

The connection is `agno_rt.http_client`'s; the meaning of the bytes belongs to wire.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs
import trio

from agno_rt import ModelRequest, ModelResponse
from agno_rt.errors import AgnoError, ModelError, suggest
from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.server import Key, without_query
from agno_rt.http_client.streams import emit_whole, read_stream
from agno_rt.limits import LimitStatistics
from agno_rt.models import Emit
from agno_rt.wire.answers import AnswerStream, read_answer
from agno_rt.wire.json_lines import JsonLines
from agno_rt.wire.refusals import Peer
from agno_rt_ollama import wire
from agno_rt_ollama.library import Library, build_headers, is_listening
from agno_rt_ollama.profile import HOST_ENV, Server

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["OllamaModel", "make_peer"]

_NO_KEY = Key("", "nowhere")
_NOT_FOUND = re.compile(r"model\b.*\bnot found", re.IGNORECASE)
_SUGGEST_SECONDS = 2.0
"""Seconds to wait for the names of models for a suggestion: the error comes without the names, if need be."""


class OllamaModel:
    """A model of an Ollama server.

    By default the server is at OLLAMA_HOST, or on this machine. `server` names another server; `base_url` and `api_key`
    override its fields: `OllamaModel("qwen3", base_url="http://192.168.1.7:11434")`. Errors call the provider
    `server_name`; `profile` and `facts` have the known facts of the model. The first request opens the client; `aclose`
    closes the client, and a later request opens a new client.

    Raises `UsageError` for a server with unusable settings.
    """

    def __init__(
        self,
        model: str,
        server: Server | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        server_name: str = "",
    ) -> None:
        server = server or Server()
        if base_url is not None:
            server = attrs.evolve(server, base_url=base_url)
        if api_key is not None:
            server = attrs.evolve(server, api_key=api_key)
        self.model = model
        self.server = server
        self.facts = server.facts(model)
        self.profile = self.facts.profile()
        self.name = f"ollama:{server_name}:{model}" if server_name else f"ollama:{model}"
        # Two servers may have the same name; the URL keeps their answers apart in a cache.
        self.identity = server.base_url
        self.provider = server_name or "ollama"
        self._url = server.url("api/chat")
        self._client = HttpClient(server, self.provider, "agno-rt-ollama")
        self._format = wire.ChatFormat(self.facts.think_tags or "off")

    def __repr__(self) -> str:
        return f"OllamaModel({self.model!r}, base_url={without_query(self.server.base_url)!r})"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the server, with streaming if `emit` is given.

        Raises `ModelError` for every failure of the server or the connection, `ConfigError` for a missing API key,
        `UsageError` for media outside the format, `Overloaded` if too many requests wait for a connection.
        """
        key = self.server.key()
        body = wire.request_bytes(request, self.model, self.facts, stream=emit is not None)
        accept = "application/x-ndjson" if emit is not None else "application/json"
        headers = build_headers(self.server, key, accept)
        peer = make_peer(self, key)
        try:
            async with self._client.post(self._url, body, headers, peer) as answer:
                return await self._read_response(answer, emit)
        except ModelError as exc:
            if exc.status != 404 or not _NOT_FOUND.search(exc.message):
                raise
            raise await self._explain_missing(exc) from exc

    async def warm(self) -> None:
        """Open a connection ahead of the first request. Raises `ModelError` if the server cannot be reached."""
        await self._client.warm(make_peer(self, _NO_KEY))

    def check_ready(self) -> None:
        """Raise `ConfigError` for a missing key, and `ModelError` if no server on this machine listens at the address.

        Blocks the thread for a moment. Servers on other machines are not asked.
        """
        self.server.key()
        if not is_listening(self.server):
            url = without_query(self.server.base_url)
            hint = f"Start the server: ollama serve. {HOST_ENV} or base_url says where it is."
            raise ModelError(f"no Ollama server listens at {url}", hint=hint, provider=self.provider, retryable=True)

    async def aclose(self) -> None:
        """Close the connections. A running request fails."""
        await self._client.aclose()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the numbers of connections in use and of requests waiting for a connection."""
        return self._client.statistics()

    async def _read_response(self, answer: Answer, emit: Emit | None) -> ModelResponse:
        await answer.check()
        # A stream has the type `application/x-ndjson`; proxies may call it anything.
        if emit is not None or "ndjson" in answer.content_type:
            stream = AnswerStream(answer.peer, self._format, JsonLines(answer.peer))
            response = await read_stream(answer, stream, emit)
        else:
            whole = read_answer(await answer.read_all(), answer.peer, self._format, answer.content_type)
            response = await emit_whole(whole, emit)
        response.request_id = answer.peer.request_id
        return response

    async def _explain_missing(self, exc: ModelError) -> ModelError:
        """Return the error for a model that the server does not have, with the way to get the model."""
        hint = f"Run: agno-rt ollama pull {self.model}"
        if self.server.is_cloud:
            hint = "Check the model's name: ollama.com lists its models."
        with trio.move_on_after(_SUGGEST_SECONDS):
            try:
                listed = await Library(self.server, self._client, make_peer(self, self.server.key())).list()
                hint = f"{hint}. {suggest('model', self.model, [each.name for each in listed])}"
            except AgnoError:
                pass  # the names are only a help
        found = ModelError(exc.message, hint=hint, provider=exc.provider, status=exc.status)
        return found.of_request(exc.request_id)


def make_peer(model: OllamaModel, key: Key) -> Peer:
    """Return the model's server for errors."""
    server = model.server
    return Peer(
        name=model.name,
        provider=model.provider,
        model=model.model,
        url=without_query(server.url("api/chat")),
        key_source=key.source,
        secrets=server.secrets(key),
        read_error=wire.read_error,
    )
