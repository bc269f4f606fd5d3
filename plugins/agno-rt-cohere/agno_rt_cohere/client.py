"""Models behind Cohere's chat format: one pooled HTTP client for each model.

The connection is `agno_rt.http_client`'s; the meaning of the bytes belongs to wire.py and answers.py.
"""

from __future__ import annotations

from agno_rt import ModelRequest, ModelResponse
from agno_rt.http_client.model import HttpModel, build_headers, change_server, read_response
from agno_rt.models import Emit
from agno_rt.wire.chat_completions import tool_names
from agno_rt_cohere import answers, wire
from agno_rt_cohere.facts import Facts
from agno_rt_cohere.profile import PLUGIN, Server

__all__ = ["CohereModel"]


class CohereModel(HttpModel[Server, Facts]):
    """A model behind Cohere's chat format.

    By default the server is Cohere's. `server` names another server; `base_url` and `api_key` override its fields:
    `CohereModel("command-a-03-2025", base_url="http://127.0.0.1:8080")` asks any compatible server. Errors call the
    provider `server_name`; `profile` and `facts` have the known facts of the model. The first request opens the client;
    `aclose` closes the client, and a later request opens a new client.

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
        self._url = server.url("v2/chat")

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the server, with streaming if `emit` is given.

        Raises `ModelError` for every failure of the server or the connection, `ConfigError` for a missing API key,
        `UsageError` for media outside the format, `Overloaded` if too many requests wait for a connection.
        """
        key = self.server.key()
        stream = emit is not None
        body = wire.request_bytes(request, self.model, self.facts, stream=stream)
        headers = build_headers(self.server, key.bearer(), stream=stream)
        async with self._client.post(self._url, body, headers, self._make_peer(key, self._url)) as answer:
            return await read_response(answer, answers.ChatFormat(tool_names(request)), emit)

    def check_ready(self) -> None:
        """Raise `ConfigError` if the server needs a key and the key is missing. Does not ask the server."""
        self.server.key()
