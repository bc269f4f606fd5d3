"""A server's prompts: as two tools of a model, and as messages for a run; and completion of their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import mcp_types

from agno_rt.messages import Media, Message
from agno_rt.tools import Tool, tool
from agno_rt_mcp.errors import ServerNonsense
from agno_rt_mcp.link import Using
from agno_rt_mcp.results import describe, read_block
from agno_rt_mcp.settings import ServerSettings, make_prefix

__all__ = ["Completion", "complete", "describe_prompt", "get_prompt", "list_prompts", "make_prompt_tools"]


@attrs.frozen
class Completion:
    """Values for the rest of an argument, at most 100. `total` is the number of all, if known; `has_more` is a hint."""

    values: tuple[str, ...]
    total: int | None = None
    has_more: bool = False


async def list_prompts(using: Using) -> list[Any]:
    """Return the server's prompts; none for a server without prompts. Raises `ServerError`."""
    async with using("the list of prompts") as (client, lists):
        if client.server_capabilities.prompts is None:
            return []
        found: list[Any] = await lists.fetch("prompts", client.list_prompts)
        return found


async def get_prompt(settings: ServerSettings, using: Using, name: str, arguments: Mapping[str, str]) -> list[Message]:
    """Return the messages of a prompt filled in with the arguments. Raises `ServerError`."""
    async with using(name) as (client, _):
        found = await client.get_prompt(name, dict(arguments))
    messages = [_read_message(each) for each in found.messages]
    if not messages:
        raise ServerNonsense(settings.name, f"has no messages in the prompt {name!r}")
    return messages


async def complete(using: Using, where: str, argument: str, value: str, others: Mapping[str, str]) -> Completion:
    """Return values of an argument that begin with `value`; `where` is a prompt or an address with {names}."""
    ref: Any = mcp_types.PromptReference(name=where)
    if "://" in where:
        ref = mcp_types.ResourceTemplateReference(uri=where)
    async with using(where) as (client, _):
        if client.server_capabilities.completions is None:
            return Completion(())
        given = {"name": argument, "value": value}
        found = (await client.complete(ref, given, dict(others) or None)).completion
    return Completion(tuple(found.values[:100]), found.total, bool(found.has_more))


def describe_prompt(prompt: Any) -> dict[str, Any]:
    """Return a prompt's name, description and arguments, for a model or a table."""
    arguments = {each.name: _describe_argument(each) for each in prompt.arguments or ()}
    said = {"name": prompt.name, "description": prompt.description or prompt.title, "arguments": arguments}
    return {key: value for key, value in said.items() if value}


def make_prompt_tools(settings: ServerSettings, using: Using) -> list[Tool]:
    """Return the tools that list and fill in prompts."""
    prefix = make_prefix(settings)

    async def list_all() -> list[dict[str, Any]]:
        return [describe_prompt(each) for each in await list_prompts(using)]

    async def get(name: str, arguments: dict[str, str] | None = None) -> str:
        messages = await get_prompt(settings, using, name, arguments or {})
        return "\n\n".join(f"{each.role}: {describe(_list_parts(each))}" for each in messages)

    about = f"the prompts of {settings.name}"
    return [
        tool(
            list_all,
            name=f"{prefix}list_prompts",
            description=f"List {about}, which are texts for common tasks, with their arguments.",
            timeout=settings.timeout,
            idempotent=True,
            read_only=True,
        ),
        tool(
            get,
            name=f"{prefix}get_prompt",
            description=f"Get one of {about}, filled in with arguments.",
            timeout=settings.timeout,
            idempotent=True,
            read_only=True,
        ),
    ]


def _read_message(message: Any) -> Message:
    parts = read_block(message.content)
    return Message(message.role, parts[0] if len(parts) == 1 and isinstance(parts[0], str) else tuple(parts))


def _list_parts(message: Message) -> list[str | Media]:
    return [message.content] if isinstance(message.content, str) else list(message.content)


def _describe_argument(argument: Any) -> str:
    needed = "required" if argument.required else "optional"
    return f"{argument.description} ({needed})" if argument.description else needed
