"""Converse as pure functions: requests to bytes. `answers` reads answers. Opens nothing, reads no clock.

Reference: Amazon Bedrock's API reference, "Converse", "ConverseStream", "Message" and "ContentBlock", and its user
guide, "Carry out a conversation with the Converse API operations", "Call a tool" and "Prompt caching".
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import attrs
import msgspec

from agno_rt.errors import UsageError
from agno_rt.media import described
from agno_rt.messages import Message, ToolCall
from agno_rt.models import ModelRequest
from agno_rt.tools import Tool
from agno_rt.wire.blocks import LEFT_OUT
from agno_rt.wire.cache_marks import cache_marks
from agno_rt.wire.chat_completions import mend_value, tool_names
from agno_rt.wire.lenient_json import read_json, write_json
from agno_rt.wire.native import native_for
from agno_rt.wire.schema_subset import fit_schema
from agno_rt_bedrock.facts import Facts
from agno_rt_bedrock.parts import PartBuilder

__all__ = ["SERVICE", "Dialect", "Sealed", "model_path", "request_bytes"]

SERVICE = "bedrock converse"
"""The name under which answers are sealed."""

_MODEL = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.:/-]{0,2047}")
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_ANSWER = "Answer with one JSON value that fits this JSON Schema, without any other words and without a code fence:\n"
_EMPTY_RESULT = "(no output)"
"""Sent for a result without content: the service refuses blank texts and results without blocks."""


@attrs.frozen(kw_only=True)
class Dialect:
    """The variant of the format for one model.

    model    the id of the model or of an inference profile, or an ARN
    service  the name under which answers are sealed, see `agno_rt.wire.native`
    facts    the model's facts and the choices for its requests
    cache    the lifetime of cached prefixes: `5m`, `1h`, or `off`
    body     fields of every request
    """

    model: str
    service: str = SERVICE
    facts: Facts = attrs.field(factory=Facts)
    cache: str = "5m"
    body: Mapping[str, Any] = attrs.field(factory=dict)


class Sealed(msgspec.Struct, array_like=True):
    """The blocks of an answer as the model wrote them, and the model's id."""

    model: str
    content: msgspec.Raw


_SEALED = msgspec.json.Decoder(Sealed)


def model_path(model: str, *, stream: bool) -> str:
    """Return the path of the requests to a model. Raises `UsageError` for anything but an id or an ARN."""
    if not _MODEL.fullmatch(model):
        hint = "Copy the model id, the id of the inference profile, or the ARN from Bedrock's console."
        raise UsageError(f"{model!r} is not the id of a Bedrock model", hint=hint)
    return f"model/{quote(model, safe='')}/{'converse-stream' if stream else 'converse'}"


def request_bytes(request: ModelRequest, dialect: Dialect, *, stream: bool) -> bytes:
    """Write the body of a request to continue a conversation.

    The conversation stands last, so that the bytes of a longer conversation begin with those of a shorter one, apart
    from the marks for the cache. Raises `UsageError` for media and settings outside the format, and for values in
    `settings.extra` outside JSON.
    """
    body = _merge(_build_body(request, dialect), dialect.body)
    body = _merge(body, request.settings.extra)
    guardrail = body.get("guardrailConfig")
    if not stream and isinstance(guardrail, Mapping):
        # A word of streams only, which the other operation refuses.
        body["guardrailConfig"] = {key: each for key, each in guardrail.items() if key != "streamProcessingMode"}
    # Conversations in `extra` replace the request's own, in the same place.
    body["messages"] = body.pop("messages")
    return write_json(body, dialect.model)


def _merge(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body with the extra fields, which win; objects keep their other keys, and `None` removes a field."""
    merged = dict(body)
    for name, value in extra.items():
        own = body.get(name)
        merged[name] = {**own, **value} if isinstance(own, Mapping) and isinstance(value, Mapping) else value
    return {name: value for name, value in merged.items() if value is not None}


def _build_body(request: ModelRequest, dialect: Dialect) -> dict[str, Any]:
    names = {own: wire for wire, own in tool_names(request).items()}
    system, bodies, ends = _Conversation(names, dialect).render(request.messages)
    tools, choice = _build_tools(request, bodies, names, dialect.facts)
    output = _build_output(request, dialect, system)
    if dialect.cache != "off" and dialect.facts.caches:
        _mark_prefixes(tools if dialect.facts.caches_tools else [], system, _find_places(request, ends), dialect.cache)
    # After the marks, because the next request does not repeat this text.
    if wish := _say_choice(request, bool(tools), choice, names):
        _ask(bodies, wish)
    parts: dict[str, Any] = {
        "inferenceConfig": _build_settings(request, dialect),
        "additionalModelRequestFields": _build_thinking(dialect),
        "outputConfig": output,
        "toolConfig": {"tools": tools, **({"toolChoice": choice} if choice else {})} if tools else {},
        "system": system,
    }
    return {**{name: value for name, value in parts.items() if value}, "messages": bodies}


def _build_settings(request: ModelRequest, dialect: Dialect) -> dict[str, Any]:
    """Return the parameters of the answer. The format has no seed, and newer models accept no temperature."""
    settings, facts = request.settings, dialect.facts
    most, budget = settings.max_tokens, _find_budget(facts)
    if most is None and facts.max_tokens:
        most = facts.max_tokens + budget
    if budget and most is not None and budget >= most:
        hint = "Raise max_tokens above the budget in thinking, or lower the budget."
        raise UsageError(f"{dialect.model} may think for {budget} tokens, and answer with {most} in all", hint=hint)
    built: dict[str, Any] = {"maxTokens": most}
    # Thinking excludes other temperatures than the default.
    if facts.sampling is not False and not budget and facts.thinking != "adaptive":
        built["temperature"] = settings.temperature
    if settings.stop:
        built["stopSequences"] = list(settings.stop)
    return {name: value for name, value in built.items() if value is not None}


def _find_budget(facts: Facts) -> int:
    return facts.thinking if isinstance(facts.thinking, int) else 0


def _build_thinking(dialect: Dialect) -> dict[str, Any]:
    thinking = dialect.facts.thinking
    if thinking is None or thinking == "auto":
        return {}
    if isinstance(thinking, int):
        return {"thinking": {"type": "enabled", "budget_tokens": thinking}}
    return {"thinking": {"type": "disabled" if thinking == "off" else thinking}}


def _build_output(request: ModelRequest, dialect: Dialect, system: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the configuration of the output; a schema beyond the service's subset goes into the system prompt."""
    output: dict[str, Any] = {"effort": dialect.facts.effort} if dialect.facts.effort else {}
    if request.output is not None:
        schema = fit_schema(request.output)
        if schema is None:
            system.append({"text": _ANSWER + msgspec.json.encode(request.output).decode()})
        else:
            text = msgspec.json.encode(schema).decode()
            output["textFormat"] = {
                "type": "json_schema",
                "structure": {"jsonSchema": {"schema": text, "name": "answer"}},
            }
    return output


def _build_tools(
    request: ModelRequest, bodies: Sequence[Mapping[str, Any]], names: Mapping[str, str], facts: Facts
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the tools and the choice among them; both are empty if the request may not have a `toolConfig`.

    The service refuses an empty list, and a conversation with calls or results without the tools. So a conversation
    that is continued without tools declares the tools of its calls, and one without any calls declares none.
    """
    stubs = _list_called(bodies)
    if not request.tools or (request.tool_choice == "none" and not stubs):
        return [_wrap_tool({"name": name, "inputSchema": {"json": {"type": "object"}}}) for name in stubs], {}
    tools = [_build_tool(tool, names.get(tool.name, tool.name)) for tool in request.tools]
    choice = request.tool_choice
    thinks = facts.thinking == "adaptive" or _find_budget(facts)
    if choice in ("auto", "none") or facts.forced_tools is not True or thinks:
        return tools, {}
    return tools, {"any": {}} if choice == "required" else {"tool": {"name": names.get(choice, choice)}}


def _build_tool(tool: Tool, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": name}
    # The service refuses a blank description.
    if tool.description.strip():
        spec["description"] = tool.description
    return _wrap_tool({**spec, "inputSchema": {"json": tool.parameters}})


def _wrap_tool(spec: dict[str, Any]) -> dict[str, Any]:
    return {"toolSpec": spec}


def _list_called(bodies: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the tools that were called in the conversation, in order."""
    blocks = (block for body in bodies for block in body["content"] if isinstance(block, Mapping))
    calls = (block["toolUse"] for block in blocks if isinstance(block.get("toolUse"), Mapping))
    return list(dict.fromkeys(str(call["name"]) for call in calls))


def _say_choice(request: ModelRequest, has_tools: bool, choice: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return the choice in words, for a model that cannot be forced; empty if nothing is to be said."""
    asked = request.tool_choice
    if has_tools and (asked == "none" or not request.tools):
        return "Answer without calling a tool."
    if not request.tools or asked in ("auto", "none") or choice:
        return ""
    return "Call one of your tools now." if asked == "required" else f"Call the tool {names.get(asked, asked)} now."


def _ask(bodies: list[dict[str, Any]], wish: str) -> None:
    if bodies and bodies[-1]["role"] == "user":
        bodies[-1]["content"].append({"text": wish})
    else:
        bodies.append({"role": "user", "content": [{"text": wish}]})


def _find_places(request: ModelRequest, ends: Mapping[int, tuple[list[Any], int]]) -> list[tuple[list[Any], int]]:
    """Return the places in the conversation to mark, the last first: a mark moves the blocks behind it."""
    return [ends[at] for at in reversed(cache_marks(request.messages)) if at in ends]


def _mark_prefixes(tools: list[Any], system: list[Any], places: Sequence[tuple[list[Any], int]], cache: str) -> None:
    """Mark the end of each prefix to cache: the tools, the system prompt, and two places of the conversation.

    Models allow four marks.
    """
    point = {"type": "default"} if cache == "5m" else {"type": "default", "ttl": cache}
    for blocks in (tools, system):
        if blocks:
            blocks.append({"cachePoint": point})
    for content, end in places:
        content.insert(end, {"cachePoint": point})


class _Conversation:
    """Renders the messages of a conversation as blocks of the format.

    Results of tools are blocks of the user's next message. Messages of one role in a row are joined, because the
    service wants the roles in turn. Blank texts and empty messages are left out: the service refuses both.
    """

    def __init__(self, names: Mapping[str, str], dialect: Dialect) -> None:
        self._names = names
        self._dialect = dialect
        self._parts = PartBuilder()
        self._bodies: list[dict[str, Any]] = []

    def render(
        self, messages: Sequence[Message]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[int, tuple[list[Any], int]]]:
        """Return the blocks of the system prompt, the messages, and the end of each message that can have a mark.

        An end is a list of blocks and the index behind the last block of the message. Answers have no marks.
        """
        system: list[dict[str, Any]] = []
        ends: dict[int, tuple[list[Any], int]] = {}
        for at, message in enumerate(messages):
            if message.role == "system":
                system += self._build_system(message)
            elif message.role == "assistant":
                self._add("assistant", self._build_answer(message))
            else:
                blocks = [self._build_result(message)] if message.role == "tool" else self._build_question(message)
                if blocks:
                    content = self._add("user", blocks)
                    ends[at] = content, len(content)
        if self._bodies and self._bodies[0]["role"] == "assistant":
            self._bodies.insert(0, {"role": "user", "content": [{"text": LEFT_OUT}]})
        return system, self._bodies, ends

    def _add(self, role: str, blocks: Sequence[Any]) -> list[Any]:
        """Add the blocks to the last message of this role, or begin one; return all of its blocks."""
        if self._bodies and self._bodies[-1]["role"] == role:
            self._bodies[-1]["content"] += blocks
        elif blocks:
            self._bodies.append({"role": role, "content": list(blocks)})
        return self._bodies[-1]["content"] if self._bodies else []

    def _build_system(self, message: Message) -> list[dict[str, Any]]:
        if message.media:
            raise _refuse_media(message)
        return self._parts.build(message.content)

    def _build_question(self, message: Message) -> list[dict[str, Any]]:
        blocks = self._parts.build(message.content)
        if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
            # The service wants words beside a document.
            blocks.append({"text": "See the document."})
        return blocks

    def _build_answer(self, message: Message) -> list[Any]:
        """Return an earlier answer: the model's own blocks if the model wrote them and they are unchanged."""
        data = native_for(message, self._dialect.service)
        if data is not None:
            sealed = _SEALED.decode(data)
            # Another model cannot read the thinking, and may refuse the signatures.
            if sealed.model == self._dialect.model:
                return list(msgspec.json.decode(sealed.content))
        if message.media:
            raise _refuse_media(message)
        blocks: list[dict[str, Any]] = [{"text": message.text}] if message.text.strip() else []
        return blocks + [_build_call(call, self._names.get(call.name, call.name)) for call in message.tool_calls]

    def _build_result(self, message: Message) -> dict[str, Any]:
        blocks = self._parts.build(message.content) or [{"text": _EMPTY_RESULT}]
        return {"toolResult": {"toolUseId": _make_id(message.tool_call_id or ""), "content": blocks}}


def _refuse_media(message: Message) -> UsageError:
    return UsageError(
        f"a message of the role {message.role} holds {described(message.media[0])}",
        hint="In this format, only messages of the user and results of tools can hold media.",
    )


def _build_call(call: ToolCall, name: str) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": _make_id(call.id), "name": name, "input": _read_arguments(call.arguments)}}


def _read_arguments(arguments: str) -> Any:
    """Return the arguments as an object, which the service demands even of a call with broken arguments."""
    try:
        if isinstance(msgspec.json.decode(arguments), dict):
            return msgspec.Raw(arguments.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    value = read_json(arguments.encode("utf-8", "surrogatepass"))
    return mend_value(value) if isinstance(value, dict) else {}


@functools.lru_cache(maxsize=1_000)
def _make_id(id_: str) -> str:
    """Return an id that the service allows: the same id, or for the ids of some other services a digest."""
    if _ID.fullmatch(id_):
        return id_
    return f"tooluse_{hashlib.sha256(id_.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"
