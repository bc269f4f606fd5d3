"""Facts about models of Bedrock: context, media, tools, caching, accepted parameters. Read on `AS_OF`.

References: Amazon Bedrock's API reference, "ToolChoice", "DocumentBlock", "ImageBlock" and "VideoBlock", and its user
guide, "Prompt caching", "Supported models and model features" and "Get validated JSON results from models"; Anthropic's
documentation, "Thinking" and "Define tools". Settings override each fact, because facts change without notice.

The contexts are those of Anthropic's documentation, "Models overview" and "Context windows", and of Amazon's model
cards of Nova. The most tokens of an answer are unknown: Amazon's own pages name different numbers for the same model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import attrs

from agno_rt.http_client.facts import ModelFacts
from agno_rt.http_client.tables import find_by_name
from agno_rt.models import Price

__all__ = ["AS_OF", "OTHER", "PRICES", "Effort", "Facts", "Thinking", "find_price", "known"]

AS_OF = "2026-11-30"
"""The day on which the facts were read; each price has a day of its own."""

PRICES = "https://aws.amazon.com/bedrock/pricing/"
"""The page of the prices."""

Thinking = Literal["auto", "adaptive", "off"] | int
Effort = Literal["low", "medium", "high", "xhigh", "max"]


@attrs.frozen(kw_only=True)
class Facts(ModelFacts):
    """Known facts about a model, and the choices for its requests; `None` leaves a fact to a more general source.
    Beside those of `ModelFacts`:

    max_tokens    tokens of an answer to allow when a request does not say; the model's default if not given
    thinking      for Claude: `auto` (the model's own choice), `adaptive`, `off`, or a budget in tokens
    effort        how thorough the model is; the model's default if not given
    sampling      the model accepts a temperature
    forced_tools  the model can be made to call a tool
    caches        the model has a cache for prompts
    caches_tools  the cache takes a mark behind the tools, too
    """

    max_tokens: int | None = None
    thinking: Thinking | None = None
    effort: Effort | None = None
    sampling: bool | None = None
    forced_tools: bool | None = None
    caches: bool | None = None
    caches_tools: bool | None = None


OTHER = Facts(output="prompt", thinking="auto", sampling=True, forced_tools=False, caches=False, caches_tools=False)
"""Facts of models that the table does not know."""

_OFFICE = "application/vnd.openxmlformats-officedocument"
_DOCUMENTS = ("application/pdf", f"{_OFFICE}.wordprocessingml.document", f"{_OFFICE}.spreadsheetml.sheet")
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_SHORT, _LONG = 200_000, 1_000_000
_CLAUDE_3 = Facts(media=(*_IMAGES, *_DOCUMENTS), output="tool", forced_tools=True, context=_SHORT)
_CLAUDE_4 = attrs.evolve(_CLAUDE_3, caches=True, caches_tools=True)
_CLAUDE = attrs.evolve(_CLAUDE_4, context=None)
_STRICT = attrs.evolve(_CLAUDE_4, output="schema")
_STRICT_LONG = attrs.evolve(_STRICT, context=_LONG)
_NO_SAMPLING = attrs.evolve(_STRICT_LONG, sampling=False)
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
    "anthropic.claude-3-7-sonnet*": _CLAUDE_4,
    "anthropic.claude-sonnet-4-2025*": _CLAUDE_4,
    "anthropic.claude-opus-4-2025*": _CLAUDE_4,
    "anthropic.claude-opus-4-1-*": _CLAUDE_4,
    "anthropic.claude-haiku-4-5*": _STRICT,
    "anthropic.claude-sonnet-4-5*": _STRICT,
    "anthropic.claude-sonnet-4-6*": _STRICT_LONG,
    "anthropic.claude-opus-4-5*": _STRICT,
    "anthropic.claude-opus-4-6*": _STRICT_LONG,
    "anthropic.claude-opus-4-7*": _NO_SAMPLING,
    "anthropic.claude-opus-4-8*": _NO_SAMPLING,
    "anthropic.claude-opus-5*": _NO_SAMPLING,
    "anthropic.claude-opus-5-5*": _FREE,
    "anthropic.claude-sonnet-5*": _NO_SAMPLING,
    "anthropic.claude-sonnet-5-5*": _FREE,
    "anthropic.claude-haiku-5*": attrs.evolve(_NO_SAMPLING, context=None),
    "anthropic.claude-haiku-5-5*": _NO_SAMPLING,
    "anthropic.claude-fable-*": _FREE,
    "anthropic.claude-mythos-*": _FREE,
    "amazon.nova-*": _NOVA,
    "amazon.nova-micro-*": attrs.evolve(_NOVA, media=(), context=128_000),
    "amazon.nova-lite-*": attrs.evolve(_NOVA, context=300_000),
    "amazon.nova-pro-*": attrs.evolve(_NOVA, context=300_000),
    "amazon.nova-premier-*": attrs.evolve(_NOVA, context=1_000_000),
    "amazon.nova-2-lite-*": attrs.evolve(_NOVA, context=1_000_000),
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
    return next((found for name in names if (found := find_by_name(families, name)) is not None), Facts())


def find_price(model: str) -> Price | None:
    """Return the price of a model in the inference profile for all regions; other prices differ by region."""
    return find_by_name(_GLOBAL, model.rpartition("/")[2])


def _price(day: str, input_: float, cached: float, output: float, write: float | None = None) -> Price:
    return Price(input_, output, cached, write, day, PRICES)


_GLOBAL: Mapping[str, Price] = {
    "global.amazon.nova-2-lite-*": _price("2026-06-11", 0.3, 0.075, 2.5),
    "global.anthropic.claude-fable-5-v*": _price("2026-06-09", 10, 1, 50, 12.5),
    "global.anthropic.claude-opus-4-5-*": _price("2026-02-23", 5, 0.5, 25, 6.25),
    "global.anthropic.claude-opus-4-6-*": _price("2026-06-26", 5, 0.5, 25, 6.25),
    "global.anthropic.claude-opus-4-7-*": _price("2026-04-16", 5, 0.5, 25, 6.25),
    "global.anthropic.claude-opus-4-8-*": _price("2026-05-28", 5, 0.5, 25, 6.25),
    "global.anthropic.claude-opus-5": _price("2026-07-25", 5, 0.5, 25, 6.25),
    "global.anthropic.claude-sonnet-4-6-*": _price("2026-06-26", 3, 0.3, 15, 3.75),
}
"""Prices of the page `PRICES`, as pydantic/genai-prices (prices/providers/aws.yml, `prices_checked`) quotes it."""
