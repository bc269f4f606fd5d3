"""Rerankers of Cohere.

Reference: Cohere's API reference, "Rerank" (v2), and its page "Rerank best practices".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from agno_rt.http_client.model import change_server
from agno_rt.http_client.retrieval import HttpReranker
from agno_rt.http_client.server import Key
from agno_rt.knowledge.rerankers import Ranked, RerankerProfile
from agno_rt.wire.vectors import read_ranking
from agno_rt_cohere.profile import Server

__all__ = ["CohereReranker"]


class CohereReranker(HttpReranker):
    """A reranker of Cohere: `CohereReranker("rerank-v3.5")`.

    `server` names another server; `base_url` and `api_key` override its fields. The service cuts a text above 4,096
    tokens. Raises `UsageError` for a server with unusable settings.
    """

    server: Server
    # The reference advises against more than a thousand texts; a request of fewer is answered sooner.
    profile = RerankerProfile(max_tokens=4096, batch_texts=500, languages=("*",))

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
        name = f"cohere:{server_name}:{model}" if server_name else f"cohere:{model}"
        provider = server_name or ("cohere" if server.is_official else server.host)
        super().__init__(name, model, server, provider, "agno-rt-cohere")

    def find_key(self) -> Key:
        """Return the key to send. Raises `ConfigError` for a missing or unusable key."""
        return self.server.key()

    async def request(self, query: str, texts: Sequence[str], wanted: int) -> list[Ranked]:
        """Send the texts, and return the best."""
        body: dict[str, Any] = {"model": self.model, "query": query, "documents": list(texts), "top_n": wanted}
        read = partial(read_ranking, count=len(texts), wanted=wanted)
        return await self.ask("v2/rerank", body, read, "a ranking")
