"""The real model for every test: the plugin's own code fetches the weights once, into the usual cache."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agno_rt_llamacpp.client import LlamaModel
from agno_rt_llamacpp.profile import SMOLLM2, Settings
from agno_rt_llamacpp.weights import cache_folder, pull

from agno_rt import Message, ModelRequest, ModelSettings


@pytest.fixture(scope="session")
def weights() -> Path:
    """The default model's file."""
    path, _ = pull(SMOLLM2, cache_folder(), lambda _step, _done, _total: None)
    return path


@pytest.fixture
async def model(weights: Path) -> AsyncIterator[LlamaModel]:
    """The default model with one slot and one waiter, small enough to load in a moment."""
    model = LlamaModel(str(weights), Settings(parallel=1, queue=1, context=1024, batch=64, temperature=0.0))
    yield model
    await model.aclose()


@pytest.fixture
def hello() -> ModelRequest:
    """A request with a short and constant answer."""
    return ModelRequest((Message("user", "Say hello."),), settings=ModelSettings(seed=1, max_tokens=12))


@pytest.fixture
def endless() -> ModelRequest:
    """A request with an answer of minutes."""
    settings = ModelSettings(seed=1, max_tokens=900, extra={"ignore_eos": True})
    return ModelRequest((Message("user", "Count to one thousand."),), settings=settings)


@pytest.fixture
def half(tmp_path: Path, weights: Path) -> Path:
    """The default model's file, cut off in the middle."""
    path = tmp_path / "half.gguf"
    path.write_bytes(weights.read_bytes()[:20_000_000])
    return path
