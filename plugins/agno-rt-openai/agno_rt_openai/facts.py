"""Facts about models: accepted media, the way to ask for an output type, and the format of reasoning.

The tables know OpenAI's own models: their families here, and their prices in prices.py. The settings describe models
of other servers, whose prices are unknown: they change without notice, and differ from server to server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from agno_rt.http_client.facts import ModelFacts
from agno_rt.http_client.tables import find_by_name
from agno_rt.wire.chat_completions import ThinkTags
from agno_rt_openai.prices import find_sold

__all__ = [
    "OFFICIAL",
    "OTHER",
    "Api",
    "CallIds",
    "Facts",
    "MaxTokensField",
    "SystemPlace",
    "ToolChoice",
    "known",
    "known_official",
]


SystemPlace = Literal["first", "anywhere"]
Api = Literal["chat", "responses"]
MaxTokensField = Literal["max_tokens", "max_completion_tokens"]
CallIds = Literal["any", "short", "nine"]
ToolChoice = Literal["name", "required", "words"]


@attrs.frozen(kw_only=True)
class Facts(ModelFacts):
    """Known facts about a model; `None` leaves a fact to a more general source. Beside those of `ModelFacts`:

    think_tags       reasoning in `<think>` tags within the text: `off`, `start` (the text may begin with a tag) or
                     `opened` (the chat template opens the tag)
    reasoning_field  the field for the reasoning of earlier turns in a request; empty for none
    system           the place of system messages: `first`, joined before everything else, or `anywhere`
    max_tokens_field the field for the most tokens of an answer
    seed_field       the field for the seed
    tool_choice      the way to demand a tool: by its `name`, or as the only tool, `required`, or in `words`, of a model
                     that refuses to be forced
    bridge_results   put a short answer between results of tools and a message of the user, which some services refuse
    call_ids         the ids of calls that the server accepts: `any`, `short` (at most 40 characters) or `nine` (nine
                     letters and digits); others are replaced
    api              the API to ask: `chat` for chat completions, `responses` for the responses API
    store            let the responses API store answers, and send only new messages; else it forgets each answer
    encrypted_reasoning  ask the responses API for encrypted reasoning, which only models that reason have
    cache_marks      mark the ends of the parts of a request that later requests repeat, for the prompt cache
    """

    think_tags: ThinkTags | None = None
    reasoning_field: str | None = None
    system: SystemPlace | None = None
    max_tokens_field: MaxTokensField | None = None
    seed_field: str | None = None
    tool_choice: ToolChoice | None = None
    bridge_results: bool | None = None
    call_ids: CallIds | None = None
    api: Api | None = None
    store: bool | None = None
    encrypted_reasoning: bool | None = None
    cache_marks: bool | None = None


OFFICIAL = Facts(
    output="schema",
    think_tags="off",
    reasoning_field="",
    system="anywhere",
    max_tokens_field="max_completion_tokens",
    tool_choice="name",
    call_ids="short",
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
# OpenAI's API reference, `prompt_cache_options`: GPT-5.6 and later models. Others refuse the marks.
_MARKS = attrs.evolve(_THINKS, cache_marks=True)
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
    "gpt-5.6*": _MARKS,
    "gpt-6*": _MARKS,
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


def known_official(model: str) -> Facts:
    """Return the facts of one of OpenAI's models, with the price and the sizes, if known.

    A fine-tuned model has the facts of its base without the price, which is higher.
    """
    facts, sold = known(model.removeprefix("ft:")), find_sold(model)
    if sold is None:
        return facts
    return attrs.evolve(facts, price=sold.price, context=sold.context, max_output=sold.max_output)
