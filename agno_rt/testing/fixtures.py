"""The pytest plugin: fixtures for tests of agents. Imports agno_rt only when one is used, so that coverage sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agno_rt.testing.scripted import ScriptedModel

__all__ = ["scripted_model"]


@pytest.fixture
def scripted_model() -> Iterator[Callable[..., ScriptedModel]]:
    """Make scripted models, `scripted_model("Hello.")`; each is checked when the test is over."""
    from agno_rt.testing.scripted import ScriptedModel

    made: list[ScriptedModel] = []

    def make(*steps: Any, name: str = "scripted") -> ScriptedModel:
        made.append(ScriptedModel(steps, name=name))
        return made[-1]

    yield make
    for model in made:
        model.check()
