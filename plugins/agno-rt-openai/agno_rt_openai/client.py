"""Models behind chat completions or the responses API: one pooled HTTP client for each model.

The connection is `agno_rt.http_client`'s; the meaning of the bytes belongs to wire.py and responses.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from agno_rt import ModelRequest, ModelResponse
from agno_rt.errors import ModelError
from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.server import Key, without_query
from agno_rt.http_client.streams import emit_whole, read_stream
from agno_rt.limits import LimitStatistics
from agno_rt.models import Emit
from agno_rt.wire import chat_completions
from agno_rt.wire.answers import AnswerStream, Format, read_answer
from agno_rt.wire.refusals import Peer
from agno_rt_openai import wire
from agno_rt_openai.keys import key_headers
from agno_rt_openai.profile import Server

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["OpenAIModel"]

_GONE = (400, 404)
_PREVIOUS = re.compile("previous[ _]response", re.IGNORECASE)
"""The refusal of a request that continues an answer that the server no longer has."""


class OpenAIModel:
    """A model behind chat completions or the responses API.

    By default the server is OpenAI's. `server` names another server; `base_url` and `api_key` override its fields:
    `OpenAIModel("qwen3", base_url="http://127.0.0.1:8080/v1")` asks any compatible server. `Server(api="responses")`
    chooses the API. Errors call the provider
    `server_name`; `profile` has the known facts of the model. The first request opens the client; `aclose` closes the
    client, and a later request opens a new client.

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
        facts = server.facts(model)
        self.model = model
        self.server = server
        self.profile = facts.profile()
        self._dialect = wire.Dialect(
            max_tokens_field=facts.max_tokens_field or "max_tokens",
            names_tools=facts.tool_choice == "name",
            official=server.is_official,
            think_tags=facts.think_tags or "off",
            reasoning_field=facts.reasoning_field or "",
            system_first=facts.system == "first",
            store=bool(facts.store),
            encrypted_reasoning=bool(facts.encrypted_reasoning),
        )
        self._is_responses = facts.api == "responses"
        self.name = f"openai:{server_name}:{model}" if server_name else f"openai:{model}"
        # Two servers may have the same name; the URL keeps their answers apart in a cache.
        self.identity = server.base_url
        self.provider = server_name or ("openai" if server.is_official else server.host)
        self._service = f"openai responses {without_query(server.base_url)}"
        self._url = server.url("responses" if self._is_responses else "chat/completions")
        self._client = HttpClient(server, self.provider, "agno-rt-openai")

    def __repr__(self) -> str:
        return f"OpenAIModel({self.model!r}, base_url={without_query(self.server.base_url)!r})"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the server, with streaming if `emit` is given.

        Raises `ModelError` for every failure of the server or the connection, `ConfigError` for a missing API key,
        `UsageError` for media outside the format, `Overloaded` if too many requests wait for a connection.
        """
        key = self.server.key()
        peer = self._peer(key)
        headers = _build_headers(self.server, key, stream=emit is not None)
        if self._is_responses:
            return await self._respond_with_items(request, headers, peer, emit)
        body = wire.request_bytes(request, self.model, self._dialect, stream=emit is not None)
        format_ = wire.ChatFormat(self._dialect, chat_completions.tool_names(request))
        async with self._client.post(self._url, body, headers, peer) as answer:
            return await _read_response(answer, format_, emit)

    async def _respond_with_items(
        self, request: ModelRequest, headers: Mapping[str, str], peer: Peer, emit: Emit | None
    ) -> ModelResponse:
        from agno_rt_openai.responses import plan_request

        for whole in (False, True):
            plan = plan_request(
                request, self.model, self._dialect, service=self._service, stream=emit is not None, whole=whole
            )
            async with self._client.post(self._url, plan.body, headers, peer) as answer:
                try:
                    await answer.check()
                except ModelError as exc:
                    # Servers delete stored answers after some weeks. The whole conversation starts a new chain.
                    if not (plan.continues and exc.status in _GONE and _PREVIOUS.search(exc.message)):
                        raise
                    continue
                return await _read_response(answer, plan.format, emit)
        raise AssertionError("the second plan sends the whole conversation, and continues no answer")

    async def warm(self) -> None:
        """Open a connection ahead of the first request. Raises `ModelError` if the server cannot be reached."""
        await self._client.warm(self._peer(Key("", "nowhere")))

    def check_ready(self) -> None:
        """Raise `ConfigError` if the server needs a key and the key is missing. Does not ask the server."""
        self.server.key()

    async def aclose(self) -> None:
        """Close the connections. A running request fails."""
        await self._client.aclose()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the numbers of connections in use and of requests waiting for a connection."""
        return self._client.statistics()

    def _peer(self, key: Key) -> Peer:
        return Peer(
            name=self.name,
            provider=self.provider,
            model=self.model,
            url=without_query(self._url),
            key_source=key.source,
            # A token signed by the key serves as a key for a while.
            secrets=(*self.server.secrets(key), *key_headers(self.server, key, time.time()).values()),
        )


async def _read_response(answer: Answer, format_: Format, emit: Emit | None) -> ModelResponse:
    await answer.check()
    if answer.is_stream(asked_for=emit is not None):
        response = await read_stream(answer, AnswerStream(answer.peer, format_), emit)
    else:
        response = read_answer(await answer.read_all(), answer.peer, format_, answer.content_type)
        await emit_whole(response, emit)
    response.request_id = answer.peer.request_id
    return response


def _build_headers(server: Server, key: Key, *, stream: bool) -> dict[str, str]:
    headers = {
        "accept": "text/event-stream" if stream else "application/json",
        "content-type": "application/json",
        **key_headers(server, key, time.time()),
    }
    return headers | {name.lower(): value for name, value in server.headers.items()}
