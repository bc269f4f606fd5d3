"""Embedders of Bedrock: the wire contract with Cohere's models, and Titan's requests."""

from __future__ import annotations

import json

import pytest
from agno_rt_bedrock import BedrockEmbedder, Server

from agno_rt import Runtime
from agno_rt.errors import ConfigError, UsageError
from agno_rt.testing import EmbedderWireContract, WireReply, open_wire_server
from tests.servers.vector_formats import BedrockVectors

COHERE, TITAN = "cohere.embed-multilingual-v3", "amazon.titan-embed-text-v2:0"


class TestCohere(EmbedderWireContract):
    """The contract over InvokeModel with an API key."""

    wire = BedrockVectors()
    tells_purpose = True

    def make(self, base_url: str) -> BedrockEmbedder:
        """Make an embedder."""
        return BedrockEmbedder(COHERE, base_url=base_url, api_key=self.key)

    def make_impatient(self, base_url: str) -> BedrockEmbedder:
        """Make an embedder that gives up after a moment."""
        return BedrockEmbedder(COHERE, Server(base_url=base_url, api_key=self.key, read_timeout=30))


async def test_titan_takes_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each text is a signed request of its own, in order; the tokens add up."""
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE123456")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    async with open_wire_server() as server:
        bodies = [{"embedding": vector, "inputTextTokenCount": 2} for vector in ([0.6, 0.8], [0.8, 0.6])]
        server.play(*(WireReply((json.dumps(body).encode(),)) for body in bodies))
        table = {"base_url": server.url, "region": "us-west-2", "max_connections": 1}
        async with Runtime(settings={"bedrock": table}) as rt:
            embedder = rt.embedder(f"bedrock:{TITAN}@2")
            assert embedder.dimensions == 2
            assert rt.embedder(f"bedrock:{TITAN}").dimensions == 1024
            found = await embedder.embed(["a", "b"])
        assert sorted(round(vector[0], 3) for vector in found.vectors) == [0.6, 0.8]
        assert found.usage.input_tokens == 4
        for request in server.requests:
            assert request.path == "/model/amazon.titan-embed-text-v2%3A0/invoke"
            assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
            assert request.json()["dimensions"] == 2


def test_other_models_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of another family is refused with the names of those that embed; a missing region is told."""
    with pytest.raises(UsageError, match="not an embedding model") as caught:
        BedrockEmbedder("amazon.nova-lite-v1:0", base_url="http://127.0.0.1:9", api_key="k")
    assert TITAN in caught.value.hint
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(ConfigError, match="region"):
        BedrockEmbedder(TITAN, Server(api_key="k")).check_ready()
