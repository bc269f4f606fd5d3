"""Fixtures of the plugin's tests: a real llama.cpp server."""

from tests.servers.llama import llama_url

__all__ = ["llama_url"]
