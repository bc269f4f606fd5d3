"""Servers, addresses and facts of the plugin."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from agno_rt_ollama import OllamaModel, Server
from agno_rt_ollama.profile import choose, find_address

from agno_rt.errors import ConfigError, UsageError
from agno_rt.models import FREE


class TestAddress:
    """OLLAMA_HOST, in the forms that Ollama itself reads."""

    @pytest.mark.parametrize(
        ("text", "url"),
        [
            ("", "http://127.0.0.1:11434"),
            ("host", "http://host:11434"),
            ("host:80", "http://host:80"),
            (":1234", "http://127.0.0.1:1234"),
            ("0.0.0.0", "http://127.0.0.1:11434"),
            ("[::]:5", "http://[::1]:5"),
            ("[fe80::1]", "http://[fe80::1]:11434"),
            ("http://host", "http://host:80"),
            ("https://host/", "https://host:443"),
            ("https://host:8443/api/", "https://host:8443/api"),
            (' "host" ', "http://host:11434"),
        ],
    )
    def test_forms(self, text: str, url: str) -> None:
        """Each form is an address to connect to."""
        assert find_address(text) == url

    def test_the_environment_names_the_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """OLLAMA_HOST counts unless the settings have an address."""
        monkeypatch.setenv("OLLAMA_HOST", "garage:5")
        assert choose("m", {})[2].base_url == "http://garage:5"
        assert choose("m", {"base_url": "http://other:6"})[2].base_url == "http://other:6"

    def test_an_unusable_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error for an address that nobody can reach says what is wrong."""
        monkeypatch.setenv("OLLAMA_HOST", "host:port")
        with pytest.raises((UsageError, ConfigError), match="not an HTTP address"):
            choose("m", {})


class TestSettings:
    """The table `[plugins.ollama]`."""

    def test_names_with_tags(self) -> None:
        """The first part of a spec is a server only if the settings have such a server."""
        tables: dict[str, Any] = {"servers": {"garage": {"base_url": "http://garage:5", "num_ctx": 100}}}
        assert choose("qwen3:8b", tables)[:2] == ("qwen3:8b", "")
        model, name, server = choose("garage:qwen3:8b", tables)
        assert (model, name, server.base_url) == ("qwen3:8b", "garage", "http://garage:5")
        assert server.facts(model).num_ctx == 100

    def test_tables_of_models(self) -> None:
        """A table for a model wins over the longest fitting prefix, and that over the server; options are joined."""
        tables = {
            "think": False,
            "options": {"top_k": 1, "top_p": 0.5},
            "models": {"qwen*": {"num_ctx": 1}, "qwen3*": {"num_ctx": 2, "options": {"top_k": 2}}, "qwen3:8b": {}},
        }
        server = choose("m", tables)[2]
        assert server.facts("qwen3:4b").num_ctx == 2
        assert server.facts("qwen2").num_ctx == 1
        assert server.facts("qwen3:8b").num_ctx is None
        assert server.facts("qwen3:4b").options == {"top_k": 2, "top_p": 0.5}
        assert server.facts("qwen3:4b").think is False

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"num_ctx": 0}, "num_ctx is 0"),
            ({"think": "loud"}, "think"),
            ({"keepalive": 3}, "keep_alive"),
            ({"servers": {"a": {}}}, "base_url is missing"),
            ({"servers": {"a:b": {"base_url": "http://h"}}}, "colon"),
            ({"models": {"m": 3}}, "is not a table"),
            ({"models": {"m": {"num_cxt": 3}}}, "num_ctx"),
        ],
    )
    def test_faults(self, settings: dict[str, Any], said: str) -> None:
        """A wrong key or value is an error that names the right one."""
        with pytest.raises(ConfigError) as caught:
            choose("m", settings)
        assert said in f"{caught.value.message} {caught.value.hint}"

    @pytest.mark.parametrize(("spec", "settings"), [("", {}), ("a:", {"servers": {"a": {"base_url": "http://h"}}})])
    def test_a_spec_without_a_model(self, spec: str, settings: dict[str, Any]) -> None:
        """The error says what to write."""
        with pytest.raises(UsageError, match="names no model") as caught:
            choose(spec, settings)
        assert "MODEL" in caught.value.hint


class TestFacts:
    """Prices, media and keys."""

    def test_an_own_server_is_free(self) -> None:
        """Only models that run at ollama.com have an unknown price."""
        own = Server(base_url="http://127.0.0.1:1")
        assert own.facts("m").price == FREE
        assert own.facts("gpt-oss:120b-cloud").price is None
        assert Server(base_url="https://ollama.com").facts("m").price is None

    def test_keys_go_to_the_cloud_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """OLLAMA_API_KEY is not for other servers."""
        monkeypatch.setenv("OLLAMA_API_KEY", "0123456789abcdef")
        assert Server(base_url="https://ollama.com").key().text == "0123456789abcdef"
        for url in ("http://127.0.0.1:1", "https://notollama.com", "https://ollama.com.example.com"):
            assert Server(base_url=url).key().text == ""
        monkeypatch.delenv("OLLAMA_API_KEY")
        with pytest.raises(ConfigError, match="OLLAMA_API_KEY"):
            OllamaModel("m", base_url="https://ollama.com").check_ready()

    def test_nothing_shows_the_key(self) -> None:
        """Neither the model nor the server shows the key."""
        model = OllamaModel("m", base_url="http://h?key=0123456789", api_key="sk-0123456789abcdef")
        assert "0123456789" not in f"{model!r} {model.server!r}"


def test_importing_the_plugin_is_cheap() -> None:
    """Importing the plugin loads neither the HTTP library nor the command line."""
    code = "import agno_rt_ollama, sys; print(*{'httpx2', 'click', 'rich', 'agno_rt_ollama.client'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []
