"""Parts that toolkits share: notes for tools that read, and types of arguments."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from agno_rt_web.settings import WebSettings

__all__ = ["Query", "Url", "reading"]

Query = Annotated[str, Meta(min_length=1, max_length=400)]
Url = Annotated[str, Meta(min_length=1, max_length=4_000)]


def reading(settings: WebSettings) -> dict[str, Any]:
    """Return the options of a tool that only reads."""
    return {"read_only": True, "destructive": False, "idempotent": True, "approve": settings.approve == "all"}
