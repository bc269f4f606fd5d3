"""Suggestions for an unknown model spec: OpenAI's models, and services with OpenAI's format."""

from __future__ import annotations

import re

__all__ = ["suggest"]

_OWN = re.compile(r"(?:gpt|chatgpt|o)-?\d[\w.-]*", re.IGNORECASE)

_SERVICES = {
    "anthropic": ("Anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    "deepseek": ("DeepSeek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "google": ("Gemini", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "groq": ("Groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "mistral": ("Mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "ollama": ("Ollama", "http://127.0.0.1:11434/v1", ""),
    "openrouter": ("OpenRouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "xai": ("xAI", "https://api.x.ai/v1", "XAI_API_KEY"),
}
"""Services with endpoints in OpenAI's format: a title, the base URL, and the variable with the key."""

_FAMILIES = {
    "claude": "anthropic",
    "gemini": "google",
    "mistral": "mistral",
    "mixtral": "mistral",
    "deepseek": "deepseek",
    "grok": "xai",
}
"""Prefixes of model names, and the service of each."""


def suggest(spec: str) -> str:
    """Return the spec to write instead, or "" if no known service fits."""
    first, colon, rest = spec.partition(":")
    model = rest or first
    if _OWN.fullmatch(model) and first.lower() not in _SERVICES:
        return f"Write openai:{model}."
    service = _find_service(first) if colon else next((to for of, to in _FAMILIES.items() if model.startswith(of)), "")
    if not service:
        return ""
    title, url, variable = _SERVICES[service]
    key = f' and api_key_env = "{variable}"' if variable else ""
    settings = f'[plugins.openai.servers.{service}] has base_url = "{url}"{key}'
    return f"{title} is reached through the plugin openai: write openai:{service}:{model}, where {settings}."


def _find_service(name: str) -> str:
    known = {"gemini": "google", "claude": "anthropic", "google-gla": "google", "grok": "xai"}
    found = known.get(name.lower(), name.lower())
    return found if found in _SERVICES else ""
