"""Facts about models: context, prices, media, thinking, and the parameters that a model accepts. Read on `AS_OF`.

References: Anthropic's documentation, "Models overview", "Pricing", "Thinking" (its table of supported models),
"Effort", "Structured outputs", "Define tools" and "Preserved thinking". Settings override each fact, because facts
change without notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from agno_rt.http_client.facts import ModelFacts
from agno_rt.http_client.tables import find_by_name
from agno_rt.models import Price

__all__ = ["AS_OF", "ELSEWHERE", "OTHER", "PRICES", "Effort", "Facts", "Thinking", "known"]

AS_OF = "2026-11-30"
"""The day on which the facts were read."""

PRICES = "https://platform.claude.com/docs/en/about-claude/pricing"
"""The page of the prices."""

_LONG = 100_000
"""Tokens of input beyond which a request to a small model of the fifth generation costs more."""

Thinking = Literal["auto", "adaptive", "off"] | int
Effort = Literal["low", "medium", "high", "xhigh", "max"]


@attrs.frozen(kw_only=True)
class Facts(ModelFacts):
    """Known facts about a model, and the choices for its requests; `None` leaves a fact to a more general source.
    Beside those of `ModelFacts`:

    max_tokens    tokens of an answer to allow when a request does not say
    thinking      `auto` (the model's own choice), `adaptive`, `off`, or a budget in tokens
    effort        how thorough the model is; the model's default if not given
    show_thinking ask for summaries of the thinking where the model would leave the thinking empty
    thinks        values of `thinking.type` that the model accepts; `None` for unknown
    thinks_unasked     the model thinks unless it is told otherwise
    sampling      the model accepts a temperature
    forced_tools  the model can be made to call a tool
    checks_history     the model refuses its own thinking after a change of anything before that thinking
    """

    max_tokens: int | None = None
    thinking: Thinking | None = None
    effort: Effort | None = None
    show_thinking: bool | None = None
    thinks: tuple[str, ...] | None = None
    thinks_unasked: bool | None = None
    sampling: bool | None = None
    forced_tools: bool | None = None
    checks_history: bool | None = None


OTHER = Facts(output="schema", max_tokens=16_000, thinking="auto", show_thinking=True, sampling=True, forced_tools=True)
"""Facts of models that the table does not know."""

ELSEWHERE = attrs.evolve(OTHER, output="prompt")
"""The same for other services: many accept a schema, and do not keep to it."""


def _price(input_: float, output: float, cached: float) -> Price:
    # Writing to the cache for five minutes costs a quarter more than input that is not cached.
    return Price(input_, output, cached, input_ * 1.25, AS_OF, PRICES)


_MEDIA = ("image/png", "image/jpeg", "image/webp", "image/gif", "application/pdf")
_LARGE = Facts(media=_MEDIA, output="schema", context=1_000_000, max_output=128_000)
_SMALL = Facts(media=_MEDIA, output="schema", context=200_000, max_output=64_000, sampling=True)

_UNASKED = attrs.evolve(_LARGE, thinks=("adaptive", "disabled"), thinks_unasked=True, sampling=False)
_ALWAYS = attrs.evolve(_UNASKED, thinks=("adaptive",))
_BOUND = attrs.evolve(_ALWAYS, forced_tools=False, checks_history=True)
_ASKED = attrs.evolve(_UNASKED, thinks_unasked=False)
_EITHER = attrs.evolve(_LARGE, thinks=("adaptive", "enabled", "disabled"), sampling=True)
_BUDGET = attrs.evolve(_SMALL, thinks=("enabled", "disabled"))

_FABLE_52 = attrs.evolve(_BOUND, price=_price(8, 40, 0.2))
_FABLE_51 = attrs.evolve(_BOUND, price=_price(10, 50, 0.25))
_FABLE_5 = attrs.evolve(_ALWAYS, price=_price(10, 50, 1))
_OPUS = _price(5, 25, 0.5)
_SONNET = _price(3, 15, 0.3)

_FAMILIES: Mapping[str, Facts] = {
    "claude-fable-5-2*": _FABLE_52,
    "claude-mythos-5-2*": _FABLE_52,
    "claude-fable-5-1*": _FABLE_51,
    "claude-mythos-5-1*": _FABLE_51,
    "claude-fable-5*": _FABLE_5,
    "claude-mythos-5*": _FABLE_5,
    "claude-mythos-preview*": attrs.evolve(_ALWAYS, thinks=("adaptive", "enabled"), forced_tools=False),
    "claude-opus-5-5*": attrs.evolve(_BOUND, price=_price(4, 20, 0.2)),
    "claude-opus-5*": attrs.evolve(_UNASKED, price=_OPUS),
    "claude-opus-4-8*": attrs.evolve(_ASKED, price=_OPUS),
    "claude-opus-4-7*": attrs.evolve(_ASKED, price=_OPUS),
    "claude-opus-4-6*": attrs.evolve(_EITHER, price=_OPUS),
    "claude-opus-4-5*": attrs.evolve(_BUDGET, price=_OPUS),
    "claude-sonnet-5-5*": attrs.evolve(_BOUND, thinks=("adaptive", "between_tools"), price=_price(2, 10, 0.1)),
    "claude-sonnet-5*": attrs.evolve(_UNASKED, price=_price(2, 10, 0.2)),
    "claude-sonnet-4-6*": attrs.evolve(_EITHER, price=_SONNET),
    "claude-sonnet-4-5*": attrs.evolve(_BUDGET, price=_SONNET),
    "claude-haiku-5-5*": attrs.evolve(
        _UNASKED,
        checks_history=True,
        price=attrs.evolve(_price(0.1, 0.5, 0.01), long_from=_LONG, long=_price(0.5, 2.5, 0.05)),
    ),
    "claude-haiku-4-5*": attrs.evolve(_BUDGET, price=_price(1, 5, 0.1)),
}
"""Models by name; `*` stands for any ending."""


def known(model: str, families: Mapping[str, Facts] = _FAMILIES) -> Facts:
    """Look up the model: by its full name, else by the longest matching prefix that is written with a `*`."""
    return find_by_name(families, model) or Facts()
