"""The plugin `sqlite`: memory and knowledge in an SQLite file.

`sqlite:///agents.db` is relative, `sqlite:////var/lib/agents.db` absolute. The module `memory` has the options of the
URL. Imports nothing slow: SQLite and the code around it come with the first file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agno_rt.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from agno_rt.defaults.sqlite.memory import BUSY_SECONDS as BUSY_SECONDS
    from agno_rt.defaults.sqlite.memory import SCHEMA_VERSION as SCHEMA_VERSION
    from agno_rt.defaults.sqlite.memory import SQLiteMemory as SQLiteMemory
    from agno_rt.upkeep.bounds import Retention as Retention

__all__ = [
    "BUSY_SECONDS",
    "SCHEMA_VERSION",
    "Retention",
    "SQLiteMemory",
    "agno_rt_register_knowledge",
    "agno_rt_register_memory",
]

_LAZY = ("BUSY_SECONDS", "SCHEMA_VERSION", "Retention", "SQLiteMemory")


def _make_memory(url: str, settings: Mapping[str, Any]) -> SQLiteMemory:
    from agno_rt.defaults.sqlite.memory import make_sqlite_memory

    return make_sqlite_memory(url)


def _make_knowledge(url: str, settings: Mapping[str, Any]) -> Any:
    from agno_rt.defaults.sqlite.knowledge import make_sqlite_knowledge

    return make_sqlite_knowledge(url, settings)


@hookimpl
def agno_rt_register_memory(register: Register) -> None:
    """Offer `sqlite:///FILE`."""
    register("sqlite", _make_memory, help="Sessions, runs and facts in an SQLite file.")


@hookimpl
def agno_rt_register_knowledge(register: Register) -> None:
    """Offer `sqlite:///FILE`."""
    register("sqlite", _make_knowledge, help="Documents in an SQLite file, searched by words and by vectors.")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from agno_rt.defaults.sqlite import memory

        return getattr(memory, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
