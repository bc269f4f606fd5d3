"""Knowledge of agno-rt.toml for agents: the context provider `knowledge:NAME`, of the table `[knowledge.NAME]`.

`knowledge:NAME` gives the model a tool to search with; `knowledge:NAME:before` shows the model fitting passages before
the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agno_rt.errors import NotFound, UsageError
from agno_rt.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from agno_rt.library.providers import KnowledgeContext

__all__ = ["agno_rt_register_context"]


def _make_context(rest: str, settings: Mapping[str, Any]) -> KnowledgeContext:
    from agno_rt.library.providers import KnowledgeContext  # not needed to list plugins

    name, _, way = rest.partition(":")
    if name not in settings:
        hint = "" if settings else f"Describe it in agno-rt.toml: [knowledge.{name}] with store = 'sqlite:///kb.db'."
        raise NotFound("knowledge", name, settings, hint=hint)
    if way not in ("", "before"):
        hint = f"Write knowledge:{name} for a tool, or knowledge:{name}:before for passages before the answer."
        raise UsageError(f"'knowledge:{rest}' is not known", hint=hint)
    return KnowledgeContext(name, tool=not way, before=bool(way))


@hookimpl
def agno_rt_register_context(register: Register) -> None:
    """Offer `knowledge:NAME`."""
    register(
        "*", _make_context, help="Search the documents of [knowledge.NAME]: knowledge:NAME, knowledge:NAME:before."
    )
