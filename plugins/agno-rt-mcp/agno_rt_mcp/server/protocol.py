"""The server of the protocol's SDK, for both eras: lists the offered tools and skills, and hands calls on.

The SDK's low-level server runs under trio, checks every message against the schemas of both eras, and cancels the task
of a request whose client gives up. So the state of the protocol is the SDK's; that of the runs is the runtime's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from agno_rt import AgnoError, Runnable, Runtime
from agno_rt.access import Access
from agno_rt_mcp.server.answers import RESUME
from agno_rt_mcp.server.calls import Calls
from agno_rt_mcp.server.exchange import Exchange
from agno_rt_mcp.server.offers import Offer, Offers
from agno_rt_mcp.server.settings import ServeSettings
from agno_rt_mcp.server.skills import SkillOffers
from agno_rt_mcp.server.tasks import EXTENSION, TaskParams, Tasks

__all__ = ["make_server"]

log = logging.getLogger("agno_rt_mcp.server")

_FRESH = 60_000  # milliseconds for which a client may keep a list
_LISTS: Final = ("tools/list", "prompts/list", "resources/list")

_RESUME_TOOL = types.Tool(
    name=RESUME,
    title="Resume a run",
    description="Go on with a run that was paused for a person's decision, and return its result. Use it after the "
    "person has decided, with the id that the paused call returned.",
    input_schema={
        "type": "object",
        "properties": {"run": {"type": "string", "description": "The run's id."}},
        "required": ["run"],
        "additionalProperties": False,
    },
)


class _Server(Server[Any]):
    """The SDK's server, with the capabilities of tasks."""

    def get_capabilities(
        self, *args: Any, protocol_version: str | None = None, **more: Any
    ) -> types.ServerCapabilities:
        """Return the capabilities for the era."""
        found = super().get_capabilities(*args, protocol_version=protocol_version, **more)
        if protocol_version in MODERN_PROTOCOL_VERSIONS:
            return found.model_copy(update={"extensions": {**(found.extensions or {}), EXTENSION: {}}})
        calls = types.TasksToolsCapability(call=types.TasksCallCapability())
        requests = types.ServerTasksRequestsCapability(tools=calls)
        tasks = types.ServerTasksCapability(cancel=types.TasksCancelCapability(), requests=requests)
        return found.model_copy(update={"tasks": tasks})


def make_server(
    runtime: Runtime, runnables: Mapping[str, Runnable], settings: ServeSettings, local: Access
) -> tuple[Server[Any], Tasks]:
    """Return the server for the project's runnables, and its tasks; `local` is the access of a client over stdio.

    Raises `ConfigError` and `NotFound` for the settings.
    """
    offers = Offers(runtime, runnables, settings)
    calls = Calls(runtime, offers, local)

    async def list_tools(context: ServerRequestContext[Any, Any], params: Any) -> types.ListToolsResult:
        exchange = Exchange(context, local)
        try:
            found = await offers.list(exchange.access)
        except AgnoError as exc:
            log.warning("the tools cannot be listed: %s", exc.full_text)
            raise
        tools = [_describe_tool(offer, exchange) for offer in found]
        if exchange.access.can_return and not exchange.has_forms and RESUME not in {each.name for each in tools}:
            tools.append(_RESUME_TOOL)
        return types.ListToolsResult(tools=tools)

    tasks = Tasks(runtime, offers, calls, local, settings.task_after)
    server = _Server(
        settings.name,
        version=version("agno-rt"),
        instructions=settings.instructions or None,
        on_list_tools=list_tools,
        on_call_tool=calls.call,
        cache_hints=dict.fromkeys(_LISTS, CacheHint(ttl_ms=_FRESH, scope="private")),
    )
    if settings.skills:
        SkillOffers(settings.skills).add_to(server)
    server.middleware.append(tasks.intercept)
    for method in ("get", "result", "update", "cancel"):
        server.add_request_handler(f"tasks/{method}", TaskParams, getattr(tasks, method))
    return server, tasks


def _describe_tool(offer: Offer, exchange: Exchange) -> types.Tool:
    said = {
        "read_only_hint": offer.read_only,
        "destructive_hint": offer.destructive,
        "idempotent_hint": offer.idempotent,
        "open_world_hint": offer.open_world,
    }
    known = {name: value for name, value in said.items() if value is not None}
    return types.Tool(
        name=offer.name,
        title=offer.title,
        description=offer.description,
        input_schema=dict(offer.input_schema),
        output_schema=None if offer.output_schema is None else dict(offer.output_schema),
        annotations=types.ToolAnnotations(**known) if known else None,  # type: ignore[arg-type]  # flags
        execution=None if exchange.is_modern else types.ToolExecution(task_support="optional"),
    )
