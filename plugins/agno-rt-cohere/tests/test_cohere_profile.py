"""Servers, keys and facts of the plugin."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from agno_rt_cohere import CohereModel, Server, _suggest_spec
from agno_rt_cohere.profile import choose

from agno_rt.errors import ConfigError, UsageError


def test_specs() -> None:
    """A bare name is a model of Cohere; a name from the settings is a server."""
    tables = {"servers": {"local": {"base_url": "http://127.0.0.1:8080", "thinking": 200}}}
    model, name, server = choose("command-a-03-2025", tables)
    assert (model, name, server.base_url) == ("command-a-03-2025", "", "https://api.cohere.com")
    model, name, server = choose("local:m", tables)
    assert (model, name, server.base_url) == ("m", "local", "http://127.0.0.1:8080")
    assert server.facts(model).thinking == 200


def test_tables_of_models() -> None:
    """A table for a model wins over the longest fitting prefix, and that over the server."""
    tables = {"citations": "off", "models": {"command-*": {"thinking": 1}, "command-a*": {"thinking": False}}}
    server = choose("m", tables)[2]
    assert server.facts("command-r").thinking == 1
    assert server.facts("command-a-x").thinking is False
    assert server.facts("command-a-x").citations == "off"
    assert server.facts("m").thinking is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"thinking": 0}, "thinking is 0"),
        ({"citations": "loud"}, "citations"),
        ({"saftey_mode": "off"}, "safety_mode"),
        ({"servers": {"a": {}}}, "base_url is missing"),
        ({"servers": {"a:b": {"base_url": "http://h"}}}, "colon"),
        ({"models": {"m": 3}}, "is not a table"),
    ],
)
def test_faults(settings: dict[str, Any], said: str) -> None:
    """A wrong key or value is an error that names the right one."""
    with pytest.raises(ConfigError) as caught:
        choose("m", settings)
    assert said in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(("spec", "settings"), [("", {}), ("a:", {"servers": {"a": {"base_url": "http://h"}}})])
def test_a_spec_without_a_model(spec: str, settings: dict[str, Any]) -> None:
    """The error says what to write."""
    with pytest.raises(UsageError, match="names no model") as caught:
        choose(spec, settings)
    assert "MODEL" in caught.value.hint


def test_keys_go_to_cohere_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """COHERE_API_KEY is not for other servers; without it, the error names it."""
    monkeypatch.setenv("COHERE_API_KEY", "0123456789abcdef")
    assert Server().key().text == "0123456789abcdef"
    for url in ("http://127.0.0.1:1", "https://notapi.cohere.com", "https://api.cohere.com.example.com"):
        assert Server(base_url=url).key().text == ""
    monkeypatch.delenv("COHERE_API_KEY")
    with pytest.raises(ConfigError, match="COHERE_API_KEY"):
        CohereModel("m").check_ready()


def test_nothing_shows_the_key() -> None:
    """Neither the model nor the server shows the key."""
    model = CohereModel("m", base_url="http://h?key=0123456789", api_key="sk-0123456789abcdef")
    assert "0123456789" not in f"{model!r} {model.server!r}"


def test_suggestions() -> None:
    """A model of Cohere without its plugin gets the right spec; other models get none."""
    assert _suggest_spec("command-r7b-12-2024") == "Write cohere:command-r7b-12-2024."
    assert _suggest_spec("gpt-5") == ""


def test_importing_the_plugin_is_cheap() -> None:
    """Importing the plugin loads neither the HTTP library nor the client."""
    code = "import agno_rt_cohere, sys; print(*{'httpx2', 'click', 'agno_rt_cohere.client'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []
