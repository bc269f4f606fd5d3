"""The request of AG-UI as values: the conversation, the tools of the client, its context, and answers to interrupts.

Pure. A server that keeps the thread reads the messages after its own last answer; else the whole conversation counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from agno_rt import Message, Runnable, ToolCall
from agno_rt.messages import Content, MediaKind, Part, Role
from agno_rt_serve.api.openai.client_tools import Asked, Function
from agno_rt_serve.api.parts import Accepts, Attached, make
from agno_rt_serve.errors import HttpError

__all__ = ["ResumeEntry", "RunAgentInput", "ThreadMessage", "read_input", "read_tools"]


class _Source(msgspec.Struct, rename="camel", omit_defaults=True):
    type: Literal["data", "url", "file"]
    value: str
    mime_type: str | UnsetType = UNSET
    provider: str | UnsetType = UNSET


class _ContentPart(msgspec.Struct, rename="camel", omit_defaults=True):
    """A part of a message; `data`, `url` and `mime_type` are those of the type `binary` of AG-UI before 1.0."""

    type: str
    text: str | UnsetType = UNSET
    source: _Source | UnsetType = UNSET
    id: str | UnsetType = UNSET
    mime_type: str | UnsetType = UNSET
    data: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    filename: str | UnsetType = UNSET


class _CalledFunction(msgspec.Struct):
    name: str
    arguments: str


class ThreadCall(msgspec.Struct, rename="camel", omit_defaults=True):
    """A call in a message of the assistant."""

    id: str
    function: _CalledFunction
    type: Literal["function"] | UnsetType = UNSET
    encrypted_value: str | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET


class ThreadMessage(msgspec.Struct, rename="camel", omit_defaults=True):
    """A message of the conversation, of any role."""

    id: str
    role: Literal["user", "assistant", "tool", "system", "developer", "reasoning", "activity"]
    content: str | list[_ContentPart] | dict[str, Any] | None = None
    name: str | None = None
    tool_calls: list[ThreadCall] | None = None
    tool_call_id: str | None = None
    error: str | None = None
    activity_type: str | None = None
    encrypted_value: str | None = None
    subagent_run_id: str | None = None
    metadata: dict[str, Any] | None = None


class ClientTool(msgspec.Struct):
    """A tool that the client carries out."""

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None


class ContextItem(msgspec.Struct):
    """A piece of information from the page, for this run."""

    description: str
    value: str


class ResumeEntry(msgspec.Struct, rename="camel"):
    """An answer to an interrupt; `cancelled` denies it."""

    interrupt_id: str
    status: Literal["resolved", "cancelled"]
    payload: Any = UNSET


class RunAgentInput(msgspec.Struct, rename="camel"):
    """The body of a run's request. `thread_id` is the session, and `run_id` the client's name for the run.

    `state` is the first state of a declared workflow. `resume` answers the interrupts of the thread's paused run, which
    then goes on. `forwarded_props` are accepted, and not used.
    """

    thread_id: str
    run_id: str
    messages: list[ThreadMessage]
    protocol_version: str | None = None
    parent_run_id: str | None = None
    state: Any = None
    tools: list[ClientTool] | None = None
    context: list[ContextItem] | None = None
    forwarded_props: Any = None
    resume: list[ResumeEntry] | None = None


_KINDS: dict[str, MediaKind] = {"image": "image", "audio": "audio", "video": "video", "document": "file"}
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}


def read_tools(asked: RunAgentInput) -> Asked:
    """Return the client's tools."""
    tools = asked.tools or []
    functions = [Function(each.name, each.description, each.parameters) for each in tools]
    return Asked(functions, [(f"tools[{at}]", f"tools[{at}]") for at in range(len(tools))])


def read_input(
    asked: RunAgentInput, runnable: Runnable, accepts: Accepts, *, known: bool
) -> list[Message] | list[Part]:
    """Return the input of the run; `known` says whether the server keeps the thread.

    An agent or a team gets messages, a workflow the content of the last message. Raises `HttpError` 400 or 413 that
    names the part and the fault.
    """
    if runnable.kind == "workflow":
        return _read_last(asked, accepts)
    messages = _convert_all(asked.messages, accepts)
    if known:
        begin = _find_news(messages)
        messages = [each for at, each in enumerate(messages) if at >= begin or each.role == "system"]
    if not any(each.role != "system" for each in messages) or messages[-1].role == "assistant":
        hint = "Add a message of the user, or the results of tools; or answer interrupts with `resume`."
        raise HttpError(400, "invalid_body", "there is no new message to answer", hint)
    if asked.context:
        about = "\n\n".join(f"{each.description}:\n{each.value}" for each in asked.context)
        messages.insert(0, Message("system", f"The user's page tells:\n\n{about}"))
    return messages


def _find_news(messages: Sequence[Message]) -> int:
    """Return the index of the first message that the server does not have: behind its last answer.

    The results of the client's tools come with the message that called them. The session has its text already.
    """
    last = max((at for at, each in enumerate(messages) if each.role == "assistant"), default=-1)
    if last < 0 or not messages[last].tool_calls or last + 1 == len(messages):
        return last + 1
    assert isinstance(messages, list)
    messages[last] = Message("assistant", "", messages[last].tool_calls)
    return last


def _read_last(asked: RunAgentInput, accepts: Accepts) -> list[Part]:
    for name in ("tools", "context"):
        if getattr(asked, name):
            raise HttpError(400, "invalid_body", f"a workflow takes no {name}", f"Leave `{name}` out.")
    for at, message in reversed(list(enumerate(asked.messages))):
        if message.role == "user":
            content = _convert_content(message.content, f"messages[{at}].content", accepts)
            return [content] if isinstance(content, str) else list(content)
    raise HttpError(400, "invalid_body", "there is no message of the user", "Add one to `messages`.")


def _convert_all(given: Sequence[ThreadMessage], accepts: Accepts) -> list[Message]:
    """Return the conversation between the user and the agent: without reasoning, activities, and the subagents' part.

    A call without a result, as of an interrupted run, is left out.
    """
    results = {each.tool_call_id: (at, each) for at, each in enumerate(given) if each.role == "tool"}
    made: list[Message] = []
    for at, message in enumerate(given):
        role = _ROLES.get(message.role)
        if role is None or message.subagent_run_id is not None:
            continue
        content = _convert_content(message.content, f"messages[{at}].content", accepts)
        if role != "user" and not isinstance(content, str):
            hint = "Send media in messages of the user."
            raise HttpError(400, "invalid_body", f"messages[{at}] has the role {role!r} and holds media", hint)
        answered = [each for each in message.tool_calls or () if each.id in results and role == "assistant"]
        calls = tuple(ToolCall(each.id, each.function.name, each.function.arguments) for each in answered)
        if content or calls:
            made.append(Message(role, content, calls, None, message.name if role == "user" else None))
        for call in calls:
            place, result = results[call.id]
            where = f"messages[{place}].content"
            text = _convert_content(result.content, where, accepts) or result.error or ""
            made.append(Message("tool", text, (), call.id, call.name))
    return made


def _convert_content(content: Any, where: str, accepts: Accepts) -> Content:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, dict):
        raise HttpError(400, "invalid_body", f"{where} is an object", "Send text, or a list of parts.")
    parts = tuple(_convert_part(part, f"{where}[{at}]", accepts) for at, part in enumerate(content))
    return "".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else parts


def _convert_part(part: _ContentPart, where: str, accepts: Accepts) -> Part:
    if part.type == "text" and isinstance(part.text, str):
        return part.text
    attached = _attach_binary(part) if part.type == "binary" else _attach_source(part)
    if attached is None:
        hint = "A part is text, or an image, audio, video or document with a source of type data or url."
        raise HttpError(
            400, "invalid_body", f"{where} is of type {part.type!r}, or lacks the content of its type", hint
        )
    try:
        return make(attached, accepts)
    except HttpError as exc:
        raise HttpError(exc.status, exc.code, f"{where} {exc.message}", exc.hint) from exc


def _attach_source(part: _ContentPart) -> Attached | None:
    kind, source = _KINDS.get(part.type), part.source
    if kind is None or isinstance(source, UnsetType) or source.type == "file":
        return None
    media_type = source.mime_type or None
    if source.type == "url":
        return Attached(kind, url=source.value, media_type=media_type)
    return Attached(kind, source.value, media_type=media_type)


def _attach_binary(part: _ContentPart) -> Attached | None:
    """Return a part of the type `binary`, which clients sent before AG-UI 1.0."""
    media_type = part.mime_type or ""
    kind = _KINDS.get(media_type.partition("/")[0], "file")
    data, url, name = part.data or None, part.url or None, part.filename or None
    return Attached(kind, data, url, media_type or None, name) if data or url else None
