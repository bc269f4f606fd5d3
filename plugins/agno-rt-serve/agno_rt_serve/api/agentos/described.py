"""Describes the routes of AgentOS for the OpenAPI document."""

from __future__ import annotations

from typing import Any

import msgspec

from agno_rt_serve.api.agentos.shapes import OSProblem
from agno_rt_serve.api.routing import Doc

__all__ = ["describe"]


def describe(id: str, summary: str, answers: Any, query: type[msgspec.Struct] | None = None, **more: Any) -> Doc:
    """Return the description of a route, as of `Doc`, with AgentOS's errors and tag."""
    return Doc(f"agentos_{id}", summary, answers, query, **more, tag="agentos", error=OSProblem)
