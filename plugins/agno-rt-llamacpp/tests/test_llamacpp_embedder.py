"""`llamacpp:minilm`: the real weights, fetched and converted by the plugin's own code."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from operator import mul
from pathlib import Path

import pytest
import trio
from agno_rt_llamacpp.convert import convert_minilm
from agno_rt_llamacpp.embedder import LlamaEmbedder
from agno_rt_llamacpp.profile import MINILM, Settings
from agno_rt_llamacpp.weights import cache_folder, pull

from agno_rt import Runtime
from agno_rt.errors import ModelError, NotFound, UsageError
from agno_rt.knowledge import Vector
from agno_rt.testing import EmbedderContract


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The embedder's file."""
    path, _ = pull(MINILM, cache_folder(), lambda _step, _done, _total: None)
    return path


@pytest.fixture
async def embedder(minilm: Path) -> AsyncIterator[LlamaEmbedder]:
    """The embedder on one thread."""
    del minilm  # fetched before
    embedder = LlamaEmbedder("minilm", Settings(threads=1, queue=1))
    yield embedder
    await embedder.aclose()


@pytest.mark.usefixtures("minilm")
class TestMiniLM(EmbedderContract):
    """The embedder keeps the contract."""

    def make_embedder(self) -> LlamaEmbedder:
        """Make the embedder."""
        return LlamaEmbedder("minilm", Settings(threads=1))


def near(one: Vector, other: Vector) -> float:
    """Return the cosine of the angle of two vectors of length 1."""
    return float(sum(map(mul, one, other)))


async def test_the_vectors_are_those_of_the_model(embedder: LlamaEmbedder) -> None:
    """The similarities on the model's card come out: 0.695, 0.943 and 0.257 to `That is a happy person`."""
    texts = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    found = await embedder.embed(texts)
    first, *others = found.vectors
    assert [near(first, each) for each in others] == pytest.approx([0.6946, 0.9429, 0.2569], abs=2e-3)
    assert found.usage.input_tokens == 7 + 7 + 8 + 7
    assert embedder.dimensions == 384


async def test_a_long_text_is_cut_at_the_models_length(embedder: LlamaEmbedder) -> None:
    """A text above 512 tokens has the vector of its beginning; its end changes nothing; the rest is whole."""
    long = "The cat sleeps on the sofa. " * 400
    found = await embedder.embed([long, long + "Taxes are due.", "x" * 1_000_000, "short"])
    assert found.cut == (0, 1, 2)
    assert near(found.vectors[0], found.vectors[1]) == pytest.approx(1.0, abs=1e-4)
    assert found.usage.input_tokens <= 3 * 512 + 3


async def test_a_cancelled_call_ends_after_its_text(embedder: LlamaEmbedder) -> None:
    """A cancellation ends a call of a thousand texts between two texts, and the next call begins at once."""
    await embedder.embed(["warm"])
    with trio.fail_after(60):
        with trio.move_on_after(0.2) as scope:
            await embedder.embed(["The cat sleeps on the sofa. " * 10] * 1_000)
        assert scope.cancelled_caught
        assert embedder.statistics()[0].in_use == 0
        await embedder.embed(["again"])


async def test_a_closed_embedder_says_so(embedder: LlamaEmbedder) -> None:
    """After `aclose`, a call is a `ModelError`."""
    await embedder.aclose()
    with pytest.raises(ModelError, match="was closed"):
        await embedder.embed(["x"])


async def test_the_runtime_finds_it(minilm: Path) -> None:
    """The spec `llamacpp:minilm`, or the path of the file, gives the embedder; other names are refused with a hint."""
    async with Runtime() as rt:
        by_name, by_path = rt.embedder("llamacpp:minilm"), rt.embedder(f"llamacpp:{minilm}")
        one, other = await by_name.embed(["A cat."]), await by_path.embed(["A cat."])
        assert near(one.vectors[0], other.vectors[0]) == pytest.approx(1.0, abs=1e-5)
        assert (by_path.dimensions, by_path.profile.max_tokens) == (384, 512)
        with pytest.raises(NotFound, match="minilmm") as caught:
            rt.embedder("llamacpp:minilmm")
        assert "Known: minilm" in caught.value.hint
        with pytest.raises(UsageError, match="text after the embedder's name"):
            rt.embedder("llamacpp:minilm:l6")


async def test_missing_weights_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without weights, the error says how to fetch them, and nothing is loaded."""
    monkeypatch.setenv("AGNO_RT_CACHE", str(tmp_path))
    embedder = LlamaEmbedder("minilm")
    with pytest.raises(UsageError, match="weights of llamacpp:minilm") as caught:
        embedder.check_ready()
    assert "agno-rt llamacpp pull minilm" in caught.value.hint
    with pytest.raises(UsageError, match="weights of llamacpp:minilm"):
        await embedder.embed(["x"])


async def test_a_chat_model_is_refused(weights: Path) -> None:
    """A GGUF file without pooling has no vectors for texts; the error says which file to name."""
    embedder = LlamaEmbedder(str(weights), Settings(context=256, threads=1))
    try:
        with pytest.raises(ModelError, match="made no vector") as caught:
            await embedder.embed(["x"])
        assert "embedding model" in caught.value.hint
    finally:
        await embedder.aclose()


def test_the_conversion_is_the_same_everywhere(minilm: Path) -> None:
    """The converted file has the same bytes on every machine and Python."""
    assert minilm.stat().st_size == MINILM.size
    digest = hashlib.sha256(minilm.read_bytes()).hexdigest()
    assert digest == "263bc39c37c2d8c1fa0b325c1dc4d2bb65c30e110e1e43edf51681791d929946"


@pytest.mark.parametrize("broken", [b"", b"\x02\0\0\0\0\0\0\0{}", b"\x05\0\0\0\0\0\0\0{"], ids=["empty", "bare", "cut"])
def test_other_files_are_not_converted(broken: bytes, tmp_path: Path) -> None:
    """A source that is not the model is a `ValueError`, not half a file that looks whole."""
    (tmp_path / "source").write_bytes(broken)
    (tmp_path / "vocabulary").write_text("[PAD]\n")
    with pytest.raises(ValueError, match=r"lack|not the model"):
        convert_minilm(tmp_path / "source", tmp_path / "vocabulary", tmp_path / "out", lambda done, total: None)
