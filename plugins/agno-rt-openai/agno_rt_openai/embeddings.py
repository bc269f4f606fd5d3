"""Embedders behind OpenAI's format: OpenAI, the services that copy it, and local servers.

Reference: OpenAI's API reference, "Create embeddings"; the services' own references for the fields that tell queries
from documents (`embedding_facts`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from agno_rt.http_client.model import change_server
from agno_rt.http_client.retrieval import HttpEmbedder, split_dimensions
from agno_rt.http_client.server import Key
from agno_rt.knowledge.embedders import EmbedderProfile, Purpose, Vector
from agno_rt.messages import Usage
from agno_rt.wire.vectors import count_tokens, read_by_index
from agno_rt_openai.embedding_facts import RETRIEVAL_PROVIDERS, SERVICES, EmbeddingFacts, Service, known
from agno_rt_openai.keys import key_headers
from agno_rt_openai.profile import Server, choose

__all__ = ["OpenAIEmbedder", "choose_service"]

_OTHER = Service()


class OpenAIEmbedder(HttpEmbedder):
    """An embedder behind OpenAI's format.

    By default the server is OpenAI's. `server` names another server; `base_url` and `api_key` override its fields:
    `OpenAIEmbedder("nomic-embed-text", base_url="http://127.0.0.1:8080/v1")` asks any compatible server. The model
    `text-embedding-3-small@512` has vectors of 512 numbers. `service` has the habits of the server.

    Raises `UsageError` for a server with unusable settings.
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
        provider = server_name or ("openai" if server.is_official else server.host)
        name = f"openai:{server_name}:{model}" if server_name else f"openai:{model}"
        model, self._asked = split_dimensions(model)
        super().__init__(name, model, server, provider, "agno-rt-openai")
        self._service = service or (SERVICES[""] if server.is_official else _OTHER)
        facts = known(model) if server.is_official or server_name == "azure" else EmbeddingFacts()
        self.dimensions = self._asked or facts.dimensions
        self.profile = EmbedderProfile(
            batch_texts=self._service.batch_texts,
            batch_tokens=self._service.batch_tokens,
            price=facts.make_price() if server.is_official else None,
            note=f"{facts.max_tokens} tokens a text" if facts.max_tokens else "",
        )

    def find_key(self) -> Key:
        """Return the key to send. Raises `ConfigError` for a missing or unusable key."""
        return self.server.key()

    def build_headers(self, key: Key) -> Mapping[str, str]:
        """Return the header with the key, in the form of the service."""
        return key_headers(self.server, key, time.time())

    async def request(self, texts: Sequence[str], purpose: Purpose) -> tuple[list[Vector], Usage]:
        """Send the texts, and return their vectors."""
        body = build_body(self.model, texts, purpose, self._service, self._asked)

        def read(value: Any) -> tuple[list[Vector], Usage]:
            vectors = read_by_index(value["data"], len(texts))
            return vectors, count_tokens(value.get("usage"), "prompt_tokens", "total_tokens")

        return await self.ask("embeddings", body, read, "vectors")


def build_body(
    model: str, texts: Sequence[str], purpose: Purpose, service: Service, dimensions: int | None
) -> dict[str, Any]:
    """Return the body of a request for vectors."""
    body: dict[str, Any] = {"model": model, "input": list(texts)}
    field, document, query = service.purposes
    if field:
        body[field] = query if purpose == "query" else document
    if dimensions is not None:
        body[service.dimensions] = dimensions
    if service.base64:
        body["encoding_format"] = "base64"
    return body


def choose_service(spec: str, settings: Mapping[str, Any]) -> tuple[str, str, Server, Service]:
    """Return the model, the server's name (or ""), the server and its habits. Raises `UsageError`.

    Services without chat are known here, too, unless the settings have a server of the same name.
    """
    name, _, model = spec.partition(":")
    if name in RETRIEVAL_PROVIDERS and name not in settings.get("servers", {}) and model:
        row = {key: value for key, value in RETRIEVAL_PROVIDERS[name].items() if key != "title"}
        return model, name, Server(**row), SERVICES[name]
    model, name, server = choose(spec, settings)
    official = SERVICES[""] if server.is_official else _OTHER
    return model, name, server, SERVICES.get(name, official) if name else official
