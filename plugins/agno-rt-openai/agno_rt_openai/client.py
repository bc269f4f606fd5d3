"""Models behind chat completions or the responses API: one pooled HTTP client for each model.

The connection is `agno_rt.http_client`'s; the meaning of the bytes belongs to wire.py and responses.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from agno_rt import ModelRequest, ModelResponse
from agno_rt.errors import ModelError
from agno_rt.http_client.model import HttpModel, build_headers, change_server, read_response
from agno_rt.http_client.server import without_query
from agno_rt.models import Emit
from agno_rt.wire import chat_completions
from agno_rt.wire.refusals import Peer
from agno_rt_openai import wire
from agno_rt_openai.facts import Facts
from agno_rt_openai.keys import key_headers
from agno_rt_openai.profile import PLUGIN, Server

__all__ = ["OpenAIModel"]

_GONE = (400, 404)
_PREVIOUS = re.compile("previous[ _]response", re.IGNORECASE)
"""The refusal of a request that continues an answer that the server no longer has."""


class OpenAIModel(HttpModel[Server, Facts]):
    """A model behind chat completions or the responses API.

    By default the server is OpenAI's. `server` names another server; `base_url` and `api_key` override its fields:
    `OpenAIModel("qwen3", base_url="http://127.0.0.1:8080/v1")` asks any compatible server. `Server(api="responses")`
    chooses the API. Errors call the provider
    `server_name`; `profile` has the known facts of the model. The first request opens the client; `aclose` closes the
    client, and a later request opens a new client.

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
        facts = server.facts(model)
        own_name = PLUGIN if server.is_official else server.host
        super().__init__(model, server, facts, own_name=own_name, server_name=server_name)
        address = without_query(server.base_url)
        self._dialect = wire.Dialect(
            # Another model of the server may refuse the signatures.
            service=f"openai chat {address} {model}",
            max_tokens_field=facts.max_tokens_field or "max_tokens",
            seed_field=facts.seed_field or "seed",
            tool_choice=facts.tool_choice or "required",
            bridge_results=bool(facts.bridge_results),
            call_ids=facts.call_ids or "any",
            official=server.is_official,
            think_tags=facts.think_tags or "off",
            reasoning_field=facts.reasoning_field or "",
            system_first=facts.system == "first",
            cache_key=server.is_official if server.cache_key is None else server.cache_key,
            cache_marks=bool(facts.cache_marks),
            store=bool(facts.store),
            encrypted_reasoning=bool(facts.encrypted_reasoning),
        )
        self._is_responses = facts.api == "responses"
        self._service = f"openai responses {address}"
        self._url = server.url("responses" if self._is_responses else "chat/completions")

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the server, with streaming if `emit` is given.

        Raises `ModelError` for every failure of the server or the connection, `ConfigError` for a missing API key,
        `UsageError` for media outside the format, `Overloaded` if too many requests wait for a connection.
        """
        key = self.server.key()
        # A token signed by the key serves as a key for a while, so it is a secret, too.
        signed = key_headers(self.server, key, time.time())
        peer = self._make_peer(key, self._url, tuple(signed.values()))
        headers = build_headers(self.server, signed, stream=emit is not None)
        if self._is_responses:
            return await self._respond_with_items(request, headers, peer, emit)
        body = wire.request_bytes(request, self.model, self._dialect, stream=emit is not None)
        format_ = wire.ChatFormat(self._dialect, chat_completions.tool_names(request))
        async with self._client.post(self._url, body, headers, peer) as answer:
            return await read_response(answer, format_, emit)

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
                return await read_response(answer, plan.format, emit)
        raise AssertionError("the second plan sends the whole conversation, and continues no answer")

    def check_ready(self) -> None:
        """Raise `ConfigError` if the server needs a key and the key is missing. Does not ask the server."""
        self.server.key()
