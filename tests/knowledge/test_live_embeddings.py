"""The embedder with OpenAI's format against a real server: llama.cpp's, with all-MiniLM-L6-v2."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from operator import mul
from pathlib import Path

import pytest
from agno_rt_llamacpp.embedder import LlamaEmbedder
from agno_rt_llamacpp.profile import MINILM, Settings
from agno_rt_llamacpp.weights import cache_folder, pull
from agno_rt_openai import OpenAIEmbedder
from agno_rt_openai.embedding_facts import SERVICES

from agno_rt.errors import UsageError
from agno_rt.testing import EmbedderContract
from tests.free_ports import find_free_port
from tests.servers.llama import stop_server, wait_until_ready

SCRIPT = Path(__file__).parents[1] / "servers" / "embedding_server.py"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of llama.cpp's server with the embedder's weights."""
    weights, _ = pull(MINILM, cache_folder(), lambda _step, _done, _total: None)
    log = tmp_path_factory.mktemp("embedding") / "log"
    port = str(find_free_port())
    command = [sys.executable, str(SCRIPT), port, str(weights)]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            stop_server(process)


class TestLive(EmbedderContract):
    """The contract, with vectors as numbers."""

    @pytest.fixture(autouse=True)
    def _use_server(self, url: str) -> None:
        self.url = url

    def make_embedder(self) -> OpenAIEmbedder:
        """Make an embedder of the server."""
        return OpenAIEmbedder("minilm", base_url=self.url)


async def test_base64_and_numbers_are_the_same(url: str) -> None:
    """Vectors as base64 are those as numbers, and those of the embedder in this process."""
    packed = OpenAIEmbedder("minilm", base_url=url, service=SERVICES["azure"])
    plain, own = OpenAIEmbedder("minilm", base_url=url), LlamaEmbedder("minilm", Settings(threads=1))
    found = [(await each.embed(["The cat sleeps."])).vectors[0] for each in (packed, plain, own)]
    for each in (packed, plain, own):
        await each.aclose()
    for vector in found:
        assert sum(map(mul, vector, found[0])) == pytest.approx(1.0, abs=1e-4)


async def test_a_long_text_is_named(url: str) -> None:
    """The server's refusal of a text above its batch becomes a `UsageError` with the text's place."""
    embedder = OpenAIEmbedder("minilm", base_url=url)
    with pytest.raises(UsageError, match="text 1 of 6000 characters is too long"):
        await embedder.embed(["short", "sofa! " * 1000])
    assert len((await embedder.embed(["short"])).vectors) == 1
    await embedder.aclose()
