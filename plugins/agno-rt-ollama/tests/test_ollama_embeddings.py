"""Embedders of an Ollama server: the wire contract and the requests."""

from __future__ import annotations

import pytest
import trio
from agno_rt_ollama import OllamaEmbedder, Server

from agno_rt import Runtime
from agno_rt.errors import ModelError, UsageError
from agno_rt.models import FREE
from agno_rt.testing import EmbedderWireContract, WireReply, open_wire_server
from tests.servers.vector_formats import OllamaVectors


class TestEmbedder(EmbedderWireContract):
    """The contract over /api/embed."""

    wire = OllamaVectors()

    def make(self, base_url: str) -> OllamaEmbedder:
        """Make an embedder."""
        return OllamaEmbedder("m", base_url=base_url, api_key=self.key)

    def make_impatient(self, base_url: str) -> OllamaEmbedder:
        """Make an embedder that gives up after a moment."""
        return OllamaEmbedder("m", Server(base_url=base_url, api_key=self.key, read_timeout=30))


async def test_requests_have_the_models_settings() -> None:
    """The settings of the model and the asked length go along; a long text is to be refused, not cut."""
    async with open_wire_server() as server:
        server.play(WireReply((OllamaVectors().render_vectors([[0.6, 0.8]], [0], 3),)))
        table = {"base_url": server.url, "keep_alive": "5m", "options": {"num_thread": 2}}
        async with Runtime(settings={"ollama": {"servers": {"mine": table}}}) as rt:
            embedder = rt.embedder("ollama:mine:nomic-embed-text@2")
            assert (embedder.name, embedder.dimensions) == ("ollama:mine:nomic-embed-text@2", 2)
            await embedder.embed(["a"])
        (request,) = server.requests
        assert request.path == "/api/embed"
        assert request.json() == {
            "model": "nomic-embed-text",
            "input": ["a"],
            "truncate": False,
            "dimensions": 2,
            "keep_alive": "5m",
            "options": {"num_thread": 2},
        }


async def test_a_server_that_does_not_run() -> None:
    """The check before the first call tells how to start the server, as a model's does; the vectors cost nothing."""
    async with open_wire_server() as server:
        running = OllamaEmbedder("m", base_url=server.url)
        await trio.to_thread.run_sync(running.check_ready)
        assert server.requests == []
    with pytest.raises(ModelError, match=f"no Ollama server listens at {server.url}") as caught:
        await trio.to_thread.run_sync(running.check_ready)
    assert "ollama serve" in caught.value.hint
    assert running.profile.price == FREE
    assert OllamaEmbedder("m", base_url="https://ollama.com").profile.price is None


async def test_a_text_refused_for_its_length_is_named() -> None:
    """The server's refusal of a long text becomes a `UsageError` with the text's place."""
    async with open_wire_server() as server:
        said = "the input length exceeds the context length"
        server.play(WireReply((OllamaVectors().render_error(400, said),), 400))
        embedder = OllamaEmbedder("m", base_url=server.url)
        with pytest.raises(UsageError, match="text 1 of 90 characters"):
            await embedder.embed(["a", "b" * 90])
        await embedder.aclose()
