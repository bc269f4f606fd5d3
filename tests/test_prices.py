"""Prices: the arithmetic, the day and the page of each built-in price, and what a user changes in agno-rt.toml."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import attrs
import pytest

from agno_rt import Runtime
from agno_rt.messages import Usage
from agno_rt.models import FREE, Price, profile_of

TABLES = {
    "agno_rt_anthropic.facts": 15,
    "agno_rt_bedrock.facts": 5,
    "agno_rt_cohere.facts": 3,
    "agno_rt_google.facts": 8,
    "agno_rt_ollama.profile": 0,
    "agno_rt_openai.prices": 25,
}
"""The modules with facts about models, and the least number of prices in each."""


def find_prices(value: Any) -> Iterator[tuple[str, Price]]:
    """Yield each price in a table of models, with the model's name."""
    for name, row in value.items() if isinstance(value, Mapping) else ():
        prices = [row] if isinstance(row, Price) else [getattr(row, "price", None)]
        yield from ((name, price) for price in prices if isinstance(price, Price))


@pytest.mark.parametrize(("module", "least"), TABLES.items())
def test_each_price_has_a_day_and_a_page(module: str, least: int) -> None:
    """A price without a day or a page cannot be checked; prices for caches and long prompts are plausible."""
    found = [pair for value in vars(importlib.import_module(module)).values() for pair in find_prices(value)]
    assert len(found) >= least
    for name, price in found:
        for each in filter(None, (price, price.long)):
            assert date(2025, 1, 1) <= date.fromisoformat(each.as_of) <= date(2026, 11, 30), name
            assert re.fullmatch(r"https://[\w.-]+/\S+", each.source), name
            assert 0 < each.input <= each.output, name
            assert each.cached_input is None or 0 < each.cached_input <= each.input, name
            assert each.cache_write is None or each.input <= each.cache_write <= each.input * 2, name
        if price.long is not None:
            assert price.long_from > 0, name
            assert price.long.input > price.input, name


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(1_000_000, 1_000_000), 12.0),
        (Usage(1_000_000, cached_tokens=500_000), 1.05),
        (Usage(1_000_000, cache_write_tokens=500_000), 2.25),
        (Usage(1_000_001), 4.000004),
        (Usage(), 0.0),
    ],
)
def test_the_cost_of_a_request(usage: Usage, cost: float) -> None:
    """Cached input, input written to the cache and long prompts have prices of their own."""
    price = Price(2.0, 10.0, 0.1, 2.5, long_from=1_000_000, long=Price(4.0, 20.0))
    assert price.of(usage) == pytest.approx(cost)


@pytest.mark.parametrize(
    ("spec", "known"),
    [
        ("openai:gpt-5", Price(1.25, 10, 0.125)),
        ("openai:gpt-5-2025-08-07", Price(1.25, 10, 0.125)),
        ("openai:responses:gpt-5.5", Price(5, 30, 0.5)),
        ("openai:gpt-5-unheard-of", None),
        ("openai:ft:gpt-4o-2024-08-06:me::x", None),
        ("openai:vllm:gpt-5", None),
        ("anthropic:claude-next", None),
        ("cohere:command-r7b-12-2024", Price(0.0375, 0.15)),
        ("cohere:command-next", None),
        ("bedrock:global.anthropic.claude-opus-4-8-v1:0", Price(5, 25, 0.5, 6.25)),
        ("bedrock:eu.anthropic.claude-opus-4-8-v1:0", None),
        ("google:vertex:gemini-2.5-pro", None),
        ("ollama:llama3.2", FREE),
        ("llamacpp:smollm2", FREE),
    ],
)
async def test_known_and_unknown_prices(spec: str, known: Price | None) -> None:
    """A price counts for the provider's own service and the exact model; anything else is unknown, and not guessed."""
    async with Runtime(settings={"bedrock": {"region": "eu-central-1"}, "google": {"project": "p"}}) as runtime:
        price = profile_of(runtime.model(spec)).price
    assert known == (None if price is None else attrs.evolve(price, as_of="", source="", long_from=0, long=None))


async def test_a_user_changes_a_price() -> None:
    """A table of one model overrides the built-in price; other facts and other models keep theirs."""
    mine = {"input": 0.5, "output": 1.0, "as_of": "2026-12-24", "long_from": 10, "long": {"input": 5, "output": 6}}
    async with Runtime(settings={"openai": {"models": {"gpt-5": {"price": mine}}}}) as runtime:
        changed, other = profile_of(runtime.model("openai:gpt-5")), profile_of(runtime.model("openai:gpt-5-mini"))
    assert changed.price == Price(0.5, 1.0, as_of="2026-12-24", long_from=10, long=Price(5, 6))
    assert (changed.context, changed.max_output) == (400_000, 128_000)
    assert other.price is not None
    assert other.price.input == 0.25


@pytest.mark.parametrize(
    ("spec", "context", "most"),
    [
        ("openai:o3", 200_000, 100_000),
        ("openai:gpt-5.6-sol", 1_050_000, 128_000),
        ("openai:some-new-model", None, None),
        ("cohere:command-a-reasoning-08-2025", 256_000, 32_000),
        ("cohere:command-r7b-12-2024", 128_000, None),
        ("cohere:command-new", None, None),
        ("bedrock:us.anthropic.claude-3-7-sonnet-20250219-v1:0", 200_000, None),
        ("bedrock:global.anthropic.claude-haiku-4-5-20251001-v1:0", 200_000, None),
        ("bedrock:global.anthropic.claude-opus-4-8-v1:0", 1_000_000, None),
        ("bedrock:anthropic.claude-new-9", None, None),
        ("bedrock:amazon.nova-micro-v1:0", 128_000, None),
        ("bedrock:eu.amazon.nova-2-lite-v1:0", 1_000_000, None),
        ("bedrock:meta.llama3-3-70b-instruct-v1:0", None, None),
    ],
)
async def test_sizes_of_models(spec: str, context: int | None, most: int | None) -> None:
    """A model's context tells when to compact a conversation; an unknown one stays unknown."""
    async with Runtime(settings={"bedrock": {"region": "eu-central-1"}}) as runtime:
        profile = profile_of(runtime.model(spec))
    assert (profile.context, profile.max_output) == (context, most)


@pytest.mark.parametrize("plugin", ["openai.prices", "cohere.facts"])
def test_sizes_have_a_day(plugin: str) -> None:
    """The day tells how old the sizes are; the prices have days of their own."""
    day = importlib.import_module(f"agno_rt_{plugin}").SIZES_AS_OF
    assert date(2026, 1, 1) <= date.fromisoformat(day) <= date.today()


async def test_a_user_changes_the_size_of_a_model() -> None:
    """A table of one model overrides the built-in context."""
    settings = {"bedrock": {"region": "eu-central-1", "models": {"amazon.nova-*": {"context": 50_000}}}}
    async with Runtime(settings=settings) as runtime:
        assert profile_of(runtime.model("bedrock:amazon.nova-pro-v1:0")).context == 50_000
