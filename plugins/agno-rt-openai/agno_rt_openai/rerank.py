"""Rerankers behind the `/rerank` format of Jina, vLLM, llama.cpp's server, Together, Voyage and others.

Reference: Jina's API reference, "Reranker API"; vLLM's documentation, "Re-rank API"; the README of llama.cpp's server,
"POST /reranking".
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from agno_rt.errors import NotFound
from agno_rt.http_client.model import change_server
from agno_rt.http_client.retrieval import HttpReranker
from agno_rt.http_client.server import Key
from agno_rt.knowledge.rerankers import Ranked
from agno_rt.wire.vectors import read_ranking
from agno_rt_openai.embedding_facts import SERVICES, Service
from agno_rt_openai.keys import key_headers
from agno_rt_openai.profile import Server

__all__ = ["OpenAIReranker", "find_service"]

_LOCAL = SERVICES["llama-server"]


class OpenAIReranker(HttpReranker):
    """A reranker behind `/rerank`: `OpenAIReranker("bge-reranker-v2-m3", base_url="http://127.0.0.1:8080/v1")`.

    `server` says where; `base_url` and `api_key` override its fields; `service` has the habits of the server. Raises
    `UsageError` for a server with unusable settings.
    """

    server: Server

    def __init__(
        self,
        model: str,
        server: Server | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        server_name: str = "",
        service: Service | None = None,
    ) -> None:
        server = change_server(server or Server(), base_url=base_url, api_key=api_key)
        name = f"openai:{server_name}:{model}" if server_name else f"openai:{model}"
        super().__init__(name, model, server, server_name or server.host, "agno-rt-openai")
        self._service = service or _LOCAL

    def find_key(self) -> Key:
        """Return the key to send. Raises `ConfigError` for a missing or unusable key."""
        return self.server.key()

    def build_headers(self, key: Key) -> Mapping[str, str]:
        """Return the header with the key, in the form of the service."""
        return key_headers(self.server, key, time.time())

    async def request(self, query: str, texts: Sequence[str], wanted: int) -> list[Ranked]:
        """Send the texts, and return the best."""
        body: dict[str, Any] = {"model": self.model, "query": query, "documents": list(texts)}
        body[self._service.top] = wanted
        read = partial(read_ranking, count=len(texts), wanted=wanted)
        return await self.ask(self._service.rerank or "rerank", body, read, "a ranking")


def find_service(spec: str, name: str, server: Server, service: Service) -> Service:
    """Return the habits of a server with rerankers. Raises `NotFound` for a known provider without rerankers."""
    if service.rerank or (name not in SERVICES and not server.is_official):
        return service
    known = [f"openai:{name}:MODEL" for name, each in SERVICES.items() if each.rerank]
    hint = f"Rerankers of this format: {', '.join(known)}."
    raise NotFound("reranker", f"openai:{spec}", known, hint=hint)
