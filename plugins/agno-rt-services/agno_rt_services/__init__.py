"""The plugin `services`: tools for services with an account, such as Jira and Airflow.

Imports nothing slow: a service's code comes with its first toolkit, and the HTTP client with the first call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt.readiness import Finding
    from agno_rt.tools import Toolkit
    from agno_rt_services.errors import ServiceError as ServiceError
    from agno_rt_services.service import Definition as Definition
    from agno_rt_services.service import Service as Service
    from agno_rt_services.settings import ServiceSettings as ServiceSettings
    from agno_rt_services.toolkit import make_toolkit as make_toolkit

__all__ = [
    "Definition",
    "Service",
    "ServiceError",
    "ServiceSettings",
    "agno_rt_examine",
    "agno_rt_register_tools",
    "make_toolkit",
]

_HELP = {
    "airflow": "List DAGs of Apache Airflow, start a run, and ask for its state.",
    "bitbucket": "List workspaces, repositories and pull requests of Bitbucket.",
    "claude": "Let Claude do a task with a skill, in a container of Anthropic.",
    "confluence": "List spaces, search pages and read pages of Confluence.",
    "email": "Send e-mails by SMTP.",
    "github": "Search and read issues and files of GitHub, open issues, add comments.",
    "gmail": "Search and read messages of Gmail, mark them as read, write and send drafts.",
    "googlesheets": "Read and write ranges of Google Sheets, append rows.",
    "jira": "Search and read issues of Jira, add comments and worklogs.",
    "slack": "List channels of Slack, read and send messages.",
}
_PLACES = {
    "Definition": "service",
    "Service": "service",
    "ServiceError": "errors",
    "ServiceSettings": "settings",
    "make_toolkit": "toolkit",
}


@hookimpl
def agno_rt_register_tools(register: Register) -> None:
    """Offer a toolkit for each service, such as `services:jira`."""
    for name, text in _HELP.items():
        register(name, _make_factory(name), help=text)


@hookimpl
def agno_rt_examine(settings: Mapping[str, Any]) -> Iterable[Finding]:
    """Tell of unusable tables and missing keys."""
    if not settings:
        return ()
    from agno_rt_services.catalog import check_tables

    return list(check_tables(settings))


def _make_factory(name: str) -> Callable[[str, Mapping[str, Any]], Toolkit]:
    def make(rest: str, settings: Mapping[str, Any]) -> Toolkit:
        from agno_rt_services.catalog import make_named

        return make_named(name, rest, settings)

    return make


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        import importlib

        return getattr(importlib.import_module(f"agno_rt_services.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
