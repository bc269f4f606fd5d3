"""Models behind the messages format: one pooled HTTP client for each model.

The connection is `agno_rt.http_client`'s; the meaning of the bytes belongs to wire.py and answers.py.
"""

from __future__ import annotations

from typing import Any

from agno_rt import ModelRequest, ModelResponse
from agno_rt.http_client.model import HttpModel, build_headers, change_server, read_response
from agno_rt.http_client.server import Key
from agno_rt.models import Emit
from agno_rt.wire.chat_completions import tool_names
from agno_rt_anthropic import answers, wire
from agno_rt_anthropic.facts import Facts
from agno_rt_anthropic.profile import PLUGIN, Server

__all__ = ["MOST_CONTINUATIONS", "AnthropicModel"]

MOST_CONTINUATIONS = 10
"""Times to continue an answer that the service has paused. Each continuation is a request of its own."""


class AnthropicModel(HttpModel[Server, Facts]):
    """A model behind the messages format.

    By default the server is Anthropic's. `server` names another server; `base_url` and `api_key` override its fields:
    `AnthropicModel("qwen3", base_url="http://127.0.0.1:8080")` asks any compatible server. Errors call the provider
    `server_name`; `profile` and `facts` have the known facts of the model, and `dialect` the form of
    its requests. The first request opens the client; `aclose`
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
        own_name = PLUGIN if server.is_official else server.host
        super().__init__(model, server, server.facts(model), own_name=own_name, server_name=server_name)
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

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the server, with streaming if `emit` is given; continue an answer that the server pauses.

        Raises `ModelError` for every failure of the server or the connection, `ConfigError` for a missing API key,
        `UsageError` for media and settings outside the format, `Overloaded` if too many requests wait for a connection.
        """
        response = await self._ask(request, emit)
        for _ in range(MOST_CONTINUATIONS):
            if response.raw_finish_reason not in answers.PAUSES or response.native is None:
                break
            rest = await self._ask(answers.continue_request(request, response), emit)
            response = answers.join_responses(response, rest, self._make_format(request))
        return response

    def read_error(self, error: Any) -> tuple[Any, str]:
        """Return the words and the kind of the service's error object, both empty for anything else."""
        return answers.read_error(error)

    def check_ready(self) -> None:
        """Raise `ConfigError` if the server needs a key and the key is missing. Does not ask the server."""
        self.server.key()

    async def _ask(self, request: ModelRequest, emit: Emit | None) -> ModelResponse:
        key = self.server.key()
        body = wire.request_bytes(request, self.dialect, stream=emit is not None)
        headers = self._build_headers(key, stream=emit is not None)
        async with self._client.post(self._url, body, headers, self._make_peer(key, self._url)) as answer:
            return await read_response(answer, self._make_format(request), emit)

    def _make_format(self, request: ModelRequest) -> answers.MessagesFormat:
        return answers.MessagesFormat(model=self.model, service=self.dialect.service, names=tool_names(request))

    def _build_headers(self, key: Key, *, stream: bool) -> dict[str, str]:
        more = {"anthropic-version": self.server.version}
        if betas := wire.header_betas(self.dialect):
            more["anthropic-beta"] = ",".join(betas)
        if self.server.key_header == "authorization":
            more |= key.bearer()
        elif key.text:
            more[self.server.key_header] = key.text
        return build_headers(self.server, more, stream=stream)
