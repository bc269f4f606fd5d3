"""The services that ship, by name. A service's module is imported when a toolkit of the service is made."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from agno_rt.errors import AgnoError, NotFound, UsageError
from agno_rt.readiness import Finding
from agno_rt.tools import Toolkit
from agno_rt_services.service import PLUGIN, Definition
from agno_rt_services.toolkit import make_toolkit, read_table

__all__ = ["MAIL", "NAMES", "check_tables", "find_definition", "make_named"]

NAMES = ("airflow", "bitbucket", "claude", "confluence", "github", "gmail", "googlesheets", "jira", "slack")
MAIL = "email"
"""The name of the toolkit for SMTP, which is not behind HTTP."""


def find_definition(name: str) -> Definition:
    """Return the service of the name. Raises `NotFound`."""
    if name not in NAMES:
        raise NotFound("service", name, (*NAMES, MAIL))
    found: Definition = importlib.import_module(f"agno_rt_services.{name}").SERVICE
    return found


def make_named(name: str, rest: str, settings: Mapping[str, Any]) -> Toolkit:
    """Return the toolkit of a spec; `settings` is the table `[plugins.services]`. Raises `ConfigError`."""
    if rest:
        hint = f"Write {PLUGIN}:{name}; its settings are in [plugins.{PLUGIN}.{name}]."
        raise UsageError(f"{PLUGIN}:{name}:{rest} has a part too many", hint=hint)
    table = settings.get(name, {})
    if name == MAIL:
        from agno_rt_services.mail import make_mail_toolkit

        return make_mail_toolkit(table)
    return make_toolkit(find_definition(name), table)


def check_tables(settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding for each table of settings that cannot be used, and for each missing key."""
    for name, table in settings.items():
        try:
            _check_table(name, table)
        except AgnoError as exc:
            yield Finding("warning", f"[plugins.{PLUGIN}.{name}]: {exc.message}", exc.hint)


def _check_table(name: str, table: Mapping[str, Any]) -> None:
    """Raise the error of a table, or of its missing key."""
    if name == MAIL:
        from agno_rt_services.mail import check_mail, read_mail_table

        check_mail(read_mail_table(table))()
        return
    definition = find_definition(name)
    settings = read_table(definition, table)
    settings.check_files()
    definition.access(definition, settings).check_ready()
