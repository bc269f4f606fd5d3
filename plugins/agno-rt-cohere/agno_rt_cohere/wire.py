"""Requests in Cohere's chat format (v2) as pure functions. Opens nothing.

References: Cohere's API reference, "Chat", and its guides "Tool use", "Structured outputs" and "Reasoning". Messages
and tools have the form of chat completions, apart from the fields named here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.errors import UsageError
from agno_rt.messages import Message
from agno_rt.models import ModelRequest, ModelSettings
from agno_rt.wire import chat_completions
from agno_rt.wire.lenient_json import write_json
from agno_rt.wire.native import native_for
from agno_rt.wire.output_words import ask_for_output
from agno_rt_cohere.facts import Facts

__all__ = ["SERVICE", "request_bytes"]

SERVICE = "cohere"
_CHOICES = {"none": "NONE", "required": "REQUIRED"}


def request_bytes(request: ModelRequest, model: str, facts: Facts, *, stream: bool) -> bytes:
    """Write the body of a request for an answer.

    The conversation stands last, so that the bytes of a longer conversation begin with those of a shorter one. Raises
    `UsageError` for media outside the format, and for values in `settings.extra` outside JSON.
    """
    settings = request.settings
    body: dict[str, Any] = {
        "model": model,
        "stream": stream,
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "seed": settings.seed,
        "stop_sequences": list(settings.stop) or None,
        "thinking": _build_thinking(facts),
        "citation_options": facts.citations and {"mode": facts.citations.upper()},
        "safety_mode": facts.safety_mode and facts.safety_mode.upper(),
    }
    asked = _choose_tool(request)
    if request.output is not None:
        if request.tools:
            # The service refuses a response format beside tools.
            asked = attrs.evolve(asked, messages=ask_for_output(request.messages, request.output, model))
        else:
            body["response_format"] = {"type": "json_object", "json_schema": request.output}
    rendered = chat_completions.request_body(attrs.evolve(asked, output=None, settings=ModelSettings()), model)
    if request.tools:
        body["tools"] = rendered["tools"]
        body["strict_tools"] = facts.strict_tools
        body["tool_choice"] = _CHOICES.get(asked.tool_choice)
    body = {name: value for name, value in body.items() if value is not None} | dict(settings.extra)
    body["stream"] = stream
    # Messages in `extra` replace the request's own, in the same place.
    body["messages"] = body.pop("messages", None) or _finish_messages(asked.messages, rendered["messages"])
    return write_json(body, model)


def _build_thinking(facts: Facts) -> dict[str, Any] | None:
    match facts.thinking:
        case None:
            return None
        case bool():
            return {"type": "enabled" if facts.thinking else "disabled"}
        case budget:
            return {"type": "enabled", "token_budget": budget}


def _choose_tool(request: ModelRequest) -> ModelRequest:
    """Return the request with one tool and the choice `required` if it names a tool: the format cannot name tools."""
    named = [tool for tool in request.tools if tool.name == request.tool_choice]
    return attrs.evolve(request, tools=named, tool_choice="required") if named else request


def _finish_messages(messages: Sequence[Message], bodies: list[dict[str, Any]]) -> list[Any]:
    """Return messages of chat completions in the service's form, with its own answers as it sent them."""
    # An answer without text and calls has no body.
    answers = iter([each for each in messages if each.role == "assistant" and (each.tool_calls or each.text.strip())])
    finished: list[Any] = []
    for body in bodies:
        if body["role"] == "assistant":
            data = native_for(next(answers), SERVICE)
            finished.append(_finish_answer(body) if data is None else msgspec.Raw(data))
            continue
        if body["role"] == "tool":
            body["content"] = [{"type": "text", "text": body["content"]}]
        body.pop("name", None)
        _check_parts(body["content"])
        finished.append(body)
    return finished


def _finish_answer(body: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in body.items() if name in ("role", "tool_calls") or (name == "content" and value)
    }


def _check_parts(content: str | Sequence[Mapping[str, Any]]) -> None:
    if isinstance(content, str):
        return
    for part in content:
        if part["type"] not in ("text", "image_url"):
            kind = part["type"].removeprefix("input_").removesuffix("_url")
            raise UsageError(f"{kind} cannot be sent to Cohere", hint="Send images, and other files as text.")
