"""Builds the workflows of an agno-rt.toml: nodes are names of the project's runnables, lists, and inline tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

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


def build_workflows(config: Config, runnables: dict[str, Runnable]) -> None:
    """Build the workflows of the configuration, and add them to the runnables. Raises `ConfigError`, with the line."""
    for name in config.workflows:
        if name in runnables:
            problem = f"{runnables[name].kind} {name!r} has the same name"
            raise file_error(config.path, problem, f"workflows.{name}", "", "Rename one of them.")
    builder = _Builder(config, runnables)
    for name in config.workflows:
        builder.find(name)


class _Builder:
    """Builds each workflow after the workflows among its nodes."""

    def __init__(self, config: Config, runnables: dict[str, Runnable]) -> None:
        self._config = config
        self._runnables = runnables
        self._under_way: list[str] = []

    def find(self, name: str) -> Runnable:
        """Return the runnable of a name; build it if it is a workflow of the file."""
        if name in self._runnables:
            return self._runnables[name]
        table = self._config.workflows.get(name)
        if table is None:
            known = {*self._runnables, *self._config.workflows}
            hint = suggest("runnable", name, known)
            raise UsageError(f"there is no agent, team or workflow {name!r}", hint=hint)
        if name in self._under_way:
            trail = " -> ".join([*self._under_way, name])
            raise UsageError(f"a workflow is a node of itself: {trail}", hint="Take it out of one of them.")
        self._under_way.append(name)
        self._runnables[name] = self._build(name, table)
        self._under_way.pop()
        return self._runnables[name]

    def _build(self, name: str, table: WorkflowConfig) -> Workflow:
        try:
            nodes = [self._node(node) for node in table.nodes]
            return Workflow(name, nodes, description=table.description, limits=table.limits, version=table.version)
        except ConfigError:
            raise  # of a workflow within, with the line of its own
        except UsageError as exc:
            raise file_error(self._config.path, exc.message, f"workflows.{name}", "nodes", exc.hint) from exc

    def _node(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.find(value)
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
        is_name = isinstance(value, str) and (value in self._runnables or value in self._config.workflows)
        return self.find(value) if is_name else value


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
