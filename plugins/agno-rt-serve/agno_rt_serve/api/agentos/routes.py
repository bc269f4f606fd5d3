"""All routes of AgentOS, under the prefix."""

from __future__ import annotations

from agno_rt_serve.api.agentos.agents import AgentOSAgents
from agno_rt_serve.api.agentos.knowledge import AgentOSKnowledge
from agno_rt_serve.api.agentos.sessions import AgentOSSessions
from agno_rt_serve.api.routing import Route
from agno_rt_serve.api.site import Site

__all__ = ["AgentOS"]


class AgentOS:
    """The resources of AgentOS, if the setting `agentos` has a prefix."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes, none without a prefix."""
        prefix = self._site.settings.agentos.rstrip("/")
        if not prefix:
            return []
        return [
            route
            for resource in (AgentOSAgents, AgentOSSessions, AgentOSKnowledge)
            for route in resource(self._site, prefix).routes()
        ]
