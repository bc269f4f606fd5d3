"""Fixtures of the plugin's tests: the address of a real llama.cpp server."""

from __future__ import annotations

import pytest

from tests.servers.llama import llama_server

__all__ = ["llama_server", "llama_url"]


@pytest.fixture(scope="session")
def llama_url(llama_server: str) -> str:
    """The base URL of the server."""
    return f"{llama_server}/v1"
