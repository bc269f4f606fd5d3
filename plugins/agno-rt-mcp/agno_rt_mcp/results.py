"""Turns a server's tools into tools, and results into content for the model."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

import attrs
import msgspec

from agno_rt import media
from agno_rt.context import RunContext
from agno_rt.errors import UsageError
from agno_rt.messages import Media
from agno_rt.tools import Tool, ToolArgumentError, ToolLimits, tool
from agno_rt_mcp.errors import ToolFailed
from agno_rt_mcp.settings import ServerSettings

__all__ = ["McpTool", "describe", "make_tools", "read_block", "read_resource", "read_result"]

Call: TypeAlias = Callable[[str, dict[str, Any], RunContext[Any] | None], Awaitable[Any]]
"""Calls a tool by the server's name, for a run or for nobody."""


@tool
async def _need_context(agno_rt_context: RunContext[Any]) -> None:
    """Show a tool's parameter for the run."""


@attrs.define(eq=False)
class McpTool(Tool):
    """A tool of a server.

    Attributes:
        server: the server's name in the settings
        original: the tool's name on the server
        title: the name for people
        output_schema: the JSON Schema of structured results, if the server declares one
        repeatable, open_world: hints of the server, as `read_only` and `destructive`, which may be wrong; None without
            a hint
    """

    server: str = ""
    original: str = ""
    title: str = ""
    output_schema: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    repeatable: bool | None = None
    open_world: bool | None = None


def make_tools(settings: ServerSettings, listed: Iterable[Any], call: Call) -> list[McpTool]:
    """Return the allowed tools, sorted by name, so that the requests of all runs begin alike."""
    allowed = [each for each in listed if not settings.allow or each.name in settings.allow]
    return [_make_tool(settings, each, call) for each in sorted(allowed, key=lambda each: str(each.name))]


def _make_tool(settings: ServerSettings, listed: Any, call: Call) -> McpTool:
    original = listed.name
    name = settings.rename.get(original) or f"{settings.prefix}{original}"
    said = listed.annotations
    read_only = None if said is None else said.read_only_hint
    destructive = None if said is None else said.destructive_hint
    repeatable = None if said is None else said.idempotent_hint

    # Arguments have any names, and so the parameter for the run has an unlikely name.
    async def call_server(agno_rt_context: RunContext[Any] | None = None, /, **arguments: Any) -> Any:
        return await call(original, arguments, arguments.pop("agno_rt_context", agno_rt_context))

    return McpTool(
        name=name,
        description=listed.description or listed.title or "",
        parameters={"type": "object"} | listed.input_schema,
        function=call_server,
        decode=functools.partial(_decode_arguments, name),
        is_async=True,
        injected=_need_context.injected,
        limits=ToolLimits(timeout=settings.timeout),
        approve=_must_ask(settings, read_only, destructive),
        idempotent=bool(read_only or repeatable),
        server=settings.name,
        original=original,
        title=listed.title or (said.title if said is not None else None) or "",
        output_schema=listed.output_schema,
        read_only=read_only,
        destructive=destructive,
        repeatable=repeatable,
        open_world=None if said is None else said.open_world_hint,
    )


def _must_ask(settings: ServerSettings, read_only: bool | None, destructive: bool | None) -> bool:
    match settings.approve:
        case "always":
            return True
        case "writes":
            return not read_only
        case "declared":
            return bool(destructive) and not read_only
    return False


def _decode_arguments(name: str, text: str) -> dict[str, Any]:
    """Return the arguments. The server knows its schema, and checks them."""
    try:
        found = msgspec.json.decode(text) if text.strip() else {}
    except msgspec.MsgspecError as exc:
        raise ToolArgumentError(f"The arguments of {name} are not JSON: {exc}") from exc
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ToolArgumentError(f"The arguments of {name} are not a JSON object.")
    return found


def read_result(result: Any) -> Any:
    """Return a result as text, media, a list of both, or JSON. Raises `ToolFailed` for a failure of the tool."""
    parts = [part for block in result.content for part in read_block(block)]
    if result.is_error:
        raise ToolFailed(describe(parts) or "the tool failed, and did not say why")
    if result.structured_content is not None and not _says_the_same(parts, result.structured_content):
        parts.append(msgspec.json.encode(result.structured_content).decode())
    return parts[0] if len(parts) == 1 else parts or ""


def describe(parts: Iterable[str | Media]) -> str:
    """Return the texts, with a description in place of each medium."""
    return "\n".join(part if isinstance(part, str) else media.described(part) for part in parts)


def _says_the_same(parts: list[str | Media], structured: Any) -> bool:
    """Return whether a text is the structured content, as servers write it for older clients."""
    wrapped = structured.get("result") if isinstance(structured, dict) and structured.keys() == {"result"} else None
    texts = [part for part in parts if isinstance(part, str)]
    if isinstance(wrapped, str) and wrapped in texts:
        return True
    if isinstance(wrapped, list) and texts == [_as_text(each) for each in wrapped]:
        return True
    for text in texts:
        try:
            found = msgspec.json.decode(text)
        except msgspec.MsgspecError:
            continue
        if found == structured or (wrapped is not None and found == wrapped):
            return True
    return False


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def read_block(block: Any) -> list[str | Media]:
    """Return a block of content as texts and media."""
    match block.type:
        case "text":
            return [block.text]
        case "image" | "audio":
            return [_make_media(block.data, block.mime_type, block.type)]
        case "resource_link":
            about = f": {block.description}" if block.description else ""
            return [f"[{block.title or block.name}]({block.uri}){about}"]
        case "resource":
            return read_resource(block.resource)
    return [f"[content of the unknown type {block.type}]"]


def read_resource(resource: Any) -> list[str | Media]:
    """Return the address of a resource with the text, or with the bytes as a medium."""
    if (text := getattr(resource, "text", None)) is not None:
        return [f"{resource.uri}:\n{text}"]
    return [str(resource.uri), _make_media(resource.blob, resource.mime_type, "file")]


def _make_media(data: str, media_type: str | None, kind: str) -> str | Media:
    """Return the medium, or a text about the fault: the other parts of the result are well."""
    make = {"image": media.image, "audio": media.audio}.get(kind, media.attachment)
    try:
        return make(base64.b64decode(data, validate=True), media_type=media_type)
    except (UsageError, binascii.Error) as exc:
        return f"[{kind} that cannot be read: {exc}]"
