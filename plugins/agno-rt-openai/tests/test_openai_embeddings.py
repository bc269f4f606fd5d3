"""Embedders and rerankers with OpenAI's format: the wire contracts, the providers' habits, the spec strings."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from agno_rt_openai import OpenAIEmbedder, OpenAIReranker, Server
from agno_rt_openai.embedding_facts import RETRIEVAL_PROVIDERS, SERVICES
from agno_rt_openai.embeddings import build_body
from agno_rt_openai.keys import key_headers
from agno_rt_openai.providers import PROVIDERS

from agno_rt import Runtime
from agno_rt.errors import ConfigError, ModelError, NotFound, UsageError
from agno_rt.http_client.server import Key
from agno_rt.testing import EmbedderWireContract, RerankerWireContract, WireReply, open_wire_server
from tests.servers.vector_formats import OpenAIVectors


class TestEmbedder(EmbedderWireContract):
    """Vectors as lists of numbers."""

    wire = OpenAIVectors()

    def make(self, base_url: str) -> OpenAIEmbedder:
        """Make an embedder."""
        return OpenAIEmbedder("m", base_url=base_url, api_key=self.key)

    def make_impatient(self, base_url: str) -> OpenAIEmbedder:
        """Make an embedder that gives up after a moment."""
        return OpenAIEmbedder("m", Server(base_url=base_url, api_key=self.key, read_timeout=30))


class TestPacked(TestEmbedder):
    """Vectors as base64, from a service that tells queries from documents."""

    wire = OpenAIVectors(packed=True)
    tells_purpose = True

    def make(self, base_url: str) -> OpenAIEmbedder:
        """Make an embedder with Jina's habits."""
        return OpenAIEmbedder("m", base_url=base_url, api_key=self.key, service=SERVICES["jina"])


class TestReranker(RerankerWireContract):
    """Rankings as Jina, vLLM and llama.cpp's server send them."""

    wire = OpenAIVectors()

    def make(self, base_url: str) -> OpenAIReranker:
        """Make a reranker."""
        return OpenAIReranker("m", base_url=base_url, api_key=self.key)

    def make_impatient(self, base_url: str) -> OpenAIReranker:
        """Make a reranker that gives up after a moment."""
        return OpenAIReranker("m", Server(base_url=base_url, api_key=self.key, read_timeout=30))


@pytest.mark.parametrize(
    ("service", "purpose", "dimensions", "more"),
    [
        ("", "query", 512, {"dimensions": 512, "encoding_format": "base64"}),
        ("jina", "query", None, {"task": "retrieval.query"}),
        ("jina", "document", 64, {"task": "retrieval.passage", "dimensions": 64}),
        ("voyage", "document", 256, {"input_type": "document", "output_dimension": 256}),
        ("nvidia", "document", None, {"input_type": "passage"}),
        ("vllm", "query", None, {}),
    ],
)
def test_requests_have_the_services_habits(service: str, purpose: Any, dimensions: int | None, more: Any) -> None:
    """Each service gets its own words for queries, lengths and base64, and nothing else."""
    body = build_body("m", ["a"], purpose, SERVICES[service], dimensions)
    assert body == {"model": "m", "input": ["a"], **more}


async def test_specs_name_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Specs give the name, the length of vectors, the price and the service; others are refused with a hint."""
    monkeypatch.delenv("JINA_API_KEY", raising=False)
    async with Runtime(settings={"openai": {"servers": {"mine": {"base_url": "http://127.0.0.1:9/v1"}}}}) as rt:
        small = rt.embedder("openai:text-embedding-3-small")
        assert (small.name, small.dimensions, small.profile.batch_tokens) == (
            "openai:text-embedding-3-small",
            1536,
            100_000,
        )
        assert small.profile.price is not None
        short = rt.embedder("openai:text-embedding-3-large@256")
        assert (short.name, short.dimensions) == ("openai:text-embedding-3-large@256", 256)
        mine = rt.embedder("openai:mine:bge-m3")
        assert (mine.dimensions, mine.profile.price) == (None, None)
        assert rt.embedder("openai:dashscope:text-embedding-v4").profile.batch_texts == 10
        jina = rt.reranker("openai:jina:jina-reranker-v2-base-multilingual")
        with pytest.raises(ConfigError, match="JINA_API_KEY is not set"):
            await jina.rerank("q", ["a"])
        assert rt.reranker("openai:mine:x").name == "openai:mine:x"
        for spec in ("openai:gpt-5", "openai:mistral:x"):
            with pytest.raises(NotFound, match="unknown reranker") as caught:
                rt.reranker(spec)
            assert "openai:jina:MODEL" in caught.value.hint
        with pytest.raises(UsageError, match="without numbers"):
            rt.embedder("openai:text-embedding-3-small@0")


async def test_a_text_refused_for_its_length_is_named() -> None:
    """A refusal for length is a `UsageError` with the place of the longest text, and is not tried again."""
    said = "This model's maximum context length is 8192 tokens, however you requested 9001 tokens."
    async with open_wire_server() as server:
        server.play(WireReply((OpenAIVectors().render_error(400, said),), 400))
        embedder = OpenAIEmbedder("m", base_url=server.url, api_key="k")
        with pytest.raises(UsageError, match=r"text 1 of 50000 characters is too long.*9001 tokens"):
            await embedder.embed(["short", "long " * 10_000, "short"])
        await embedder.aclose()
        assert len(server.requests) == 1


async def test_an_error_object_with_status_200() -> None:
    """An error object in place of vectors is the server's error, with its words."""
    async with open_wire_server() as server:
        server.play(WireReply((json.dumps({"error": {"message": "overloaded", "code": 529}}).encode(),)))
        embedder = OpenAIEmbedder("m", base_url=server.url, api_key="k")
        with pytest.raises(Exception, match="overloaded") as caught:
            await embedder.embed(["a"])
        assert getattr(caught.value, "retryable", None)
        await embedder.aclose()


async def test_no_error_has_the_token_that_a_key_signs() -> None:
    """A signed token opens the account for half an hour, so that no error quotes it after the server."""
    key = "id1.secret0123456789"
    async with open_wire_server() as server:
        settings = Server(base_url=server.url, api_key=key, key_format="zhipu")
        # The next token, too: a quarter of an hour may end between this line and the request.
        quoted = [key_headers(settings, Key(key, "code"), time.time() + later)["authorization"] for later in (0, 900)]
        refusal = WireReply((OpenAIVectors().render_error(401, " or ".join(quoted)),), 401)
        server.play(refusal, refusal)
        embedder, reranker = OpenAIEmbedder("m", settings), OpenAIReranker("m", settings)
        asked: list[Callable[[], Coroutine[Any, Any, Any]]]
        asked = [lambda: embedder.embed(["a"]), lambda: reranker.rerank("a", ["b"])]
        for ask in asked:
            with pytest.raises(ModelError) as caught:
                await ask()
            token = server.requests[-1].headers["authorization"].removeprefix("Bearer ")
            assert token in " ".join(quoted)
            assert token not in "".join(traceback.format_exception(caught.value))
        await embedder.aclose()
        await reranker.aclose()


async def test_the_cost_is_counted() -> None:
    """A model with a known price has its cost in the usage."""
    async with open_wire_server() as server:
        server.play(WireReply((OpenAIVectors().render_vectors([[1.0]], [0], 1_000_000),)))
        embedder = OpenAIEmbedder("text-embedding-3-small@1", Server(api_key="k"))
        embedder.server = Server(base_url=server.url, api_key="k")
        assert (await embedder.embed(["a"])).usage.cost == pytest.approx(0.02)
        await embedder.aclose()


def test_every_service_has_an_address() -> None:
    """The names of services are those of providers; providers of retrieval alone are not in the other table."""
    assert set(SERVICES) - {""} <= {*PROVIDERS, *RETRIEVAL_PROVIDERS}
    assert not set(PROVIDERS) & set(RETRIEVAL_PROVIDERS)
