"""The wire contract for Cohere's chat format."""

from __future__ import annotations

from agno_rt_cohere import CohereModel, Server

from agno_rt.testing import ModelWireContract
from tests.servers.cohere_format import CohereFormat


class TestCohere(ModelWireContract):
    """The contract over Cohere's chat format."""

    wire = CohereFormat()
    reasons = ("stop", "length", "tool_calls")
    counts = ("input_tokens", "output_tokens", "cached_tokens")

    def make_model(self, base_url: str) -> CohereModel:
        """Make a model that asks the server."""
        return CohereModel("m", base_url=base_url, api_key=self.key)

    def make_impatient(self, base_url: str) -> CohereModel:
        """Make a model that gives up after a moment."""
        return CohereModel("m", Server(base_url=base_url, api_key=self.key, read_timeout=30))
