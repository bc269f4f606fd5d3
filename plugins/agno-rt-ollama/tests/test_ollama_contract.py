"""The wire contract for Ollama's chat format."""

from __future__ import annotations

from agno_rt_ollama import OllamaModel, Server

from agno_rt.testing import ModelWireContract
from tests.servers.ollama_format import OllamaFormat


class TestOllama(ModelWireContract):
    """The contract over Ollama's chat format."""

    wire = OllamaFormat()
    reasons = ("stop", "length", "tool_calls")
    counts = ("input_tokens", "output_tokens")

    def make_model(self, base_url: str) -> OllamaModel:
        """Make a model that asks the server."""
        return OllamaModel("m", base_url=base_url, api_key=self.key)

    def make_impatient(self, base_url: str) -> OllamaModel:
        """Make a model that gives up after a moment."""
        return OllamaModel("m", Server(base_url=base_url, api_key=self.key, read_timeout=30))
