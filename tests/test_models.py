"""The values of the `Model` protocol, and the check for a model."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from agno_rt.errors import UsageError
from agno_rt.messages import Message, Usage
from agno_rt.models import Emit, Model, ModelRequest, ModelResponse, ModelSettings


class Parrot:
    """The smallest model."""

    name = "parrot"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Repeat the last message."""
        return ModelResponse(request.messages[-1].text)


def test_a_model_is_whatever_has_a_name_and_responds() -> None:
    """Any object with a name and `respond` is a model, without a base class."""
    assert isinstance(Parrot(), Model)
    assert not isinstance(object(), Model)


async def test_a_request_needs_messages_alone() -> None:
    """A request needs only messages. A response takes its fields by position in the usual order."""
    response = await Parrot().respond(ModelRequest([Message("user", "hi")]))

    assert response == ModelResponse("hi", (), "", Usage(), "stop")


def test_settings_are_shared_and_so_frozen() -> None:
    """Settings leave every choice to the model by default, and cannot be changed."""
    settings = ModelSettings()

    assert (settings.temperature, settings.max_tokens, settings.seed, settings.stop) == (None, None, None, ())
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        settings.seed = 1  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("stop", "kept"),
    [("END", ("END",)), (("a", "b"), ("a", "b")), (["a"], ("a",)), ("", ()), (None, ()), (("", "a"), ("a",))],
)
def test_one_stop_sequence_is_one(stop: Any, kept: tuple[str, ...]) -> None:
    """A single text is one stop sequence, not one for each letter."""
    assert ModelSettings(stop=stop).stop == kept


@pytest.mark.parametrize("stop", [5, (5,), b"END"])
def test_a_stop_sequence_is_text(stop: Any) -> None:
    """A stop sequence other than text is refused when the settings are made."""
    with pytest.raises(UsageError, match="stop is"):
        ModelSettings(stop=stop)


def test_requests_share_the_default_settings() -> None:
    """Requests without settings share one default object."""
    assert ModelRequest(()).settings is ModelRequest(()).settings
