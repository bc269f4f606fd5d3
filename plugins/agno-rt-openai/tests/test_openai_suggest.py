"""Suggestions of the plugin for an unknown model spec."""

from __future__ import annotations

import pytest
from agno_rt_openai.suggest import suggest


@pytest.mark.parametrize("name", ["gpt-5", "gpt-4.1-mini", "o3", "chatgpt-4o-latest"])
def test_its_own_models(name: str) -> None:
    """A model of OpenAI gets the plugin's name in front."""
    assert suggest(name) == f"Write openai:{name}."


@pytest.mark.parametrize(
    ("spec", "written"),
    [
        ("anthropic:claude-x", "openai:anthropic:claude-x"),
        ("claude-x", "openai:anthropic:claude-x"),
        ("gemini:gemini-x", "openai:gemini:gemini-x"),
        ("google:gemini-x", "openai:gemini:gemini-x"),
        ("kimi-x", "openai:moonshot:kimi-x"),
        ("ollama:qwen", "openai:ollama:qwen"),
        ("groq:gpt-5", "openai:groq:gpt-5"),
    ],
)
def test_services_that_speak_its_format(spec: str, written: str) -> None:
    """For a model of a known provider, the suggestion has the spec and the variable with the key."""
    said = suggest(spec)

    assert f": write {written}" in said
    assert ("_API_KEY" in said) == ("ollama" not in spec)


@pytest.mark.parametrize("spec", ["", "small", "opnai:x", "nowhere:bot", "output"])
def test_anything_else(spec: str) -> None:
    """Unknown models get no suggestion."""
    assert suggest(spec) == ""
