"""Facts about models: context, prices, media, thinking, and the parts of the format that a model accepts.

Read on `AS_OF`, from the documentation of the Gemini API and of Vertex AI ("Models", "Thinking", "Thought signatures",
"Pricing"). Prices of the newest models are as other services quoted them. Settings override each fact, because facts
change without notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from agno_rt.http_client.facts import ModelFacts
from agno_rt.http_client.tables import find_by_name
from agno_rt.models import Price

__all__ = ["AS_OF", "ELSEWHERE", "LEVELS", "OTHER", "PRICES", "Facts", "Thinking", "known"]

AS_OF = "2026-11-30"
"""The day on which the facts were read."""

PRICES = "https://ai.google.dev/gemini-api/docs/pricing"
"""The page of the prices."""

_LONG = 200_000
"""Tokens of input beyond which a request to a large model costs more."""

LEVELS = ("minimal", "low", "medium", "high", "xhigh")
Thinking = Literal["auto", "off", "minimal", "low", "medium", "high", "xhigh"] | int


@attrs.frozen(kw_only=True)
class Facts(ModelFacts):
    """Known facts about a model, and the choices for its requests; `None` leaves a fact to a more general source.
    Beside those of `ModelFacts`:

    max_tokens    tokens of an answer to allow when a request does not say; the model's own limit if not given
    thinking      `auto` (the model's own choice), `off`, a level as in `low`, or a budget in tokens
    show_thinking ask a thinking model for summaries of its thoughts
    thinks        the accepted values of `thinking`, with `budget` for any number of tokens; empty for a model that does
                  not think, and `None` for unknown
    signed_calls  the model refuses its own earlier calls without their signatures
    schema_with_tools  the model accepts tools and a JSON Schema for the answer in one request
    result_media  results of tools may hold images and PDF; otherwise they follow the results
    """

    max_tokens: int | None = None
    thinking: Thinking | None = None
    show_thinking: bool | None = None
    thinks: tuple[str, ...] | None = None
    signed_calls: bool | None = None
    schema_with_tools: bool | None = None
    result_media: bool | None = None


OTHER = Facts(output="schema", thinking="auto", show_thinking=True, schema_with_tools=True, result_media=False)
"""Facts of models that the table does not know."""

ELSEWHERE = attrs.evolve(OTHER, output="prompt")
"""The same for other servers with the format: a proxy may stand before any model."""


def _price(input_: float, output: float, cached: float) -> Price:
    # Implicit caching writes for free; the rent of explicit caches is not counted in tokens.
    return Price(input_, output, cached, None, AS_OF, PRICES)


def _with_long(price: Price, long: Price) -> Price:
    return attrs.evolve(price, long_from=_LONG, long=long)


_MEDIA = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif", "audio/*", "video/*", "application/pdf")
_ANY = Facts(media=_MEDIA, output="schema", context=1_048_576, max_output=65_536)
_THIRD = attrs.evolve(_ANY, thinks=LEVELS[:4], signed_calls=True, schema_with_tools=True, result_media=True)
_NO_MINIMAL = attrs.evolve(_THIRD, thinks=LEVELS[1:4])
_SECOND = attrs.evolve(_ANY, thinks=("budget", "off"), signed_calls=False, schema_with_tools=False, result_media=False)

_FAMILIES: Mapping[str, Facts] = {
    # Models of the third generation that this table does not name yet.
    "gemini-*": attrs.evolve(_THIRD, thinks=None),
    "gemini-3.8-flash": attrs.evolve(_NO_MINIMAL, price=_price(0.75, 3.75, 0.075)),
    "gemini-3.7-flash": attrs.evolve(_NO_MINIMAL, price=_price(0.75, 3.75, 0.075)),
    "gemini-3.5-flash": attrs.evolve(_THIRD, price=_price(1.5, 9, 0.15)),
    "gemini-3.1-pro-preview*": attrs.evolve(_NO_MINIMAL, price=_with_long(_price(2, 12, 0.2), _price(4, 18, 0.4))),
    "gemini-3.1-flash-lite": attrs.evolve(_THIRD, price=_price(0.25, 1.5, 0.025)),
    "gemini-3-flash-preview": attrs.evolve(_THIRD, price=_price(0.5, 3, 0.05)),
    "gemini-2.5-pro*": attrs.evolve(
        _SECOND, thinks=("budget",), price=_with_long(_price(1.25, 10, 0.125), _price(2.5, 15, 0.25))
    ),
    "gemini-2.5-flash*": attrs.evolve(_SECOND, price=_price(0.3, 2.5, 0.03)),
    "gemini-2.5-flash-lite*": attrs.evolve(_SECOND, price=_price(0.1, 0.4, 0.01)),
    "gemini-2.0-*": attrs.evolve(_SECOND, thinks=()),
    "gemma-*": Facts(media=(), output="prompt", thinks=(), signed_calls=False),
}
"""Models by name; `*` stands for any ending."""


def known(model: str, families: Mapping[str, Facts] = _FAMILIES) -> Facts:
    """Look up the model: by its full name, else by the longest matching prefix that is written with a `*`."""
    return find_by_name(families, model) or Facts()
