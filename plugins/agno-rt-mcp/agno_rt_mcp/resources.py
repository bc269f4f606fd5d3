"""A server's resources as two tools of a model."""

from __future__ import annotations

from typing import Any

from agno_rt.messages import Media
from agno_rt.tools import Tool, tool
from agno_rt_mcp.link import Using
from agno_rt_mcp.results import read_resource
from agno_rt_mcp.settings import ServerSettings, make_prefix

__all__ = ["make_resource_tools"]


def make_resource_tools(settings: ServerSettings, using: Using) -> list[Tool]:
    """Return the tools that list and read the resources."""
    prefix = make_prefix(settings)

    async def list_resources() -> list[dict[str, str]]:
        async with using("the list of resources") as (client, lists):
            found = await lists.fetch("resources", client.list_resources)
            templates = await lists.fetch("resource_templates", client.list_resource_templates)
        return [
            *(_describe_resource(each, str(each.uri)) for each in found),
            *(_describe_resource(each, each.uri_template) for each in templates),
        ]

    async def read(uri: str) -> list[str | Media]:
        async with using(uri) as (client, _):
            result = await client.read_resource(uri)
        return [part for content in result.contents for part in read_resource(content)]

    about = f"the resources of {settings.name}"
    return [
        tool(
            list_resources,
            name=f"{prefix}list_resources",
            description=f"List {about}: addresses, and templates of addresses with {{names}} to fill in.",
            timeout=settings.timeout,
            idempotent=True,
            read_only=True,
        ),
        tool(
            read,
            name=f"{prefix}read_resource",
            description=f"Read one of {about} by the address.",
            timeout=settings.timeout,
            idempotent=True,
            read_only=True,
        ),
    ]


def _describe_resource(resource: Any, uri: str) -> dict[str, str]:
    said = {"uri": uri, "name": resource.title or resource.name, "description": resource.description}
    return {key: text for key, text in said.items() if text}
