"""Facts about models of Bedrock: media, tools, caching and the parameters that a model accepts. Read on `AS_OF`.

References: Amazon Bedrock's API reference, "ToolChoice", "DocumentBlock", "ImageBlock" and "VideoBlock", and its user
guide, "Prompt caching", "Supported models and model features" and "Get validated JSON results from models"; Anthropic's
documentation, "Thinking" and "Define tools". Settings override each fact, because facts change without notice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import attrs

from agno_rt.models import ModelProfile, OutputMode, Price

__all__ = ["AS_OF", "OTHER", "Effort", "Facts", "Thinking", "known"]

AS_OF = "2026-11-30"
"""The day on which the facts were read."""

Thinking = Literal["auto", "adaptive", "off"] | int
Effort = Literal["low", "medium", "high", "xhigh", "max"]


@attrs.frozen(kw_only=True)
class Facts:
    """Known facts about a model, and the choices for its requests; `None` leaves a fact to a more general source.

    media         accepted media types, as in `("image/*", "application/pdf")`; `None` lets the service refuse
    output        the way to ask for an output type: `schema`, `tool` or `prompt`
    price         US dollars for a million tokens
    max_tokens    tokens of an answer to allow when a request does not say; the model's default if not given
    thinking      for Claude: `auto` (the model's own choice), `adaptive`, `off`, or a budget in tokens
    effort        how thorough the model is; the model's default if not given
    sampling      the model accepts a temperature
    forced_tools  the model can be made to call a tool
    caches        the model has a cache for prompts
    caches_tools  the cache takes a mark behind the tools, too
    """

    media: tuple[str, ...] | None = None
    output: OutputMode | None = None
    price: Price | None = None
    max_tokens: int | None = None
    thinking: Thinking | None = None
    effort: Effort | None = None
    sampling: bool | None = None
    forced_tools: bool | None = None
    caches: bool | None = None
    caches_tools: bool | None = None

    def over(self, others: Facts) -> Facts:
        """Return these facts, with gaps filled from `others`."""
        named = {name: value for name in _NAMES if (value := getattr(self, name)) is not None}
        return attrs.evolve(Facts(**{name: getattr(others, name) for name in _NAMES}), **named)

    def model_profile(self) -> ModelProfile:
        """Return the facts that a run needs."""
        return ModelProfile(self.output or "prompt", self.media, self.price)


_NAMES = tuple(field.name for field in attrs.fields(Facts))

OTHER = Facts(output="prompt", thinking="auto", sampling=True, forced_tools=False, caches=False, caches_tools=False)
"""Facts of models that the table does not know."""

_OFFICE = "application/vnd.openxmlformats-officedocument"
_DOCUMENTS = ("application/pdf", f"{_OFFICE}.wordprocessingml.document", f"{_OFFICE}.spreadsheetml.sheet")
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_CLAUDE_3 = Facts(media=(*_IMAGES, *_DOCUMENTS), output="tool", forced_tools=True)
_CLAUDE = attrs.evolve(_CLAUDE_3, caches=True, caches_tools=True)
_STRICT = attrs.evolve(_CLAUDE, output="schema")
_NO_SAMPLING = attrs.evolve(_STRICT, sampling=False)
_FREE = attrs.evolve(_NO_SAMPLING, forced_tools=False)
_NOVA = Facts(media=(*_IMAGES, *_DOCUMENTS, "video/*"), output="tool", forced_tools=True, caches=True)

_FAMILIES: Mapping[str, Facts] = {
    "anthropic.claude-*": _CLAUDE,
    "anthropic.claude-v2*": Facts(media=(), output="prompt"),
    "anthropic.claude-instant*": Facts(media=(), output="prompt"),
    "anthropic.claude-3-haiku*": _CLAUDE_3,
    "anthropic.claude-3-sonnet*": _CLAUDE_3,
    "anthropic.claude-3-opus*": _CLAUDE_3,
    "anthropic.claude-3-5-sonnet*": _CLAUDE_3,
    "anthropic.claude-haiku-4-5*": _STRICT,
    "anthropic.claude-sonnet-4-5*": _STRICT,
    "anthropic.claude-sonnet-4-6*": _STRICT,
    "anthropic.claude-opus-4-5*": _STRICT,
    "anthropic.claude-opus-4-6*": _STRICT,
    "anthropic.claude-opus-4-7*": _NO_SAMPLING,
    "anthropic.claude-opus-4-8*": _NO_SAMPLING,
    "anthropic.claude-opus-5*": _NO_SAMPLING,
    "anthropic.claude-opus-5-5*": _FREE,
    "anthropic.claude-sonnet-5*": _NO_SAMPLING,
    "anthropic.claude-sonnet-5-5*": _FREE,
    "anthropic.claude-haiku-5*": _NO_SAMPLING,
    "anthropic.claude-fable-*": _FREE,
    "anthropic.claude-mythos-*": _FREE,
    "amazon.nova-*": _NOVA,
    "amazon.nova-micro-*": attrs.evolve(_NOVA, media=()),
}
"""Models by name; `*` stands for any ending."""

_PLACE = re.compile(r"(?:us|us-gov|eu|apac|jp|au|ca|sa|me|af|il|mx|global)\.(?=[a-z0-9-]+\.)")
"""The prefix of an inference profile: the places among which the service spreads the requests."""


def known(model: str, families: Mapping[str, Facts] = _FAMILIES) -> Facts:
    """Look up the model: by its full name, else by the longest matching prefix that is written with a `*`.

    A model is also known without the places of its inference profile, and from an ARN by the part behind the slash.
    """
    behind = model.rpartition("/")[2]
    names = (model, behind, _PLACE.sub("", behind, count=1))
    for name in names:
        if name in families:
            return families[name]
    beginnings = [each for each in families if each.endswith("*") and any(name.startswith(each[:-1]) for name in names)]
    return families[max(beginnings, key=len)] if beginnings else Facts()
