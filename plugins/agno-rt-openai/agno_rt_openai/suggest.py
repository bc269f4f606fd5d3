"""Suggestions for an unknown model spec: OpenAI's models, and services with OpenAI's format."""

from __future__ import annotations

import re

from agno_rt_openai.providers import PROVIDERS

__all__ = ["suggest"]

_OWN = re.compile(r"(?:gpt|chatgpt|o)-?\d[\w.-]*", re.IGNORECASE)

_FAMILIES = {
    "claude": "anthropic",
    "gemini": "gemini",
    "mistral": "mistral",
    "mixtral": "mistral",
    "deepseek": "deepseek",
    "grok": "xai",
    "kimi": "moonshot",
    "qwen": "dashscope",
    "glm": "zai",
}
"""Prefixes of model names, and the service of each."""


def suggest(spec: str) -> str:
    """Return the spec to write instead, or "" if no known service fits."""
    first, colon, rest = spec.partition(":")
    model = rest or first
    if _OWN.fullmatch(model) and first.lower() not in PROVIDERS:
        return f"Write openai:{model}."
    name = _find_provider(first) if colon else next((to for of, to in _FAMILIES.items() if model.startswith(of)), "")
    if not name:
        return ""
    title, variable = PROVIDERS[name]["title"], PROVIDERS[name].get("api_key_env")
    key = f", and set {variable}" if variable else ""
    return f"The plugin openai reaches {title}: write openai:{name}:{model}{key}."


def _find_provider(name: str) -> str:
    found = _OTHER_NAMES.get(name.lower(), name.lower())
    return found if found in PROVIDERS else ""


_OTHER_NAMES = {
    "claude": "anthropic",
    "google": "gemini",
    "google-gla": "gemini",
    "grok": "xai",
    "kimi": "moonshot",
    "qwen": "dashscope",
    "glm": "zai",
    "hf": "huggingface",
}
