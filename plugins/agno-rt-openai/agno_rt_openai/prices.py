"""Dated prices and sizes of OpenAI's own models, in US dollars for a million tokens.

Each row has the day of the price. The prices are those of OpenAI's page `SOURCE` at the standard tier, as public
catalogues quoted the page on that day: pydantic/genai-prices (prices/providers/openai.yml, its `prices_checked`), and
from September 2026 on the announcements of LiteLLM (discussions 39633, 42523 and 52347) and of docs.laozhang.ai. Batch,
flex and fast tiers cost otherwise: set `price` in the settings. A model that is not here has an unknown price.

The sizes are those of OpenAI's pages of single models, "Context window" and "Max output tokens", as the same catalogues
quote the pages, and for the o-series RooCodeInc/Roo-Code (pull request 2691). They were read on `SIZES_AS_OF`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from agno_rt.models import Price

__all__ = ["PRICES", "SIZES_AS_OF", "SOURCE", "Sold", "find_sold"]

SOURCE = "https://developers.openai.com/api/docs/pricing"

SIZES_AS_OF = "2026-11-30"
"""The day on which the sizes were read; each price has a day of its own."""

_DAY = re.compile(r"-20\d\d-\d\d-\d\d$")
"""The end of a name that pins a model to the state of a day; the day does not change the price."""

_LONG = 272_000
"""Tokens of input beyond which some models cost twice the input and one and a half times the output."""


@attrs.frozen
class Sold:
    """A model's price, and the most tokens of a request and of an answer, if known."""

    price: Price
    context: int | None = None
    max_output: int | None = None


def _price(day: str, input_: float, cached: float | None, output: float, write: float | None = None) -> Price:
    return Price(input_, output, cached, write, day, SOURCE)


def _with_long(price: Price) -> Price:
    long = attrs.evolve(
        price,
        input=price.input * 2,
        output=price.output * 1.5,
        cached_input=None if price.cached_input is None else price.cached_input * 2,
        cache_write=None if price.cache_write is None else price.cache_write * 2,
    )
    return attrs.evolve(price, long_from=_LONG, long=long)


def _newest(day: str, input_: float, cached: float, output: float) -> Sold:
    # Since GPT-5.6, writing to the cache costs a quarter more than other input.
    return Sold(_with_long(_price(day, input_, cached, output, input_ * 1.25)), 1_050_000, 128_000)


def _gpt_5(day: str, input_: float, cached: float, output: float, context: int = 400_000) -> Sold:
    return Sold(_price(day, input_, cached, output), context, 128_000)


PRICES: Mapping[str, Sold] = {
    "gpt-6.2-astra": _newest("2026-11-18", 8, 0.4, 40),
    "gpt-6.2-sol": _newest("2026-11-18", 2, 0.1, 10),
    "gpt-6.1-sol": _newest("2026-10-13", 2, 0.1, 10),
    "gpt-6-astra": _newest("2026-09-07", 10, 1, 50),
    "gpt-6-sol": _newest("2026-09-23", 2, 0.2, 10),
    "gpt-6-luna": _newest("2026-09-23", 0.1, 0.01, 0.5),
    # Its list price; a lower price was promised until 2026-11-21.
    "gpt-5.6-sol": _newest("2026-08-02", 5, 0.5, 30),
    "gpt-5.6-terra": _newest("2026-08-02", 2, 0.2, 12),
    "gpt-5.6-luna": _newest("2026-08-02", 0.2, 0.02, 1.2),
    "gpt-5.5": _gpt_5("2026-04-24", 5, 0.5, 30, 1_000_000),
    "gpt-5.4": Sold(_with_long(_price("2026-03-06", 2.5, 0.25, 15)), 1_050_000, 128_000),
    "gpt-5.4-mini": _gpt_5("2026-03-18", 0.75, 0.075, 4.5),
    "gpt-5.4-nano": _gpt_5("2026-03-18", 0.2, 0.02, 1.25),
    "gpt-5.3-codex": _gpt_5("2026-02-05", 1.75, 0.175, 14),
    "gpt-5.2": _gpt_5("2025-12-11", 1.75, 0.175, 14),
    "gpt-5.1": _gpt_5("2025-11-13", 1.25, 0.125, 10),
    "gpt-5": _gpt_5("2025-11-13", 1.25, 0.125, 10),
    "gpt-5-mini": _gpt_5("2025-11-13", 0.25, 0.025, 2),
    "gpt-5-nano": _gpt_5("2025-11-13", 0.05, 0.005, 0.4),
    "gpt-4.1": Sold(_price("2025-07-04", 2, 0.5, 8), 1_000_000),
    "gpt-4.1-mini": Sold(_price("2025-07-04", 0.4, 0.1, 1.6), 1_000_000),
    "gpt-4.1-nano": Sold(_price("2025-07-04", 0.1, 0.025, 0.4), 1_000_000),
    "gpt-4o": Sold(_price("2025-07-04", 2.5, 1.25, 10), 128_000),
    "gpt-4o-mini": Sold(_price("2025-07-04", 0.15, 0.075, 0.6), 128_000),
    "gpt-4-turbo": Sold(_price("2025-07-04", 10, None, 30), 128_000),
    "gpt-3.5-turbo": Sold(_price("2025-07-04", 0.5, None, 1.5), 16_385),
    "o3": Sold(_price("2025-07-12", 2, 0.5, 8), 200_000, 100_000),
    "o3-mini": Sold(_price("2025-07-04", 1.1, 0.55, 4.4), 200_000, 100_000),
    "o4-mini": Sold(_price("2025-07-04", 1.1, 0.275, 4.4), 200_000, 100_000),
}
"""Models by their full names: a new model of a family may cost something else than its relatives."""


def find_sold(model: str) -> Sold | None:
    """Return what is known of the model's price and sizes; a day at the end of the name does not count."""
    return PRICES.get(_DAY.sub("", model))
