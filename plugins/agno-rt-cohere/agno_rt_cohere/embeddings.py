"""Embedders of Cohere.

Reference: Cohere's API reference, "Embed" (v2), and its page "Embed models".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from agno_rt.http_client.model import change_server
from agno_rt.http_client.retrieval import HttpEmbedder, split_dimensions
from agno_rt.http_client.server import Key
from agno_rt.knowledge.embedders import EmbedderProfile, Purpose, Vector
from agno_rt.messages import Usage
from agno_rt.models import Price
from agno_rt.wire.vectors import count_tokens, read_vectors
from agno_rt_cohere.profile import Server

__all__ = ["AS_OF", "CohereEmbedder", "known"]

AS_OF = "2026-11-30"

_PURPOSES = {"document": "search_document", "query": "search_query"}

_MODELS: Mapping[str, tuple[int, float, tuple[str, ...]]] = {
    "embed-v4.0": (1536, 0.12, ("*",)),
    "embed-english-v3.0": (1024, 0.10, ("en",)),
    "embed-english-light-v3.0": (384, 0.10, ("en",)),
    "embed-multilingual-v3.0": (1024, 0.10, ("*",)),
    "embed-multilingual-light-v3.0": (384, 0.10, ("*",)),
}
"""The length of vectors, US dollars for a million tokens, and the languages."""


def known(model: str) -> tuple[int | None, EmbedderProfile]:
    """Return the length of a model's vectors and its profile, as far as they are known. A request has 96 texts."""
    profile = EmbedderProfile(batch_texts=96)
    if model not in _MODELS:
        return None, profile
    dimensions, price, languages = _MODELS[model]
    return dimensions, attrs.evolve(profile, price=Price(price, 0.0, as_of=AS_OF), languages=languages)


class CohereEmbedder(HttpEmbedder):
    """An embedding model of Cohere: `CohereEmbedder("embed-v4.0")`, and `embed-v4.0@512` for shorter vectors.

    `server` names another server; `base_url` and `api_key` override its fields. The service refuses a text that is too
    long, rather than cut it. Raises `UsageError` for a server with unusable settings.
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
    ) -> None:
        server = change_server(server or Server(), base_url=base_url, api_key=api_key)
        name = f"cohere:{server_name}:{model}" if server_name else f"cohere:{model}"
        model, self._asked = split_dimensions(model)
        provider = server_name or ("cohere" if server.is_official else server.host)
        super().__init__(name, model, server, provider, "agno-rt-cohere")
        dimensions, self.profile = known(model)
        self.dimensions = self._asked or dimensions

    def find_key(self) -> Key:
        """Return the key to send. Raises `ConfigError` for a missing or unusable key."""
        return self.server.key()

    async def request(self, texts: Sequence[str], purpose: Purpose) -> tuple[list[Vector], Usage]:
        """Send the texts, and return their vectors."""
        body: dict[str, Any] = {
            "model": self.model,
            "texts": list(texts),
            "input_type": _PURPOSES[purpose],
            "embedding_types": ["float"],
            "truncate": "NONE",
        }
        if self._asked is not None:
            body["output_dimension"] = self._asked

        def read(value: Mapping[str, Any]) -> tuple[list[Vector], Usage]:
            vectors = read_vectors(value["embeddings"]["float"], len(texts))
            return vectors, count_tokens((value.get("meta") or {}).get("billed_units"), "input_tokens")

        return await self.ask("v2/embed", body, read, "vectors")
