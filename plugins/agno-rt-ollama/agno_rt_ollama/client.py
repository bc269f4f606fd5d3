"""Models of an Ollama server: one pooled HTTP client for each model.

The connection is `agno_rt.http_client`'s; the meaning of the bytes belongs to wire.py.
"""

from __future__ import annotations

import re
from typing import Any

import trio

from agno_rt import ModelRequest, ModelResponse
from agno_rt.errors import AgnoError, ModelError, suggest
from agno_rt.http_client.model import HttpModel, build_headers, change_server, read_response
from agno_rt.models import Emit
from agno_rt.wire.json_lines import JsonLines
from agno_rt_ollama import wire
from agno_rt_ollama.library import Library, check_listening
from agno_rt_ollama.profile import PLUGIN, Facts, Server

__all__ = ["OllamaModel"]

_STREAM_TYPE = "application/x-ndjson"
_NOT_FOUND = re.compile(r"model\b.*\bnot found", re.IGNORECASE)
_SUGGEST_SECONDS = 2.0
"""Seconds to wait for the names of models for a suggestion: the error comes without the names, if need be."""


class OllamaModel(HttpModel[Server, Facts]):
    """A model of an Ollama server.

    By default the server is at OLLAMA_HOST, or on this machine. `server` names another server; `base_url` and `api_key`
    override its fields: `OllamaModel("qwen3", base_url="http://192.168.1.7:11434")`. Errors call the provider
    `server_name`; `profile` and `facts` have the known facts of the model. The first request opens the client; `aclose`
    closes the client, and a later request opens a new client.

    Raises `UsageError` for a server with unusable settings.
    """

    plugin = PLUGIN

    def __init__(
        self,
        model: str,
        server: Server | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        server_name: str = "",
    ) -> None:
        server = change_server(server or Server(), base_url=base_url, api_key=api_key)
        super().__init__(model, server, server.facts(model), own_name=PLUGIN, server_name=server_name)
        self._url = server.url("api/chat")
        self._format = wire.ChatFormat(self.facts.think_tags or "off")

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the server, with streaming if `emit` is given.

        Raises `ModelError` for every failure of the server or the connection, `ConfigError` for a missing API key,
        `UsageError` for media outside the format, `Overloaded` if too many requests wait for a connection.
        """
        key = self.server.key()
        body = wire.request_bytes(request, self.model, self.facts, stream=emit is not None)
        headers = build_headers(self.server, key.bearer(), stream=emit is not None, stream_type=_STREAM_TYPE)
        try:
            async with self._client.post(self._url, body, headers, self._make_peer(key, self._url)) as answer:
                # A stream has the type `application/x-ndjson`; proxies may call it anything.
                streams = emit is not None or "ndjson" in answer.content_type
                return await read_response(answer, self._format, emit, JsonLines(answer.peer), is_stream=streams)
        except ModelError as exc:
            if exc.status != 404 or not _NOT_FOUND.search(exc.message):
                raise
            raise await self._explain_missing(exc) from exc

    def read_error(self, error: Any) -> tuple[Any, str]:
        """Return the words and the kind of the service's error object, both empty for anything else."""
        return wire.read_error(error)

    def check_ready(self) -> None:
        """Raise `ConfigError` for a missing key, and `ModelError` if no server on this machine listens at the address.

        Blocks the thread for a moment. Servers on other machines are not asked.
        """
        self.server.key()
        check_listening(self.server, self.provider)

    def open_library(self) -> Library:
        """Return the models on the server, reached by this model's connections. Raises `ConfigError` without a key."""
        return Library(self.server, self._client, self._make_peer(self.server.key(), self._url))

    async def _explain_missing(self, exc: ModelError) -> ModelError:
        """Return the error for a model that the server does not have, with the way to get the model."""
        hint = f"Run: agno-rt ollama pull {self.model}"
        if self.server.is_cloud:
            hint = "Check the model's name: ollama.com lists its models."
        with trio.move_on_after(_SUGGEST_SECONDS):
            try:
                listed = await self.open_library().list()
                hint = f"{hint}. {suggest('model', self.model, [each.name for each in listed])}"
            except AgnoError:
                pass  # the names are only a help
        found = ModelError(exc.message, hint=hint, provider=exc.provider, status=exc.status)
        return found.of_request(exc.request_id)
