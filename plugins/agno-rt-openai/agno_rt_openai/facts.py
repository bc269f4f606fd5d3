"""Facts about models: accepted media, the way to ask for an output type, and the format of reasoning.

The table knows the families of OpenAI's own models; the settings describe the models of other servers. No prices: they
change without notice, and a budget with an old price is worse than no budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from agno_rt.http_client.tables import find_by_name
from agno_rt.models import ModelProfile, OutputMode, Price
from agno_rt.wire.chat_completions import ThinkTags

__all__ = ["OFFICIAL", "OTHER", "Api", "Facts", "MaxTokensField", "SystemPlace", "ToolChoice", "known"]


SystemPlace = Literal["first", "anywhere"]
Api = Literal["chat", "responses"]
MaxTokensField = Literal["max_tokens", "max_completion_tokens"]
ToolChoice = Literal["name", "required"]


@attrs.frozen(kw_only=True)
class Facts:
    """Known facts about a model; `None` leaves a fact to a more general source.

    media            accepted media types, as in `("image/*", "application/pdf")`; `None` lets the server refuse
    output           the way to ask for an output type: `schema`, `tool` or `prompt`
    price            US dollars for a million tokens: `input`, `output` and, optionally, `cached_input`
    think_tags       reasoning in `<think>` tags within the text: `off`, `start` (the text may begin with a tag) or
                     `opened` (the chat template opens the tag)
    reasoning_field  the field for the reasoning of earlier turns in a request; empty for none
    system           the place of system messages: `first`, joined before everything else, or `anywhere`
    max_tokens_field the field for the most tokens of an answer
    tool_choice      the way to demand one tool: by its `name`, or as the only tool, `required`
    api              the API to ask: `chat` for chat completions, `responses` for the responses API
    store            let the responses API store answers, and send only new messages; else it forgets each answer
    encrypted_reasoning  ask the responses API for encrypted reasoning, which only models that reason have
    """

    media: tuple[str, ...] | None = None
    output: OutputMode | None = None
    price: Price | None = None
    think_tags: ThinkTags | None = None
    reasoning_field: str | None = None
    system: SystemPlace | None = None
    max_tokens_field: MaxTokensField | None = None
    tool_choice: ToolChoice | None = None
    api: Api | None = None
    store: bool | None = None
    encrypted_reasoning: bool | None = None

    def over(self, others: Facts) -> Facts:
        """Return these facts, with gaps filled from `others`."""
        named = {name: value for name in _NAMES if (value := getattr(self, name)) is not None}
        return attrs.evolve(Facts(**{name: getattr(others, name) for name in _NAMES}), **named)

    def profile(self) -> ModelProfile:
        """Return the facts that a run needs."""
        return ModelProfile(self.output or "schema", self.media, self.price)


_NAMES = tuple(field.name for field in attrs.fields(Facts))

OFFICIAL = Facts(
    output="schema",
    think_tags="off",
    reasoning_field="",
    system="anywhere",
    max_tokens_field="max_completion_tokens",
    tool_choice="name",
    encrypted_reasoning=True,
)
"""Facts of OpenAI's own models, unless the table knows more. The API does not return their reasoning."""

OTHER = Facts(
    output="schema",
    think_tags="start",
    reasoning_field="",
    system="first",
    max_tokens_field="max_tokens",
    tool_choice="required",
)
"""Facts of other servers' models: many write reasoning into the text, and many chat templates refuse a system message
after the first message."""

_IMAGES = ("image/png", "image/jpeg", "image/webp", "image/gif")
_THINKS = Facts(media=(*_IMAGES, "application/pdf"))
_SEES = attrs.evolve(_THINKS, encrypted_reasoning=False)
_HEARS = Facts(media=("audio/wav", "audio/mpeg"), encrypted_reasoning=False)
_TEXT = Facts(media=(), output="tool", encrypted_reasoning=False)

_FAMILIES: Mapping[str, Facts] = {
    "gpt-3.5*": _TEXT,
    "gpt-4": _TEXT,
    "gpt-4-*": _TEXT,
    "gpt-4-turbo*": attrs.evolve(_TEXT, media=_IMAGES),
    "gpt-4.1*": _SEES,
    "gpt-4o*": _SEES,
    "gpt-4o-audio*": _HEARS,
    "gpt-4o-mini-audio*": _HEARS,
    "gpt-5*": _THINKS,
    "gpt-audio*": _HEARS,
    "o1": _THINKS,
    "o1-2*": _THINKS,
    "o1-mini*": Facts(media=(), output="prompt"),
    "o1-preview*": Facts(media=(), output="prompt"),
    "o3": _THINKS,
    "o3-2*": _THINKS,
    "o3-mini*": Facts(media=()),
    "o4-mini*": _THINKS,
}
"""OpenAI's models by name; `*` stands for any ending. Reference: OpenAI's documentation, "Models", `Modalities`."""


def known(model: str, families: Mapping[str, Facts] = _FAMILIES) -> Facts:
    """Look up the model: by its full name, else by the longest matching prefix that is written with a `*`."""
    return find_by_name(families, model) or Facts()
