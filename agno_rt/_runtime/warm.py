"""Warms models ahead of the first run: connections with certificates and handshakes, and models in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import trio

from agno_rt._drive.job import ResolvedAgent
from agno_rt.errors import AgnoError, ModelError
from agno_rt.failures import must_pass, named
from agno_rt.models import Model
from agno_rt.wrappers.base import Wrapper

__all__ = ["list_models", "warm_models"]


def list_models(resolved: ResolvedAgent) -> Iterator[Any]:
    """Yield the models that runs of the agent may ask, including models within wrappers."""
    models = [resolved.model] if resolved.summarizer is None else [resolved.model, resolved.summarizer]
    while models:
        model = models.pop()
        if isinstance(model, Wrapper):
            models.extend(model.models())
        else:
            yield model


async def warm_models(models: list[Model]) -> None:
    """Warm all models at once, each once. Raises the first model's error, after every model was tried."""
    failures: dict[int, AgnoError] = {}

    async def warm(at: int, model: Model, work: Any) -> None:
        try:
            await work()
        except AgnoError as exc:
            failures[at] = exc
        except BaseException as exc:
            if must_pass(exc):
                raise
            failures[at] = ModelError(f"warming the model {model.name} failed: {named(exc)}", provider=model.name)

    async with trio.open_nursery() as nursery:
        for at, model in enumerate({id(model): model for model in models}.values()):
            if (work := getattr(model, "warm", None)) is not None:
                nursery.start_soon(warm, at, model, work)
    if failures:
        raise failures[min(failures)]
