"""The body of `POST /v1/responses` as values: settings, tools, the form of the answer. Pure.

Reference: the OpenAI API reference, "Responses", and the Open Responses specification. Each parameter is honoured or
refused by name, and never ignored.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from agno_rt import Agent
from agno_rt.agent import settings_of
from agno_rt_serve.api.openai.client_tools import Asked, Function
from agno_rt_serve.api.openai.refused import Refused, check_harmless, check_ranges, decode_body
from agno_rt_serve.api.openai.request import check_stream_options
from agno_rt_serve.api.openai.structured import JsonFormat, check_format

__all__ = ["ResponseBody", "apply_settings", "check_no_settings", "decode", "read_format", "read_tools"]


class TextFormat(msgspec.Struct):
    """The form of the answer: `text`, `json_object`, or `json_schema` with a schema."""

    type: str = "text"
    name: str | None = None
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class TextOptions(msgspec.Struct, forbid_unknown_fields=True):
    """The options of the answer's text."""

    format: TextFormat | None = None
    verbosity: str | None = None


class ReasoningOptions(msgspec.Struct, forbid_unknown_fields=True):
    """The options of the model's reasoning; they belong to the agent."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class _StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    include_obfuscation: bool | None = None


class ResponseBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/responses`. A missing field is the same as `null`."""

    model: str
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    store: bool | None = None
    background: bool | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    # Honoured, within the agent's own bounds.
    temperature: float | None = None
    max_output_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    include: list[str] | None = None
    # Refused, unless the value asks for an agent's usual answer.
    reasoning: ReasoningOptions | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    top_logprobs: int | None = None
    truncation: str | None = None
    service_tier: str | None = None
    max_tool_calls: Any = None
    conversation: Any = None
    prompt: Any = None
    context_management: Any = None
    moderation: Any = None
    # Accepted and unused: they do not affect the answer.
    prompt_cache_key: str | None = None
    prompt_cache_retention: Any = None
    prompt_cache_options: Any = None
    safety_identifier: str | None = None

    @property
    def is_stored(self) -> bool:
        """True if the response is kept, as by default."""
        return self.store is not False


class _Tool(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


_decoder = msgspec.json.Decoder(ResponseBody)
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("frequency_penalty", -2, 2),
    ("presence_penalty", -2, 2),
    ("top_logprobs", 0, 20),
    ("max_output_tokens", 1, 2**31 - 1),
)
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "top_p": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
    "service_tier": ("auto", "default"),
    "max_tool_calls": (),
    "conversation": (),
    "prompt": (),
    "context_management": ([],),
    "moderation": (),
}
"""The parameters that cannot be honoured, each with the values that ask for nothing beyond an agent's usual answer."""
_HINTS = {
    "conversation": "Send `previous_response_id` instead.",
    "max_tool_calls": "Leave it out; the agent's own limits hold.",
    "prompt": "Send `instructions` and `input` instead.",
}
_INCLUDED = (
    # Reasoning comes in plain text, and can be sent back.
    "reasoning.encrypted_content",
    "message.input_image.image_url",
    # Items of tools hosted by OpenAI: a response has none.
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "web_search_call.action.sources",
    "web_search_call.results",
)
_MOST_METADATA, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 512
"""OpenAI's own bounds for metadata."""


def decode(body: bytes) -> ResponseBody:
    """Return the body of a request. Raises `HttpError` 400 that names the wrong or unsupported part."""
    asked: ResponseBody = decode_body(_decoder, body, "a request for a response")
    check_ranges(asked, _RANGES)
    check_harmless(asked, _HARMLESS, _HINTS)
    if asked.stream_options is not None:
        check_stream_options(asked.stream, asked.stream_options.include_obfuscation)
    _check_words(asked)
    _check_metadata(asked.metadata or {})
    return asked


def apply_settings(agent: Agent, asked: ResponseBody) -> Agent:
    """Return the agent with the client's settings. The client may lower the bound of tokens, not raise it."""
    own = settings_of(agent.settings)
    changes: dict[str, Any] = {}
    if asked.max_output_tokens is not None:
        bounds = (asked.max_output_tokens, own.max_tokens or asked.max_output_tokens)
        changes["max_tokens"] = min(bounds)
    if asked.temperature is not None:
        changes["temperature"] = asked.temperature
    return attrs.evolve(agent, settings=attrs.evolve(own, **changes)) if changes else agent


def check_no_settings(asked: ResponseBody, kind: str) -> None:
    """Raise `Refused` if the client sets a model's settings or tools: only an agent has a model of its own."""
    for name in ("max_output_tokens", "temperature", "tools"):
        if getattr(asked, name) not in (None, []):
            raise Refused(f"{asked.model} is a {kind}, and cannot keep {name}", name, f"Leave `{name}` out.")


def read_format(asked: ResponseBody) -> JsonFormat | None:
    """Return the form of the answer, or `None` for text. Raises `Refused`."""
    given = None if asked.text is None else asked.text.format
    return None if given is None else check_format(given.type, given.schema, given.description, "text.format")


def read_tools(asked: ResponseBody) -> Asked:
    """Return the client's tools. Raises `Refused` for a tool that is not a function."""
    functions: list[Function] = []
    for at, given in enumerate(asked.tools or []):
        where = f"tools[{at}]"
        if given.get("type") != "function":
            hint = 'Only functions of the client are supported: send {"type": "function", "name": ...}.'
            raise Refused(f"{where} is of type {given.get('type')!r}", where, hint)
        try:
            tool = msgspec.convert(given, _Tool)
        except msgspec.ValidationError as exc:
            raise Refused(f"{where} is not a function: {exc}", where) from exc
        functions.append(Function(tool.name, tool.description, tool.parameters, tool.strict))
    places = [(f"tools[{at}]", f"tools[{at}]") for at in range(len(functions))]
    return Asked(functions, places, _read_choice(asked.tool_choice), asked.parallel_tool_calls is not False)


def _read_choice(choice: Any) -> str:
    """Return the choice as a word or a function's name; empty for a choice of any other form."""
    if choice is None or isinstance(choice, str):
        return "auto" if choice is None else choice if choice in ("auto", "none", "required") else ""
    return str(choice.get("name") or "") if choice.get("type") == "function" else ""


def _check_words(asked: ResponseBody) -> None:
    """Raise `Refused` for parts of `text`, `reasoning` and `include` that cannot be honoured."""
    own = "Leave it out; the agent's own setting holds."
    if asked.text is not None and asked.text.verbosity not in (None, "medium"):
        raise Refused(f"text.verbosity {asked.text.verbosity!r} is not supported", "text.verbosity", own)
    if asked.reasoning is not None:
        if asked.reasoning.effort is not None:
            raise Refused(f"reasoning.effort {asked.reasoning.effort!r} is not supported", "reasoning.effort", own)
        for name in ("summary", "generate_summary"):
            if getattr(asked.reasoning, name) not in (None, "auto"):
                hint = "Leave it out: the reasoning itself is shown, if the model tells it."
                raise Refused(f"reasoning.{name} is not supported", f"reasoning.{name}", hint)
    for name in asked.include or ():
        if name not in _INCLUDED:
            raise Refused(f"include has {name!r}, which is not supported", "include", "Leave it out.")


def _check_metadata(metadata: dict[str, str]) -> None:
    if len(metadata) > _MOST_METADATA:
        raise Refused(f"metadata has more than {_MOST_METADATA} keys", "metadata")
    for key, value in metadata.items():
        if len(key) > _LONGEST_KEY or len(value) > _LONGEST_VALUE:
            problem = (
                f"metadata has a key of more than {_LONGEST_KEY}, or a value of more than {_LONGEST_VALUE} characters"
            )
            raise Refused(problem, "metadata")
