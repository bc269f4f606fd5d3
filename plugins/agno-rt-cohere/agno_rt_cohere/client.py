"""Models behind Cohere's chat format: one pooled HTTP client for each model.

The connection is `agno_rt.http_client`'s; the meaning of the bytes belongs to wire.py and answers.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from agno_rt import ModelRequest, ModelResponse
from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.server import Key, without_query
from agno_rt.http_client.streams import emit_whole, read_stream
from agno_rt.limits import LimitStatistics
from agno_rt.models import Emit
from agno_rt.wire.answers import AnswerStream, read_answer
from agno_rt.wire.chat_completions import tool_names
from agno_rt.wire.refusals import Peer
from agno_rt_cohere import answers, wire
from agno_rt_cohere.profile import Server

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["CohereModel"]

_NO_KEY = Key("", "nowhere")


class CohereModel:
    """A model behind Cohere's chat format.

    By default the server is Cohere's. `server` names another server; `base_url` and `api_key` override its fields:
    `CohereModel("command-a-03-2025", base_url="http://127.0.0.1:8080")` asks any compatible server. Errors call the
    provider `server_name`; `profile` and `facts` have the known facts of the model. The first request opens the client;
    `aclose` closes the client, and a later request opens a new client.

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
        self.name = f"cohere:{server_name}:{model}" if server_name else f"cohere:{model}"
        # Two servers may have the same name; the URL keeps their answers apart in a cache.
        self.identity = server.base_url
        self.provider = server_name or ("cohere" if server.is_official else server.host)
        self._url = server.url("v2/chat")
        self._client = HttpClient(server, self.provider, "agno-rt-cohere")

    def __repr__(self) -> str:
        return f"CohereModel({self.model!r}, base_url={without_query(self.server.base_url)!r})"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the server, with streaming if `emit` is given.

        Raises `ModelError` for every failure of the server or the connection, `ConfigError` for a missing API key,
        `UsageError` for media outside the format, `Overloaded` if too many requests wait for a connection.
        """
        key = self.server.key()
        body = wire.request_bytes(request, self.model, self.facts, stream=emit is not None)
        headers = self._build_headers(key, stream=emit is not None)
        format_ = answers.ChatFormat(tool_names(request))
        async with self._client.post(self._url, body, headers, self._peer(key)) as answer:
            return await _read_response(answer, format_, emit)

    async def warm(self) -> None:
        """Open a connection ahead of the first request. Raises `ModelError` if the server cannot be reached."""
        await self._client.warm(self._peer(_NO_KEY))

    def check_ready(self) -> None:
        """Raise `ConfigError` if the server needs a key and the key is missing. Does not ask the server."""
        self.server.key()

    async def aclose(self) -> None:
        """Close the connections. A running request fails."""
        await self._client.aclose()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the numbers of connections in use and of requests waiting for a connection."""
        return self._client.statistics()

    def _build_headers(self, key: Key, *, stream: bool) -> dict[str, str]:
        headers = {
            "accept": "text/event-stream" if stream else "application/json",
            "content-type": "application/json",
        }
        if key.text:
            headers["authorization"] = f"Bearer {key.text}"
        return headers | {name.lower(): value for name, value in self.server.headers.items()}

    def _peer(self, key: Key) -> Peer:
        return Peer(
            name=self.name,
            provider=self.provider,
            model=self.model,
            url=without_query(self._url),
            key_source=key.source,
            secrets=self.server.secrets(key),
        )


async def _read_response(answer: Answer, format_: answers.ChatFormat, emit: Emit | None) -> ModelResponse:
    await answer.check()
    if answer.is_stream(asked_for=emit is not None):
        response = await read_stream(answer, AnswerStream(answer.peer, format_), emit)
    else:
        whole = read_answer(await answer.read_all(), answer.peer, format_, answer.content_type)
        response = await emit_whole(whole, emit)
    response.request_id = response.request_id or answer.peer.request_id
    return response
