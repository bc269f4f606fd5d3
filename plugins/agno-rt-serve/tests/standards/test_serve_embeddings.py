"""Embeddings, `/v1/embeddings`: lists, base64, lengths, refusals by name; and the list of models."""

from __future__ import annotations

import base64
import struct
from typing import Any

import httpx2
import openai
import pytest

from agno_rt import Agent, Knowledge
from agno_rt.config import Config
from agno_rt.testing import ScriptedModel, WordEmbedder

TEXTS = ["red green", "green blue", "a b c"]


@pytest.fixture(scope="module")
def url(serve_in_thread: Any) -> str:
    """Serve an agent, three embedders of the settings and another of a knowledge."""
    config = Config(knowledge={"docs": Knowledge(embedder="test:other"), "plain": Knowledge(embedder=None)})
    embedders = {"words": "test:words", "short": "test:short", "sized": "test:words@32"}
    served: str = serve_in_thread(Agent(ScriptedModel([]), "a"), config=config, embedders=embedders)
    return served


def vectors(dimensions: int = 64) -> list[list[float]]:
    """Return the embedder's vectors of the texts."""
    embedder = WordEmbedder(dimensions)
    return [embedder._count(text.split()).tolist() for text in TEXTS]


def post(url: str, **body: Any) -> httpx2.Response:
    return httpx2.post(f"{url}/v1/embeddings", json={"model": "words", "input": TEXTS} | body, timeout=30)


@pytest.mark.parametrize("given", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
def test_the_official_client(url: str, given: dict[str, Any]) -> None:
    """The client asks for base64 by default, and gets the vectors in the order of the texts, and the tokens."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        made = client.embeddings.create(model="words", input=TEXTS, **given)
        one = client.embeddings.create(model="words", input=TEXTS[1])

    found: list[Any] = [each.embedding for each in made.data]
    if given.get("encoding_format") == "base64":
        found = [list(struct.unpack("<64f", base64.b64decode(each))) for each in found]
    assert found == vectors()
    assert [(each.index, each.object) for each in made.data] == [(0, "embedding"), (1, "embedding"), (2, "embedding")]
    assert (made.model, made.object, made.usage.prompt_tokens, made.usage.total_tokens) == ("words", "list", 7, 7)
    assert one.data[0].embedding == vectors()[1]


def test_numbers_unless_base64_is_asked_for(url: str) -> None:
    """Without `encoding_format` a vector is a list of numbers, as the reference says."""
    assert [each["embedding"] for each in post(url).json()["data"]] == vectors()


@pytest.mark.parametrize(("model", "dimensions"), [("words", 64), ("words", 16), ("sized", 16), ("sized", 32)])
def test_dimensions(url: str, model: str, dimensions: int) -> None:
    """An embedder with vectors of several lengths makes vectors of the given length."""
    made = post(url, model=model, dimensions=dimensions).json()

    assert [each["embedding"] for each in made["data"]] == vectors(dimensions)


def test_an_embedder_of_the_knowledge(url: str) -> None:
    """The embedders of the project's knowledge are models too, by spec."""
    assert post(url, model="test:other").json()["data"][0]["embedding"] == vectors()[0]


@pytest.mark.parametrize(
    ("body", "param", "status"),
    [
        ({"input": [1, 2, 3]}, "input", 400),
        ({"input": [[1, 2], [3]]}, "input", 400),
        ({"input": ["a", [1]]}, "input", 400),
        ({"input": ""}, "input", 400),
        ({"input": ["a", " "]}, "input", 400),
        ({"input": []}, "input", 400),
        ({"input": {"text": "a"}}, "input", 400),
        ({"input": ["a"] * 2049}, "input", 400),
        ({"input": None}, "input", 400),
        ({"model": "short"}, "input", 400),
        ({"dimensions": 0}, "dimensions", 400),
        ({"encoding_format": "hex"}, "encoding_format", 400),
        ({"truncate": True}, "truncate", 400),
        ({"model": "a"}, "model", 404),
        ({"model": "test:words"}, "model", 404),
    ],
)
def test_what_is_refused(url: str, body: dict[str, Any], param: str, status: int) -> None:
    """Ids of tokens, blank and cut texts, unknown parameters and models are refused by name."""
    answer = post(url, **body)

    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


def test_lengths_have_a_bound(serve_in_thread: Any) -> None:
    """Clients cannot make the server open embedders without end; an impossible length is a 400."""
    url = serve_in_thread(Agent(ScriptedModel([]), "a"), embedders={"words": "test:words"})
    statuses = [post(url, dimensions=number).status_code for number in range(1, 20)]
    again = post(url, dimensions=3)

    assert statuses == [200] * 16 + [400] * 3
    assert again.status_code == 200


def test_models(url: str) -> None:
    """Agents and embedders are listed as models, and each can be looked up."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        names = [model.id for model in client.models.list()]
        found = [client.models.retrieve(name).id for name in names]
        with pytest.raises(openai.NotFoundError, match="Did you mean 'words'") as missing:
            client.embeddings.create(model="wrods", input="x")
        with pytest.raises(openai.NotFoundError) as unknown:
            client.models.retrieve("b/c")

    assert names == found == ["a", "test:other", "words", "short", "sized"]
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert unknown.value.code == "model_not_found"
