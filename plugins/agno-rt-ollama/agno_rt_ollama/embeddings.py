"""Embedders of an Ollama server.

Reference: Ollama's documentation, "API", its section "Generate Embeddings".
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
from agno_rt.wire.vectors import count_tokens, read_vectors
from agno_rt_ollama import wire
from agno_rt_ollama.library import check_listening
from agno_rt_ollama.profile import Server

__all__ = ["OllamaEmbedder"]


class OllamaEmbedder(HttpEmbedder):
    """An embedding model of an Ollama server: `OllamaEmbedder("nomic-embed-text")`.

    By default the server is at OLLAMA_HOST, or on this machine. `server` names another server; `base_url` and `api_key`
    override its fields. The model `MODEL@256` has vectors of 256 numbers, if it can. The server refuses a text that is
    too long, rather than cut it silently. Raises `UsageError` for a server with unusable settings.
    """

    server: Server
    profile = EmbedderProfile(batch_texts=64, requests=2)
    read_error = staticmethod(wire.read_error)

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
        name = f"ollama:{server_name}:{model}" if server_name else f"ollama:{model}"
        model, self._asked = split_dimensions(model)
        super().__init__(name, model, server, server_name or "ollama", "agno-rt-ollama")
        self.dimensions = self._asked
        self._facts = server.facts(model)
        self.profile = attrs.evolve(self.profile, price=self._facts.price)

    def check_ready(self) -> None:
        """Raise `ConfigError` for a missing key, and `ModelError` if no server on this machine listens at the address.

        Blocks the thread for a moment. Servers on other machines are not asked.
        """
        super().check_ready()
        check_listening(self.server, self.provider)

    def find_key(self) -> Key:
        """Return the key to send. Raises `ConfigError` for a missing or unusable key."""
        return self.server.key()

    async def request(self, texts: Sequence[str], purpose: Purpose) -> tuple[list[Vector], Usage]:
        """Send the texts, and return their vectors. The format has no words for queries."""
        body = {
            "model": self.model,
            "input": list(texts),
            "truncate": False,
            "dimensions": self._asked,
            "keep_alive": self._facts.keep_alive,
            "options": dict(self._facts.options) if self._facts.options else None,
        }

        def read(value: Mapping[str, Any]) -> tuple[list[Vector], Usage]:
            return read_vectors(value["embeddings"], len(texts)), count_tokens(value, "prompt_eval_count")

        sent = {name: each for name, each in body.items() if each is not None}
        return await self.ask("api/embed", sent, read, "vectors")
