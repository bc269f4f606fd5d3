"""The official SDKs against the tests' formats: the SDKs read the same vectors, and send the same requests.

Each SDK runs in another process, because importing it takes seconds and loads other HTTP libraries.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import trio
from agno_rt_cohere import CohereEmbedder, CohereReranker
from agno_rt_google import GoogleEmbedder
from agno_rt_ollama import OllamaEmbedder
from agno_rt_openai import OpenAIEmbedder
from agno_rt_openai.embedding_facts import SERVICES

from agno_rt.testing import VectorFormat, WireReply, open_wire_server
from tests.servers.vector_formats import CohereVectors, GeminiVectors, OllamaVectors, OpenAIVectors

TEXTS = ["The cat sleeps.", "맑음 👋"]
VECTORS = [[0.6, 0.8], [0.8, 0.6]]

OPENAI = """
import openai
client = openai.OpenAI(api_key="k", base_url=url, max_retries=0)
found = client.embeddings.create(model="m", input=texts, dimensions=2)
show([each.embedding for each in found.data])
"""
COHERE = """
import cohere
client = cohere.ClientV2(api_key="k", base_url=url, log_warning_experimental_features=False)
found = client.embed(model="m", texts=texts, input_type="search_document", embedding_types=["float"],
                     output_dimension=2, truncate="NONE")
show(found.embeddings.float_)
"""
OLLAMA = """
import ollama
show([list(each) for each in ollama.Client(url).embed("m", texts, truncate=False, dimensions=2).embeddings])
"""
GOOGLE = """
from google import genai
client = genai.Client(api_key="k", http_options={"base_url": url})
config = {"task_type": "RETRIEVAL_DOCUMENT", "output_dimensionality": 2}
found = client.models.embed_content(model="gemini-embedding-001", contents=texts, config=config)
show([each.values for each in found.embeddings])
"""
RERANK = """
import cohere
client = cohere.ClientV2(api_key="k", base_url=url, log_warning_experimental_features=False)
found = client.rerank(model="m", query="Who sleeps?", documents=texts, top_n=1)
show([[each.index, each.relevance_score] for each in found.results])
"""
BEGIN = """
import json, sys
url, *texts = sys.argv[1:]
def show(value):
    print(json.dumps(value))
"""


async def run_sdk(program: str, url: str) -> Any:
    """Run a program with the SDK, and return the printed value."""
    command = [sys.executable, "-c", BEGIN + program, url, *TEXTS]
    done = await trio.run_process(command, capture_stdout=True)
    return json.loads(done.stdout)


def make_embedder(name: str, url: str) -> Any:
    """Make the plugin's embedder for vectors of two numbers."""
    if name == "openai":
        return OpenAIEmbedder("m@2", base_url=url, api_key="k", service=SERVICES[""])
    if name == "cohere":
        return CohereEmbedder("m@2", base_url=url, api_key="k")
    if name == "ollama":
        return OllamaEmbedder("m@2", base_url=url)
    return GoogleEmbedder("gemini-embedding-001@2", base_url=url, api_key="k")


@pytest.mark.parametrize("name", ["openai", "cohere", "ollama", "google"])
async def test_the_same_vectors_and_requests(name: str) -> None:
    """The SDK reads the vectors of the test's server, and sends the plugin's request."""
    formats: dict[str, VectorFormat] = {
        "openai": OpenAIVectors(packed=True),
        "cohere": CohereVectors(),
        "ollama": OllamaVectors(),
        "google": GeminiVectors(),
    }
    reply = WireReply((formats[name].render_vectors(VECTORS, [0, 1], 9),))
    async with open_wire_server(reply) as server:
        own = make_embedder(name, server.url)
        with trio.fail_after(120):
            read = await run_sdk(
                {"openai": OPENAI, "cohere": COHERE, "ollama": OLLAMA, "google": GOOGLE}[name], server.url
            )
            found = await own.embed(TEXTS)
        await own.aclose()
        theirs, ours = server.requests
    assert [[round(value, 5) for value in vector] for vector in read] == VECTORS
    assert [[round(value, 5) for value in vector] for vector in found.vectors] == VECTORS
    # Google's SDK asks for another version of its API than the plugin.
    assert theirs.path.removeprefix("/v1/") == ours.path.removeprefix("/v1beta/")
    # Google's SDK names the role of a text, which has no meaning here.
    assert json.loads(theirs.body.replace(b', "role": "user"', b"")) == ours.json()


async def test_the_same_ranking_and_request() -> None:
    """Cohere's SDK reads the ranking of the test's server, and sends the plugin's request."""
    reply = WireReply((CohereVectors().render_ranking([(1, 0.75)]),))
    async with open_wire_server(reply) as server:
        own = CohereReranker("m", base_url=server.url, api_key="k")
        with trio.fail_after(120):
            read = await run_sdk(RERANK, server.url)
            found = await own.rerank("Who sleeps?", TEXTS, top=1)
        await own.aclose()
        theirs, ours = server.requests
    assert read == [[1, 0.75]]
    assert found == [(1, 0.75)]
    assert theirs.path == ours.path
    assert theirs.json() == ours.json()
