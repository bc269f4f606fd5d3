"""Findings for `agno-rt doctor`: wrong settings, and missing keys that the settings name. Asks no other machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agno_rt.errors import AgnoError, ConfigError
from agno_rt.keys.find import find_key
from agno_rt.readiness import Finding
from agno_rt_web.settings import WebSettings, read_web_settings

__all__ = ["check_settings"]


def check_settings(settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding for wrong settings, and for each missing key or address that the settings name."""
    try:
        read = read_web_settings(settings)
    except AgnoError as exc:
        yield Finding("error", exc.message, exc.hint)
        return
    named = {read.provider} if "provider" in settings else set()
    for name in sorted(named | set(settings.get("services", {}))):
        yield from _check_service(name, read)
    from agno_rt_web.session import fill_headers

    for prefix, headers in read.headers_by_prefix.items():
        try:
            fill_headers(prefix, headers)
        except ConfigError as exc:
            yield Finding("warning", exc.message, exc.hint)


def _check_service(name: str, settings: WebSettings) -> Iterator[Finding]:
    service = settings.find_service(name)
    if not service.base_url:
        hint = f"Write base_url in [plugins.web.services.{name}]."
        yield Finding("warning", f"{name} has no address", hint)
    variable = service.api_key_env
    if variable and find_key(variable) is None:
        hint = f"Set {variable}, or run: agno-rt keys set {variable}."
        yield Finding("warning", f"{name} needs an API key, and {variable} is not set", hint)
