"""The values that cross the `Model` protocol, and what counts as a model."""

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
    """The protocol asks for no base class."""
    assert isinstance(Parrot(), Model)
    assert not isinstance(object(), Model)


async def test_a_request_needs_messages_alone() -> None:
    """All else in a request has a default, and a response is positional in its usual order."""
    response = await Parrot().respond(ModelRequest([Message("user", "hi")]))

    assert response == ModelResponse("hi", (), "", Usage(), "stop")


def test_settings_are_shared_and_so_frozen() -> None:
    """Settings leave everything to the model by default and cannot be changed in place."""
    settings = ModelSettings()

    assert (settings.temperature, settings.max_tokens, settings.seed, settings.stop) == (None, None, None, ())
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        settings.seed = 1  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("stop", "kept"),
    [("END", ("END",)), (("a", "b"), ("a", "b")), (["a"], ("a",)), ("", ()), (None, ()), (("", "a"), ("a",))],
)
def test_one_stop_sequence_is_one(stop: Any, kept: tuple[str, ...]) -> None:
    """A single text is one stop sequence, not one for each of its letters."""
    assert ModelSettings(stop=stop).stop == kept


@pytest.mark.parametrize("stop", [5, (5,), b"END"])
def test_a_stop_sequence_is_text(stop: Any) -> None:
    """Anything else is refused where the settings are made."""
    with pytest.raises(UsageError, match="stop is"):
        ModelSettings(stop=stop)


def test_requests_share_the_default_settings() -> None:
    """A request without settings makes none of its own."""
    assert ModelRequest(()).settings is ModelRequest(()).settings
