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
from agno_rt.errors import suggest
from agno_rt.messages import Content, Part, Role
from agno_rt_serve.api.parts import Accepts, Attached, make
from agno_rt_serve.errors import HttpError

__all__ = ["ChatBody", "Function", "Refused", "apply_settings", "conversation", "decode"]


class _Url(msgspec.Struct):
    url: str


class _Audio(msgspec.Struct):
    data: str
    format: str = "wav"


class _File(msgspec.Struct):
    file_data: str | None = None
    filename: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: _Url | str | None = None
    video_url: _Url | str | None = None
    input_audio: _Audio | None = None
    file: _File | None = None


class _CalledFunction(msgspec.Struct):
    name: str
    arguments: str = ""


class _Call(msgspec.Struct):
    id: str
    function: _CalledFunction
    type: str = "function"


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    function_call: Any = None
    audio: Any = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Format(msgspec.Struct):
    type: str = "text"


class Function(msgspec.Struct):
    """A function of the client, as the client describes it."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


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
    user: str | None = None
    # Refused, unless the value asks for an agent's usual answer.
    top_p: float | None = None
    n: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    response_format: _Format | None = None
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


class Refused(HttpError):
    """A request that cannot be carried out as written; `param` names the part at fault."""

    def __init__(self, message: str, param: str, hint: str = "", status: int = 400) -> None:
        super().__init__(status, "invalid_request", message, hint)
        self.param = param


_decoder = msgspec.json.Decoder(ChatBody)
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_OWN = "Leave it out; the agent's own setting holds."
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
    try:
        chat = _decoder.decode(body)
    except msgspec.ValidationError as exc:
        raise _explain_misfit(exc) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Refused(f"the body is not valid JSON: {exc}", "") from exc
    for name, least, most in _RANGES:
        value = getattr(chat, name)
        if value is not None and not least <= value <= most:
            raise Refused(f"{name} is {value}, and must be from {least} to {most}", name)
    _check_stop(chat)
    _check_supported(chat)
    return chat


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


def _explain_misfit(exc: msgspec.ValidationError) -> HttpError:
    problem = str(exc)
    _, found, rest = problem.partition("unknown field `")
    if found:
        name = rest.partition("`")[0]
        return Refused(
            f"the parameter {name!r} is not known", name, suggest("parameter", name, ChatBody.__struct_fields__)
        )
    place = problem.partition("`$.")[2].rstrip("`").replace("[...]", "[]")
    return Refused(f"the body is not a chat completion request: {problem}", place)


def _check_stop(chat: ChatBody) -> None:
    if len(chat.stops) > 4 or "" in chat.stops:
        raise Refused("stop has more than four texts, or an empty one", "stop")


def _check_supported(chat: ChatBody) -> None:
    for name, harmless in _HARMLESS.items():
        value = getattr(chat, name)
        if value is not None and value not in harmless:
            hint = "Send `tools` instead." if name.startswith("function") else _OWN
            raise Refused(f"{name} is not supported ({name} is {_shorten_value(value)})", name, hint)
    if chat.response_format is not None and chat.response_format.type != "text":
        hint = "Give the agent an output type instead."
        raise Refused(f"response_format {chat.response_format.type!r} is not supported", "response_format", hint)


def _shorten_value(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."


def _convert_message(message: _Message, name: str | None, where: str, accepts: Accepts) -> Message:
    role = _ROLES.get(message.role)
    if role is None or message.function_call or message.audio:
        what = f"has the role {message.role!r}" if role is None else "has a function_call or audio"
        hint = "Send messages of the roles system, developer, user, assistant and tool."
        raise Refused(f"{where} {what}, which is not supported", where, hint)
    content = _convert_content(message.content, f"{where}.content", accepts)
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


def _convert_content(content: str | list[_Part] | None, where: str, accepts: Accepts) -> Content:
    if content is None or isinstance(content, str):
        return content or ""
    parts = tuple(_convert_part(part, f"{where}[{at}]", accepts) for at, part in enumerate(content))
    return "".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else parts


def _convert_part(part: _Part, where: str, accepts: Accepts) -> Part:
    text = part.refusal if part.type == "refusal" else part.text
    if part.type in ("text", "refusal") and text is not None:
        return text
    attached = _read_attachment(part)
    if attached is None:
        takes = "text, image_url, input_audio, file and video_url"
        raise Refused(
            f"{where} is of type {part.type!r}, or lacks the content of its type", where, f"Supported: {takes}."
        )
    try:
        return make(attached, accepts)
    except HttpError as exc:
        raise Refused(f"{where} {exc.message}", where, exc.hint, exc.status) from exc


def _read_attachment(part: _Part) -> Attached | None:
    match part:
        case _Part(type="image_url", image_url=_Url(url=url) | str(url)):
            return Attached("image", url=url)
        case _Part(type="video_url", video_url=_Url(url=url) | str(url)):
            return Attached("video", url=url)
        case _Part(type="input_audio", input_audio=_Audio(data=data, format=format_)):
            return Attached("audio", data, media_type=f"audio/{format_}")
        case _Part(type="file", file=_File(file_data=str(data), filename=name)):
            by_url = data[:5].lower() == "data:"
            return Attached("file", None if by_url else data, data if by_url else None, name=name)
    return None
