"""Embedders of Google: the wire contract by the Gemini API and by Vertex AI, and the requests."""

from __future__ import annotations

import pytest
from agno_rt_google import GoogleEmbedder, Server

from agno_rt import Runtime
from agno_rt.errors import ConfigError
from agno_rt.testing import EmbedderWireContract, WireReply, open_wire_server
from tests.servers.vector_formats import GeminiVectors, VertexVectors


class TestGemini(EmbedderWireContract):
    """The contract over batchEmbedContents."""

    wire = GeminiVectors()
    tells_purpose = True

    def make(self, base_url: str) -> GoogleEmbedder:
        """Make an embedder."""
        return GoogleEmbedder("m", base_url=base_url, api_key=self.key)

    def make_impatient(self, base_url: str) -> GoogleEmbedder:
        """Make an embedder that gives up after a moment."""
        return GoogleEmbedder("m", Server(base_url=base_url, api_key=self.key, read_timeout=30))


class TestVertex(EmbedderWireContract):
    """The contract over predict, with an access token."""

    wire = VertexVectors()
    tells_purpose = True

    def make(self, base_url: str) -> GoogleEmbedder:
        """Make an embedder."""
        return GoogleEmbedder("m", Server(base_url=base_url, vertex=True, project="p", api_key=self.key))


async def test_requests_of_the_gemini_api() -> None:
    """The task, the length and the model stand in each of the requests."""
    async with open_wire_server() as server:
        server.play(WireReply((GeminiVectors().render_vectors([[3.0, 4.0]] * 2, [0, 1], 0),)))
        async with Runtime(settings={"google": {"base_url": server.url, "api_key": "k"}}) as rt:
            embedder = rt.embedder("google:gemini-embedding-001@2")
            found = await embedder.embed(["a", "b"], purpose="query")
            assert [round(value, 3) for value in found.vectors[0]] == [0.6, 0.8]
            assert rt.embedder("google:gemini-embedding-001").dimensions == 3072
        (request,) = server.requests
        assert request.path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
        assert request.headers["x-goog-api-key"] == "k"
        one = {"model": "models/gemini-embedding-001", "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 2}
        assert request.json()["requests"] == [{**one, "content": {"parts": [{"text": text}]}} for text in "ab"]


async def test_requests_of_vertex_ai() -> None:
    """One text goes at a time to the model that takes one; the server is told not to cut."""
    async with open_wire_server() as server:
        server.play(WireReply((VertexVectors().render_vectors([[0.6, 0.8]], [0], 4),)))
        table = {"base_url": server.url, "project": "p", "location": "us", "api_key": "token"}
        async with Runtime(settings={"google": table}) as rt:
            found = await rt.embedder("google:vertex:gemini-embedding-001@2").embed(["a", "b"])
            assert found.usage.input_tokens == 8
        first, _ = server.requests
        path = "/v1/projects/p/locations/us/publishers/google/models/gemini-embedding-001:predict"
        assert (first.path, first.headers["authorization"]) == (path, "Bearer token")
        assert first.json()["parameters"] == {"autoTruncate": False, "outputDimensionality": 2}
        assert first.json()["instances"][0]["task_type"] == "RETRIEVAL_DOCUMENT"


def test_vertex_needs_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token and a file, the error says what to set."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="needs credentials"):
        GoogleEmbedder("m", Server(vertex=True, project="p")).check_ready()
