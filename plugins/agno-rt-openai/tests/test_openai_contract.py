"""The wire contract for chat completions."""

from __future__ import annotations

from agno_rt_openai import OpenAIModel, Server

from agno_rt.testing import ChatFormat, ModelWireContract


class TestChatCompletions(ModelWireContract):
    """The contract over chat completions, of a server other than OpenAI's."""

    wire = ChatFormat()

    def make_model(self, base_url: str) -> OpenAIModel:
        """Make a model that asks the server."""
        return OpenAIModel("m", base_url=f"{base_url}/v1", api_key=self.key)

    def make_impatient(self, base_url: str) -> OpenAIModel:
        """Make a model that gives up after a moment."""
        return OpenAIModel("m", Server(base_url=f"{base_url}/v1", api_key=self.key, read_timeout=30))
