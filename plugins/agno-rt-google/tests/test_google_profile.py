"""Specs, settings, addresses, keys and facts: everything that needs no connection."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from agno_rt_google import GoogleModel, Server
from agno_rt_google.facts import AS_OF, PRICES, known
from agno_rt_google.profile import choose
from agno_rt_google.suggest import suggest

from agno_rt import Runtime
from agno_rt.errors import ConfigError, UsageError
from agno_rt.messages import Usage
from agno_rt.models import Price


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Remove the variables that the plugin reads."""
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_OAUTH_ACCESS_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def find(spec: str, **settings: Any) -> GoogleModel:
    """Return the model of a spec."""
    model, name, server = choose(spec, settings)
    return GoogleModel(model, server, server_name=name)


async def test_the_plugin_offers_its_models() -> None:
    """A runtime finds the plugin by the first word of a spec."""
    async with Runtime() as rt:
        assert repr(rt.model("google:gemini-3.8-flash")).startswith("GoogleModel('gemini-3.8-flash'")


@pytest.mark.parametrize(
    ("spec", "settings", "name", "url"),
    [
        ("gemini-3.8-flash", {}, "google:gemini-3.8-flash", "https://generativelanguage.googleapis.com"),
        ("vertex:m", {}, "google:vertex:m", "https://aiplatform.googleapis.com"),
        ("vertex:m", {"location": "europe-west4"}, "google:vertex:m", "https://europe-west4-aiplatform.googleapis.com"),
        ("vertex:m", {"location": "eu"}, "google:vertex:m", "https://aiplatform.eu.rep.googleapis.com"),
        ("x:m", {"servers": {"x": {"base_url": "http://localhost:1/p"}}}, "google:x:m", "http://localhost:1/p"),
        (
            "x:m",
            {"servers": {"x": {"vertex": True, "location": "us"}}},
            "google:x:m",
            "https://aiplatform.us.rep.googleapis.com",
        ),
        (
            "vertex:m",
            {"servers": {"vertex": {"base_url": "http://localhost:1"}}},
            "google:vertex:m",
            "http://localhost:1",
        ),
    ],
)
def test_specs(spec: str, settings: dict[str, Any], name: str, url: str) -> None:
    """A spec names a model, `vertex:` and a model, or a server of the settings and a model."""
    model = find(spec, **settings)
    assert (model.name, model.server.base_url) == (name, url)


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        ("", {}),
        ("vertex:", {}),
        ("m", {"servers": {"x": {}}}),
        ("m", {"servers": {"a:b": {"base_url": "http://localhost"}}}),
        ("m", {"location": "../x"}),
        ("m", {"models": {"m": 3}}),
        ("m", {"unknown": 1}),
    ],
)
def test_wrong_specs_and_settings(spec: str, settings: dict[str, Any]) -> None:
    """A spec without a model and unusable settings are errors with a remedy."""
    with pytest.raises((UsageError, ConfigError)) as caught:
        find(spec, **settings)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("model", "fields", "path"),
    [
        ("m", {}, "v1beta/models/m"),
        ("m", {"version": "v1"}, "v1/models/m"),
        ("tunedModels/t?x", {}, "v1beta/tunedModels/t%3Fx"),
        ("m", {"vertex": True}, "v1/projects/p/locations/global/publishers/google/models/m"),
        (
            "publishers/x/models/m@1",
            {"vertex": True, "location": "us"},
            "v1/projects/p/locations/us/publishers/x/models/m@1",
        ),
        ("projects/q/locations/us/endpoints/3", {"vertex": True}, "v1/projects/q/locations/us/endpoints/3"),
    ],
)
def test_paths(model: str, fields: dict[str, Any], path: str) -> None:
    """Models, tuned models, models of other publishers and endpoints have the documented paths."""
    assert Server(**fields).path(model, "p") == path


def test_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both documented variables are read, one before the other; another server gets no key that it does not name."""
    with pytest.raises(ConfigError, match="GEMINI_API_KEY"):
        Server().key()
    monkeypatch.setenv("GOOGLE_API_KEY", "second")
    assert Server().key().text == "second"
    monkeypatch.setenv("GEMINI_API_KEY", "first")
    assert Server().key().text == "first"
    assert Server(api_key_env="GOOGLE_API_KEY").key().text == "second"
    assert Server(base_url="http://localhost:1").key().text == ""
    assert Server(base_url="https://evilgoogleapis.com").key().text == ""
    assert "first" not in repr(GoogleModel("m", api_key="first"))


def test_vertex_is_ready_with_project_and_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """`check_ready` names what is missing: credentials, then the project; a token from the environment is enough."""
    model = find("vertex:m")
    with pytest.raises(ConfigError, match="credentials"):
        model.check_ready()
    monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "ya29.token")
    with pytest.raises(ConfigError, match="project"):
        model.check_ready()
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p-1")
    model.check_ready()
    # A key of the Gemini API is not a token.
    monkeypatch.delenv("GOOGLE_OAUTH_ACCESS_TOKEN")
    monkeypatch.setenv("GEMINI_API_KEY", "key")
    with pytest.raises(ConfigError, match="credentials"):
        model.check_ready()


def test_facts() -> None:
    """The longest known name counts, settings override it, and prices count for the Gemini API only."""
    assert known("gemini-2.5-flash-lite-001").price == Price(0.1, 0.4, 0.01, None, AS_OF, PRICES)
    assert known("gemini-9").signed_calls
    assert known("gemini-3.8-flash").thinks == ("low", "medium", "high")
    price = GoogleModel("gemini-2.5-pro").profile.price
    assert price is not None
    assert (price.of(Usage(200_000)), price.of(Usage(300_000))) == (0.25, 0.75)
    assert find("vertex:gemini-2.5-pro").profile.price is None
    mine = find("gemini-2.5-pro", models={"gemini-2.5-*": {"price": {"input": 3, "output": 4}, "max_tokens": 7}})
    assert mine.profile.price == Price(3, 4)
    assert mine.facts.max_tokens == 7
    assert GoogleModel("m", base_url="http://localhost:1").profile.output == "prompt"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("gemini-3.8-flash", "Write google:gemini-3.8-flash."),
        ("gemini:gemini-3.8-flash", "Write google:gemini-3.8-flash."),
        ("vertexai:gemini-3.8-flash", "Write google:vertex:gemini-3.8-flash."),
        ("gpt-5", ""),
        ("openrouter:gemini-3", ""),
    ],
)
def test_suggestions(spec: str, expected: str) -> None:
    """A Gemini model without its plugin gets the right spec as a hint."""
    assert suggest(spec) == expected


def test_importing_is_cheap() -> None:
    """Importing the plugin and making a model loads no HTTP library, no JWT library and no SDK."""
    program = (
        "import sys, agno_rt_google as g; g.GoogleModel('m'); print([m for m in sys.modules if m in sys.argv[1:]])"
    )
    names = ["httpx2", "jwt", "cryptography", "google", "requests"]
    done = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
