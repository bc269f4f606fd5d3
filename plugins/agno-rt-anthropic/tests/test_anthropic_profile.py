"""Servers, keys and facts of the plugin: settings, names of models, prices."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from agno_rt_anthropic import AnthropicModel, Server
from agno_rt_anthropic.facts import AS_OF, known
from agno_rt_anthropic.profile import choose
from agno_rt_anthropic.suggest import suggest

from agno_rt.errors import ConfigError, UsageError
from agno_rt.messages import Usage
from agno_rt.models import Price

KEY = "sk-ant-0123456789abcdef"


class TestSettings:
    """The table `[plugins.anthropic]`."""

    def test_a_model_of_anthropic(self) -> None:
        """A bare name is a model of Anthropic."""
        model, name, server = choose("claude-sonnet-5-5", {"cache": "1h", "effort": "low"})
        assert (model, name, server.base_url) == ("claude-sonnet-5-5", "", "https://api.anthropic.com")
        assert (server.cache, server.facts(model).effort) == ("1h", "low")

    def test_a_model_of_another_server(self) -> None:
        """A name from the settings is a server; other colons belong to the model."""
        tables = {"servers": {"local": {"base_url": "http://127.0.0.1:8080", "thinking": 2_000}}}
        model, name, server = choose("local:qwen3:8b", tables)
        assert (model, name, server.base_url) == ("qwen3:8b", "local", "http://127.0.0.1:8080")
        assert server.facts(model).thinking == 2_000
        assert choose("qwen3:8b", {})[0] == "qwen3:8b"

    def test_tables_of_models(self) -> None:
        """A table for a model wins over the server's settings and the known facts."""
        tables = {"effort": "low", "models": {"claude-opus-*": {"effort": "high", "forced_tools": True}}}
        _, _, server = choose("claude-opus-5-5", tables)
        assert (server.facts("claude-opus-5-5").effort, server.facts("claude-opus-5-5").forced_tools) == ("high", True)
        assert (server.facts("claude-haiku-5-5").effort, server.facts("other").effort) == ("low", "low")

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"cache": "2h"}, "cache"),
            ({"thinking": "much"}, "thinking"),
            ({"effort": "none"}, "effort"),
            ({"version": ""}, "version is ''"),
            ({"betas": ["a,b"]}, "a name in betas is 'a,b'"),
            ({"nonsense": 1}, "nonsense"),
            ({"servers": {"local": {}}}, "base_url is missing"),
            ({"servers": {"": {"base_url": "http://h"}}}, "may not be empty"),
            ({"models": {"m": 7}}, "'m' is not a table"),
        ],
    )
    def test_unusable_settings(self, settings: dict[str, Any], words: str) -> None:
        """An unusable value is named, with its place and a remedy."""
        with pytest.raises(UsageError, match=words):
            choose("m", settings)

    def test_no_model(self) -> None:
        """A spec without a model names the form of a spec."""
        with pytest.raises(UsageError, match="names no model"):
            choose("", {})


class TestKeys:
    """API keys."""

    def test_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Anthropic's servers want a key; other servers get one only if the settings name one."""
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        assert Server().key().text == KEY
        assert Server(base_url="http://127.0.0.1:8080").key().text == ""
        assert Server(base_url="https://api.anthropic.com.example.org").key().text == ""
        monkeypatch.delenv("ANTHROPIC_API_KEY")
        with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY is not set"):
            Server().key()

    def test_never_shown(self) -> None:
        """No repr holds the key."""
        model = AnthropicModel("m", api_key=KEY)
        assert KEY not in repr(model) + repr(model.server) + repr(model.server.key())


class TestFacts:
    """The table of models."""

    @pytest.mark.parametrize(
        ("model", "price"),
        [
            ("claude-fable-5-2", (8, 40, 0.2)),
            ("claude-fable-5-1", (10, 50, 0.25)),
            ("claude-fable-5", (10, 50, 1)),
            ("claude-opus-5-5", (4, 20, 0.2)),
            ("claude-opus-5", (5, 25, 0.5)),
            ("claude-opus-4-5-20251101", (5, 25, 0.5)),
            ("claude-sonnet-5-5", (2, 10, 0.1)),
            ("claude-sonnet-5", (2, 10, 0.2)),
            ("claude-sonnet-4-5-20250929", (3, 15, 0.3)),
            ("claude-haiku-5-5", (0.1, 0.5, 0.01)),
            ("claude-haiku-4-5", (1, 5, 0.1)),
        ],
    )
    def test_prices(self, model: str, price: tuple[float, float, float]) -> None:
        """Each family has its dated price; the longest name counts."""
        found = known(model).price
        assert found is not None
        assert (found.input, found.output, found.cached_input, found.cache_write) == (*price, price[0] * 1.25)
        assert found.as_of == AS_OF

    def test_unknown_prices_are_unknown(self) -> None:
        """A model outside the table has no price, and other services have their own prices."""
        assert Server().facts("claude-next-9").price is None
        assert Server(base_url="http://127.0.0.1:8080").facts("claude-opus-5-5").price is None
        own = Price(1.0, 2.0)
        assert Server(base_url="http://127.0.0.1:8080", price=own).facts("claude-opus-5-5").price == own

    def test_an_hour_in_the_cache_costs_more(self) -> None:
        """Writing to the cache for an hour costs twice the input, for five minutes a quarter more."""
        usage = Usage(1_000_000, cache_write_tokens=1_000_000)
        for server, cost in ((Server(cache="5m"), 2.5), (Server(cache="1h"), 4.0)):
            price = AnthropicModel("claude-sonnet-5-5", server).profile.price
            assert price is not None
            assert price.of(usage) == pytest.approx(cost)

    def test_media_and_context(self) -> None:
        """The profile of a run has the media; the facts have the context and the longest answer."""
        model = AnthropicModel("claude-opus-5-5")
        assert model.profile.media is not None
        assert "application/pdf" in model.profile.media
        assert (model.facts.context, model.facts.max_output) == (1_000_000, 128_000)
        assert AnthropicModel("qwen3", base_url="http://127.0.0.1:8080").profile.media is None


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("claude-opus-5-5", "Write anthropic:claude-opus-5-5."),
        ("claude:claude-opus-5-5", "Write anthropic:claude-opus-5-5."),
        ("openrouter:claude-x", ""),
        ("gpt-5", ""),
        ("", ""),
    ],
)
def test_suggestions(spec: str, hint: str) -> None:
    """A Claude model without its plugin gets the right spec; other specs belong to other plugins."""
    assert suggest(spec) == hint


def test_the_plugin_imports_nothing_slow() -> None:
    """Neither the plugin nor a model imports the HTTP library."""
    program = (
        "import sys, agno_rt_anthropic\n"
        "agno_rt_anthropic.agno_rt_register_models(lambda *args, **named: None)\n"
        "assert 'agno_rt_anthropic.client' not in sys.modules\n"
        "agno_rt_anthropic.AnthropicModel('m')\n"
        "assert 'httpx2' not in sys.modules, 'httpx2'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
