"""Makes the toolkit of a service: opened with the first run that needs it, closed with the runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from agno_rt.config import read_settings
from agno_rt.errors import NotFound
from agno_rt.http_client.tables import no_address_error
from agno_rt.tools import Tool, Toolkit
from agno_rt_services.service import PLUGIN, Definition, Service
from agno_rt_services.settings import ServiceSettings

__all__ = ["make_toolkit", "read_table"]

CLOSE_SECONDS = 5.0


def make_toolkit(definition: Definition, table: Mapping[str, Any] | ServiceSettings | None = None) -> Toolkit:
    """Return the toolkit of a service, from its table of settings.

    Raises `ConfigError` for an unusable table, and `NotFound` for an unknown tool in `only`.
    """
    settings = table if isinstance(table, ServiceSettings) else read_table(definition, table or {})
    # Made once ahead, to find a wrong name before the first run.
    choose_tools(Service(definition, settings), definition)

    @asynccontextmanager
    async def open_service() -> AsyncIterator[Sequence[Tool]]:
        service = Service(definition, settings)
        try:
            yield choose_tools(service, definition)
        finally:
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                await service.aclose()

    return Toolkit(f"{PLUGIN}:{definition.name}", open=open_service)


def read_table(definition: Definition, table: Mapping[str, Any]) -> ServiceSettings:
    """Return the settings of a service's table. Raises `ConfigError`."""
    where = f"plugins.{PLUGIN}.{definition.name}"
    if definition.address and "base_url" not in table:
        raise no_address_error(where, f'"{definition.address}"')
    return read_settings(definition.settings, table, f"[{where}]")


def choose_tools(service: Service, definition: Definition) -> list[Tool]:
    """Return the tools that the settings keep. Raises `NotFound` for an unknown name in `only`."""
    tools = list(definition.make_tools(service))
    names = [tool.name for tool in tools]
    for name in service.settings.only:
        if name not in names:
            raise NotFound("tool", name, names, where=f"in only of [plugins.{PLUGIN}.{definition.name}]")
    if service.settings.only:
        tools = [tool for tool in tools if tool.name in service.settings.only]
    if service.settings.read_only:
        tools = [tool for tool in tools if tool.read_only]
    # One tool reports a missing key for all.
    return [attrs.evolve(tool, check_ready=service.check_ready) if tool is tools[0] else tool for tool in tools]
