"""Models behind the messages format: one pooled HTTP client for each model.

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
from agno_rt.wire.chat_completions import tool_names
from agno_rt.wire.refusals import Peer
from agno_rt_anthropic import answers, wire
from agno_rt_anthropic.facts import LONG_PROMPT
from agno_rt_anthropic.profile import Server

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["MOST_CONTINUATIONS", "AnthropicModel"]

MOST_CONTINUATIONS = 10
"""Times to continue an answer that the service has paused. Each continuation is a request of its own."""

_NO_KEY = Key("", "nowhere")


class AnthropicModel:
    """A model behind the messages format.

    By default the server is Anthropic's. `server` names another server; `base_url` and `api_key` override its fields:
    `AnthropicModel("qwen3", base_url="http://127.0.0.1:8080")` asks any compatible server. Errors call the provider
    `server_name`; `profile` and `facts` have the known facts of the model, and `dialect` the form of
    its requests. The first request opens the client; `aclose`
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
        self.name = f"anthropic:{server_name}:{model}" if server_name else f"anthropic:{model}"
        # Two servers may have the same name; the URL keeps their answers apart in a cache.
        self.identity = server.base_url
        self.provider = server_name or ("anthropic" if server.is_official else server.host)
        self.dialect = wire.Dialect(
            model=model,
            service=wire.SERVICE if server.is_official else f"{wire.SERVICE} {server.host}",
            facts=self.facts,
            version=server.version,
            cache=server.cache,
            parallel_tools=server.parallel_tools,
            server_tools=server.server_tools,
            context_management=server.context_management,
            drop_stale_thinking=server.drop_stale_thinking,
            betas=server.betas,
        )
        self._url = server.url("v1/messages")
        self._client = HttpClient(server, self.provider, "agno-rt-anthropic")

    def __repr__(self) -> str:
        return f"AnthropicModel({self.model!r}, base_url={without_query(self.server.base_url)!r})"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the server, with streaming if `emit` is given; continue an answer that the server pauses.

        Raises `ModelError` for every failure of the server or the connection, `ConfigError` for a missing API key,
        `UsageError` for media and settings outside the format, `Overloaded` if too many requests wait for a connection.
        """
        response = await self._ask(request, emit)
        for _ in range(MOST_CONTINUATIONS):
            if response.raw_finish_reason != "pause_turn" or response.native is None:
                break
            rest = await self._ask(answers.continue_request(request, response), emit)
            response = answers.join_responses(response, rest, self._make_reading(request, self._peer(_NO_KEY)))
        return response

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

    async def _ask(self, request: ModelRequest, emit: Emit | None) -> ModelResponse:
        key = self.server.key()
        body = wire.request_bytes(request, self.dialect, stream=emit is not None)
        headers = self._build_headers(key, stream=emit is not None)
        async with self._client.post(self._url, body, headers, self._peer(key)) as answer:
            response = await self._read_response(answer, request, emit)
        return self._count_cost(response)

    async def _read_response(self, answer: Answer, request: ModelRequest, emit: Emit | None) -> ModelResponse:
        await answer.check()
        reading = self._make_reading(request, answer.peer)
        if answer.is_stream(asked_for=emit is not None):
            return await read_stream(answer, answers.MessageStream(reading), emit)
        body = await answer.read_all()
        return await emit_whole(answers.read_message(body, reading, answer.content_type), emit)

    def _make_reading(self, request: ModelRequest, peer: Peer) -> answers.Reading:
        return answers.Reading(peer=peer, model=self.model, service=self.dialect.service, names=tool_names(request))

    def _count_cost(self, response: ModelResponse) -> ModelResponse:
        """Count the cost of a long prompt, for a model with another price for long prompts."""
        price = self.facts.long_price
        if price is None or response.usage.input_tokens <= LONG_PROMPT:
            return response
        return attrs.evolve(response, usage=attrs.evolve(response.usage, cost=price.of(response.usage)))

    def _build_headers(self, key: Key, *, stream: bool) -> dict[str, str]:
        headers = {
            "accept": "text/event-stream" if stream else "application/json",
            "content-type": "application/json",
            "anthropic-version": self.server.version,
        }
        if betas := wire.header_betas(self.dialect):
            headers["anthropic-beta"] = ",".join(betas)
        if key.text:
            bearer = self.server.key_header == "authorization"
            headers[self.server.key_header] = f"Bearer {key.text}" if bearer else key.text
        return headers | {name.lower(): value for name, value in self.server.headers.items()}

    def _peer(self, key: Key) -> Peer:
        return Peer(
            name=self.name,
            provider=self.provider,
            model=self.model,
            url=without_query(self._url),
            key_source=key.source,
            secrets=self.server.secrets(key),
            read_error=answers.read_error,
        )
