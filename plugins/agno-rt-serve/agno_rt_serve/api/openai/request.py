"""Requests of the chat completions format as values: messages, settings, tools. Pure.

Reference: the OpenAI API reference, "Chat Completions". Each parameter is honoured or refused by name, and never
ignored: the client would take the answer for one with the parameter.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from agno_rt import Agent, Message, ModelSettings, ToolCall
from agno_rt.agent import settings_of
from agno_rt.messages import Role
from agno_rt_serve.api.openai.client_tools import Asked, Function
from agno_rt_serve.api.openai.content import ContentPart, convert_content
from agno_rt_serve.api.openai.refused import Refused, check_harmless, check_ranges, decode_body
from agno_rt_serve.api.openai.structured import JsonFormat, check_format
from agno_rt_serve.api.parts import Accepts
from agno_rt_serve.errors import HttpError

__all__ = [
    "ChatBody",
    "apply_settings",
    "check_no_settings",
    "check_stream_options",
    "conversation",
    "decode",
    "read_format",
    "read_tools",
]


class _CalledFunction(msgspec.Struct):
    name: str
    arguments: str = ""


class _Call(msgspec.Struct):
    id: str
    function: _CalledFunction
    type: str = "function"


class _Message(msgspec.Struct):
    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    function_call: Any = None
    audio: Any = None


class _StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class _Schema(msgspec.Struct):
    name: str
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: str = "text"
    json_schema: _Schema | None = None


class _Tool(msgspec.Struct):
    type: str
    function: Function | None = None


class ChatBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/chat/completions`. A missing field is the same as `null`."""

    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    # Honoured, within the agent's own bounds.
    temperature: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None
    user: str | None = None
    # Refused, unless the value asks for an agent's usual answer.
    top_p: float | None = None
    n: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    modalities: list[str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    functions: Any = None
    function_call: Any = None
    audio: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    web_search_options: Any = None
    # Accepted and unused: they do not affect the answer.
    metadata: Any = None
    prediction: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None
    safety_identifier: Any = None

    @property
    def include_usage(self) -> bool:
        """True if the stream should end with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts at which the answer should stop."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


_decoder = msgspec.json.Decoder(ChatBody)
_PARTS = ("text", "refusal", "image_url", "input_audio", "file", "video_url")
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("frequency_penalty", -2, 2),
    ("presence_penalty", -2, 2),
    ("top_logprobs", 0, 20),
    ("max_tokens", 1, 2**31 - 1),
    ("max_completion_tokens", 1, 2**31 - 1),
    ("seed", -(2**63), 2**63 - 1),
    ("n", 1, 128),
)
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "top_p": (1,),
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "modalities": (["text"], []),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "audio": (),
    "reasoning_effort": (),
    "verbosity": (),
    "web_search_options": (),
}
"""The parameters that cannot be honoured, each with the values that ask for nothing beyond an agent's usual answer."""


def decode(body: bytes) -> ChatBody:
    """Return the body of a completion request. Raises `HttpError` 400 that names the wrong or unsupported part."""
    chat: ChatBody = decode_body(_decoder, body, "a chat completion request")
    check_ranges(chat, _RANGES)
    if len(chat.stops) > 4 or "" in chat.stops:
        raise Refused("stop has more than four texts, or an empty one", "stop")
    if chat.stream_options is not None:
        check_stream_options(chat.stream, chat.stream_options.include_obfuscation)
    check_harmless(chat, _HARMLESS, dict.fromkeys(("functions", "function_call"), "Send `tools` instead."))
    return chat


def check_stream_options(stream: bool | None, obfuscation: bool | None) -> None:
    """Raise `Refused` for options of a stream that is not asked for, or that cannot be honoured."""
    if not stream:
        raise Refused("stream_options is set, but stream is not", "stream_options", "Set `stream`, or leave it out.")
    if obfuscation:
        hint = "Leave it out: nothing is added to the events of a stream."
        raise Refused("include_obfuscation is not supported", "stream_options.include_obfuscation", hint)


def read_format(chat: ChatBody) -> JsonFormat | None:
    """Return the form of the answer, or `None` for text. Raises `Refused`."""
    asked = chat.response_format
    if asked is None:
        return None
    inner = asked.json_schema or _Schema("")
    return check_format(asked.type, inner.schema, inner.description, "response_format")


def read_tools(chat: ChatBody) -> Asked:
    """Return the client's tools. Raises `Refused` for a tool that is not a function."""
    functions: list[Function] = []
    for at, tool in enumerate(chat.tools or []):
        where = f"tools[{at}]"
        if tool.type != "function" or tool.function is None:
            hint = 'Send {"type": "function", "function": {"name": ...}}.'
            raise Refused(f"{where} is of type {tool.type!r}, or has no function", where, hint)
        functions.append(tool.function)
    places = [(f"tools[{at}]", f"tools[{at}].function") for at in range(len(functions))]
    return Asked(functions, places, _read_choice(chat.tool_choice), chat.parallel_tool_calls is not False)


def _read_choice(choice: Any) -> str:
    """Return the choice as a word or a function's name; empty for a choice of any other form."""
    if choice is None or isinstance(choice, str):
        return "auto" if choice is None else choice if choice in ("auto", "none", "required") else ""
    function = choice.get("function")
    is_function = choice.get("type") == "function" and isinstance(function, dict)
    return str(function.get("name") or "") if is_function else ""


def check_no_settings(chat: ChatBody, kind: str) -> None:
    """Raise `HttpError` 400 if the client sets a model's settings or tools: only an agent has a model of its own."""
    for name in ("max_tokens", "max_completion_tokens", "temperature", "seed", "stop", "tools"):
        if getattr(chat, name) not in (None, []):
            raise Refused(f"{chat.model} is a {kind}, and cannot keep {name}", name, f"Leave `{name}` out.")


def apply_settings(agent: Agent, chat: ChatBody) -> Agent:
    """Return the agent with the client's settings. The client may lower the bound of tokens, not raise it."""
    own = settings_of(agent.settings)
    changes: dict[str, Any] = {}
    bounds = [bound for bound in (chat.max_tokens, chat.max_completion_tokens) if bound is not None]
    if bounds:
        changes["max_tokens"] = min(bounds if own.max_tokens is None else [*bounds, own.max_tokens])
    if chat.temperature is not None:
        changes["temperature"] = chat.temperature
    if chat.seed is not None:
        changes["seed"] = chat.seed
    if chat.stops:
        changes["stop"] = tuple(dict.fromkeys((*own.stop, *chat.stops)))
    if not changes:
        return agent
    settings: ModelSettings = attrs.evolve(own, **changes)
    return attrs.evolve(agent, settings=settings)


def conversation(chat: ChatBody, accepts: Accepts) -> list[Message]:
    """Return the messages to answer; parts are joined if all of them are text. Each tool call must have its result.

    Raises `HttpError` 400 or 413 that names the part and the fault.
    """
    if not chat.messages:
        raise Refused("there are no messages to answer", "messages")
    made: list[Message] = []
    open_calls: dict[str, str] = {}
    for at, message in enumerate(chat.messages):
        where = f"messages[{at}]"
        name = message.name
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                hint = "Send it after the assistant's message with the call, with the call's id as tool_call_id."
                raise Refused(f"{where} has the role 'tool', but answers no call before it", where, hint)
            name = open_calls.pop(message.tool_call_id)
        elif open_calls:
            raise _refuse_open_calls(open_calls, where)
        made.append(_convert_message(message, name, where, accepts))
        open_calls |= {call.id: call.name for call in made[-1].tool_calls}
    if open_calls:
        raise _refuse_open_calls(open_calls, "messages")
    return made


def _refuse_open_calls(calls: dict[str, str], where: str) -> HttpError:
    hint = "Send a message of the role tool for each call."
    return Refused(f"tool calls have no result: {', '.join(calls)}", where, hint)


def _convert_message(message: _Message, name: str | None, where: str, accepts: Accepts) -> Message:
    role = _ROLES.get(message.role)
    if role is None or message.function_call or message.audio:
        what = f"has the role {message.role!r}" if role is None else "has a function_call or audio"
        hint = "Send messages of the roles system, developer, user, assistant and tool."
        raise Refused(f"{where} {what}, which is not supported", where, hint)
    content = convert_content(message.content, f"{where}.content", accepts, _PARTS)
    if role != "user" and not isinstance(content, str):
        raise Refused(f"{where} has the role {role!r} and holds media", where, "Send media in messages of the user.")
    calls = tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ())
    if calls and role != "assistant":
        raise Refused(
            f"{where} has the role {role!r} and calls tools", where, "Only the assistant's messages call tools."
        )
    if len({call.id for call in calls}) < len(calls):
        raise Refused(f"{where} has two calls with the same id", where)
    return Message(role, content, calls, message.tool_call_id if role == "tool" else None, name)
