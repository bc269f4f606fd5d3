"""Describes the routes of OpenAI's formats for the OpenAPI document."""

from __future__ import annotations

from typing import Any

import msgspec

from agno_rt_serve.api.routing import Doc

__all__ = ["OpenAIProblem", "describe"]


class OpenAIFault(msgspec.Struct):
    """An error: `param` names the part of the request at fault."""

    message: str
    type: str
    code: str | None
    param: str | None


class OpenAIProblem(msgspec.Struct):
    """The body of an error in OpenAI's formats."""

    error: OpenAIFault


def describe(id: str, summary: str, answers: Any, query: type[msgspec.Struct] | None = None, **more: Any) -> Doc:
    """Return the description of a route, as `Doc` takes it, with OpenAI's errors and a tag of its own."""
    return Doc(f"openai_{id}", summary, answers, query, **more, tag="openai", error=OpenAIProblem)
