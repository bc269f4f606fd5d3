"""The plugin `postgres`: memory in PostgreSQL, `postgresql://USER@HOST/DATABASE`, shared by processes and hosts.

Imports nothing slow: psycopg comes with the first backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt_postgres.knowledge import PostgresKnowledge as PostgresKnowledge
    from agno_rt_postgres.memory import PostgresMemory as PostgresMemory

__all__ = ["PostgresKnowledge", "PostgresMemory", "agno_rt_register_knowledge", "agno_rt_register_memory"]


@hookimpl
def agno_rt_register_memory(register: Register) -> None:
    """Offer `postgresql://...` and `postgres://...`."""
    for scheme in ("postgresql", "postgres"):
        register(scheme, _make_memory, help="Sessions, runs and facts in a PostgreSQL database.")


@hookimpl
def agno_rt_register_knowledge(register: Register) -> None:
    """Offer the same URLs for knowledge."""
    for scheme in ("postgresql", "postgres"):
        register(scheme, _make_knowledge, help="Documents in a PostgreSQL database with pgvector.")


def _make_knowledge(url: str, settings: Mapping[str, Any]) -> PostgresKnowledge:
    from agno_rt_postgres.knowledge import PostgresKnowledge
    from agno_rt_postgres.urls import parse_url

    return PostgresKnowledge(parse_url(url))


def _make_memory(url: str, settings: Mapping[str, Any]) -> PostgresMemory:
    from agno_rt_postgres.memory import PostgresMemory
    from agno_rt_postgres.urls import parse_url

    return PostgresMemory(parse_url(url))


def __getattr__(name: str) -> Any:
    if name == "PostgresMemory":
        from agno_rt_postgres.memory import PostgresMemory

        return PostgresMemory
    if name == "PostgresKnowledge":
        from agno_rt_postgres.knowledge import PostgresKnowledge

        return PostgresKnowledge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
