"""Builds the workflows of an agno-rt.toml: nodes are names of the project's runnables, lists, and inline tables."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

from agno_rt._runtime.declared_names import DeclaredNames
from agno_rt.config import Config, WorkflowConfig, file_error
from agno_rt.errors import ConfigError, UsageError, suggest
from agno_rt.runnable import Ask, Runnable
from agno_rt.workflows.declared import Workflow
from agno_rt.workflows.nodes import Chain, Condition, Goal, Loop, Map, Parallel, Router

__all__ = ["build_workflows"]

_KEYS: dict[str, tuple[str, ...]] = {
    "map": ("over", "limit", "key", "on_error", "name"),
    "loop": ("until", "at_most", "name"),
    "parallel": ("names", "on_error", "name"),
    "condition": ("then", "otherwise", "name"),
    "router": ("routes", "otherwise", "name"),
    "goal": ("check", "at_most", "name"),
    "ask": ("type", "choices", "expires"),
}
"""The keys of each kind of node, beside the kind itself, which is a key, too."""

_TYPES: dict[str, type] = {"bool": bool, "str": str, "int": int, "float": float}
"""The types of answers to an `ask`."""


def build_workflows(config: Config, names: DeclaredNames) -> None:
    """Declare the workflows of the file. Nodes are agents, teams and other workflows.

    Raises `ConfigError`, with the line, here and when a workflow is built.
    """
    builder = _Builder(config, names)
    for name, table in config.workflows.items():
        if name in names:
            kind = "team" if name in config.teams else names.find(name).kind
            problem = f"{kind} {name!r} has the same name"
            raise file_error(config.path, problem, f"workflows.{name}", "", "Rename one of them.")
        names.declare(name, functools.partial(builder.build, name, table))


class _Builder:
    """Builds a workflow from its nodes."""

    def __init__(self, config: Config, names: DeclaredNames) -> None:
        self._config = config
        self._names = names

    def _find(self, name: str) -> Runnable:
        if name not in self._names:
            hint = suggest("runnable", name, self._names.known())
            raise UsageError(f"there is no agent, team or workflow {name!r}", hint=hint)
        return self._names.find(name)

    def build(self, name: str, table: WorkflowConfig) -> Workflow:
        """Return the workflow of a table. Raises `ConfigError`, with the line."""
        try:
            nodes = [self._node(node) for node in table.nodes]
            return Workflow(name, nodes, description=table.description, limits=table.limits, version=table.version)
        except ConfigError:
            raise  # of a workflow within, with the line of its own
        except UsageError as exc:
            raise file_error(self._config.path, exc.message, f"workflows.{name}", "nodes", exc.hint) from exc

    def _node(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._find(value)
        if isinstance(value, list):
            return Chain([self._node(each) for each in value])
        kinds = [kind for kind in _KEYS if isinstance(value, Mapping) and kind in value]
        if len(kinds) != 1:
            hint = (
                f"Write the name of a runnable, a list, or a table with one of {', '.join(_KEYS)}: {{map = 'writer'}}."
            )
            raise UsageError(f"{value!r:.80} is not a node", hint=hint)
        [kind] = kinds
        return self._node_of(kind, value)

    def _read_parts(self, kind: str, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of an inline table beside its kind: names as runnables, decisions as such."""
        for key in table:
            if key != kind and key not in _KEYS[kind]:
                raise UsageError(f"{kind} has no key {key!r}", hint=suggest("key", key, _KEYS[kind]))
        parts = {
            key: self._node(value) if key in ("then", "otherwise", "check") else value
            for key, value in table.items()
            if key != kind
        }
        for key in ("until", *(("over",) if kind == "map" else ())):
            if key in parts:
                parts[key] = self._decision(parts[key])
        if isinstance(routes := parts.get("routes"), Mapping):
            parts["routes"] = {name: self._node(node) for name, node in routes.items()}
        return parts

    def _node_of(self, kind: str, table: Mapping[str, Any]) -> Any:
        """Return the node of an inline table."""
        parts, given = self._read_parts(kind, table), table[kind]
        if kind == "ask":
            return _make_ask(given, **parts)
        if kind == "parallel":
            if not isinstance(given, list):
                raise UsageError(f"parallel is {given!r:.80}", hint='Write {parallel = ["legal", "style"]}.')
            return Parallel(*[self._node(node) for node in given], **parts)
        if kind == "loop":
            return Loop([self._node(node) for node in (given if isinstance(given, list) else [given])], **parts)
        decides = kind in ("condition", "router")
        make: Callable[..., Any] = {"map": Map, "condition": Condition, "router": Router, "goal": Goal}[kind]
        try:
            return make(self._decision(given) if decides else self._node(given), **parts)
        except TypeError as exc:
            needed = {"condition": "then", "router": "routes", "goal": "check"}.get(kind, "")
            raise UsageError(f"{kind} has no {needed!r}", hint=f"Write {{{kind} = ..., {needed} = ...}}.") from exc

    def _decision(self, value: Any) -> Any:
        """Return what decides: an `ask`, the runnable of a name, or else an expression."""
        if isinstance(value, Mapping):
            return self._node(value)
        return self._find(value) if isinstance(value, str) and value in self._names else value


def _make_ask(question: Any, type: str = "bool", choices: Any = None, expires: float | None = None) -> Ask:
    if not isinstance(question, str) or not question:
        raise UsageError(f"the question of an ask is {question!r:.80}", hint='Write {ask = "Publish?"}.')
    if choices is not None:
        if not isinstance(choices, list) or not choices or not all(isinstance(each, str) for each in choices):
            raise UsageError(f"choices of {question!r} are {choices!r:.80}", hint='Write choices = ["yes", "no"].')
        return Ask(Literal[tuple(choices)], question, expires)
    if type not in _TYPES:
        hint = f"Types: {', '.join(_TYPES)}; or give choices = [...]."
        raise UsageError(f"type of {question!r} is {type!r}", hint=hint)
    return Ask(_TYPES[type], question, expires)
