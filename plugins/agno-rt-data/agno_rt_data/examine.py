"""Findings for `agno-rt doctor`: wrong settings, and databases that cannot be used. Connects to nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agno_rt.errors import AgnoError
from agno_rt.readiness import Finding
from agno_rt_data.settings import find_database, read_data_settings
from agno_rt_data.sql_toolkit import make_database

__all__ = ["check_settings"]


def check_settings(settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding for wrong settings, and for each database with a wrong table, variable, file or driver."""
    try:
        limits = read_data_settings(settings)
    except AgnoError as exc:
        yield Finding("error", exc.message, exc.hint)
        return
    for name in sorted(limits.databases):
        try:
            make_database(find_database(name, settings), limits)
        except AgnoError as exc:
            # Agents may not need the database, and so this is a warning.
            yield Finding("warning", f"the database {name!r}: {exc.message}", exc.hint)
