"""Facts about Cohere's models: sizes, prices, and the choices for requests. Each price has its own day.

References: Cohere's API reference, "Chat", its pages "Reasoning", "Safety modes", "Citations" and "Models". The prices
are those of the page `PRICES`, as pydantic/genai-prices (prices/providers/cohere.yml, `prices_checked`) and
docs.flexprice.io ("Cohere pricing", a copy of the page of 2026-11-11) quote the page.

The sizes were read on `SIZES_AS_OF`: on Cohere's pages of the models ("Command A Reasoning" and others), and for
Command A Vision in Oracle's documentation of the same model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from agno_rt.errors import UsageError
from agno_rt.http_client.facts import ModelFacts
from agno_rt.models import Price

__all__ = ["PRICES", "SIZES_AS_OF", "Facts", "known"]

PRICES = "https://cohere.com/pricing"
"""The page of the prices."""

SIZES_AS_OF = "2026-11-30"
"""The day on which the sizes were read; each price has a day of its own."""


@attrs.frozen(kw_only=True)
class Facts(ModelFacts):
    """Known facts about a model, and the choices for its requests; `None` leaves a fact to a more general source.
    Beside those of `ModelFacts`:

    thinking      true or false, or a budget in tokens; the model's default if not given
    citations     `off`, `fast` or `accurate`: whether the service finds sources for its words; its default if not given
    safety_mode   `contextual`, `strict` or `off`; the service's default if not given
    strict_tools  hold calls to the tools' schemas
    """

    thinking: bool | int | None = None
    citations: Literal["off", "fast", "accurate"] | None = None
    safety_mode: Literal["contextual", "strict", "off"] | None = None
    strict_tools: bool | None = None

    def __attrs_post_init__(self) -> None:
        if type(self.thinking) is int and self.thinking < 1:
            raise UsageError(f"thinking is {self.thinking}", hint="Give true, false, or a budget of at least 1 token.")


def _sold(day: str, input_: float, output: float, context: int) -> Facts:
    return Facts(price=Price(input_, output, as_of=day, source=PRICES), context=context)


_MODELS: Mapping[str, Facts] = {
    # Free within its rate limits, and otherwise sold by the machine: a price for tokens is unknown.
    "command-a-reasoning-08-2025": Facts(context=256_000, max_output=32_000),
    "command-a-vision-07-2025": Facts(context=128_000),
    "command-a-03-2025": _sold("2025-07-04", 2.5, 10, 256_000),
    "command-r-08-2024": _sold("2026-11-11", 0.15, 0.6, 128_000),
    "command-r-plus-08-2024": _sold("2025-07-04", 2.5, 10, 128_000),
    "command-r7b-12-2024": _sold("2025-07-04", 0.0375, 0.15, 128_000),
}


def known(model: str) -> Facts:
    """Return what is known of one of Cohere's own models, by its full name."""
    return _MODELS.get(model) or Facts()
