"""The nodes of declared workflows: values over the flow, each with `async conduct(flow, input)`.

A node gets the output of the node before it: a text, or the typed output. Agents, teams, workflows and any other
runnable are nodes, and so are functions, questions (`Ask`), lists of nodes, and any object with `conduct`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import attrs
import msgspec

from agno_rt._schema.pydantic_types import plain_value
from agno_rt.errors import AgnoError, StepFailed, UsageError
from agno_rt.failures import must_pass, named
from agno_rt.runnable import Ask, Flow, OnError, Runnable
from agno_rt.workflows._ends import check_end
from agno_rt.workflows._expressions import Expression, Wanted
from agno_rt.workflows._function_node import FunctionNode, text_of_input
from agno_rt.workflows._state import STATE, BranchState

__all__ = [
    "Chain",
    "Condition",
    "Goal",
    "Judgement",
    "Loop",
    "Map",
    "Node",
    "Parallel",
    "Router",
    "as_node",
    "as_nodes",
    "conduct_node",
    "list_nodes",
]

By: TypeAlias = "str | Ask | Runnable | Callable[..., Any]"
"""How to decide: an expression, a question to a person, a runnable, or a function of (output, state)."""


class Node:
    """The base of the nodes here. Nodes of other classes need only `conduct`."""

    __slots__ = ()

    name: str

    def children(self) -> Sequence[Any]:
        """Return the nodes within."""
        return ()

    def decisions(self) -> Sequence[Any]:
        """Return what the node decides by: expressions, questions, runnables, functions."""
        return ()

    async def conduct(self, flow: Flow, input: Any) -> Any:
        """Carry out the node, and return its output."""
        raise NotImplementedError


@attrs.frozen
class Judgement:
    """The result of a check, for `Goal`: the reason is for the next attempt."""

    passed: bool
    reason: str = ""


def as_node(value: Any) -> Any:
    """Return the value as a node: a function becomes a step, a list of nodes a sequence. Raises `UsageError`."""
    if isinstance(value, Runnable | Ask | Node | FunctionNode):
        return value
    if isinstance(value, list | tuple):
        return Chain(value)
    if inspect.iscoroutinefunction(getattr(value, "conduct", None)) and not isinstance(value, type):
        return value
    if callable(value) and not isinstance(value, type):
        return FunctionNode(value)
    hint = "Give an agent, a team, a workflow, a function, an Ask, a list of nodes, or an object with async conduct."
    raise UsageError(f"{value!r:.80} is not a node of a workflow", hint=hint)


def _as_optional_node(value: Any) -> Any:
    return None if value is None else as_node(value)


def as_nodes(values: Any) -> tuple[Any, ...]:
    """Return a list of nodes, or one node, as nodes. Raises `UsageError`."""
    found = values if isinstance(values, list | tuple) else [values]
    if not found:
        raise UsageError("a sequence has no nodes", hint="Give at least one node.")
    return tuple(map(as_node, found))


def _check_positive(instance: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        problem = f"{field.name} of {instance.name!r} is {value!r}"
        raise UsageError(problem, hint="Give a whole number of at least 1.")


def _check_on_error(instance: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if value not in ("cancel", "keep"):
        raise UsageError(f"on_error of {instance.name!r} is {value!r}", hint="Give 'cancel' or 'keep'.")


async def conduct_node(node: Any, flow: Flow, input: Any) -> Any:
    """Carry out a node, and return its output; `None` stands for a node that passes its input on."""
    if node is None:
        return input
    if isinstance(node, Runnable):
        result = await flow.run(node, input)
        return result.content if result.output is None else result.output
    if isinstance(node, Ask):
        return await flow.ask(node)
    return check_end(await node.conduct(flow, input))


async def _conduct_chain(nodes: Sequence[Any], flow: Flow, input: Any) -> Any:
    output = input
    for node in nodes:
        output = await conduct_node(node, flow, output)
    return output


@attrs.define(eq=False)
class Chain(Node):
    """Nodes one after the other, each with the output of the one before. A list of nodes is one."""

    nodes: Sequence[Any] = attrs.field(converter=as_nodes)
    name: str = "chain"

    def children(self) -> Sequence[Any]:
        """See `Node.children`."""
        return self.nodes

    async def conduct(self, flow: Flow, input: Any) -> Any:
        """See `Node.conduct`."""
        return await _conduct_chain(self.nodes, flow, input)


@attrs.define(eq=False)
class Map(Node):
    """A node for each item of a list, at the same time; the output is the list of the outputs, in the items' order.

    Attributes:
        node: the node; a list of nodes is a sequence
        over: the items: an expression such as `output.parts`, or a function of (output, state); the output by default
        limit: the most items at once
        key: names the branches in paths: a field of the item, or a function of it; numbers by default
        on_error: `cancel` raises the first failure; with `keep` the error has its place among the outputs
        name: the name in paths
    """

    node: Any = attrs.field(converter=as_node)
    over: str | Callable[..., Any] | None = None
    limit: int | None = attrs.field(default=None, kw_only=True)
    key: str | Callable[[Any], str] | None = attrs.field(default=None, kw_only=True)
    on_error: OnError = attrs.field(default="cancel", kw_only=True, validator=_check_on_error)
    name: str = attrs.field(default="map", kw_only=True)
    _over: Any = attrs.field(init=False, default=None)
    _key: Any = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        _check_positive(self, attrs.fields(Map).limit, self.limit)
        self._over = None if self.over is None else _read_decision(self.over, f"over of {self.name!r}", "a list")
        if isinstance(self.key, str):
            self._key = Expression.read(f"item.{self.key}", f"key of {self.name!r}", names=("item",))

    def children(self) -> Sequence[Any]:
        """See `Node.children`."""
        return (self.node,)

    def decisions(self) -> Sequence[Any]:
        """See `Node.decisions`."""
        return () if self._over is None else (self._over,)

    async def conduct(self, flow: Flow, input: Any) -> Any:
        """See `Node.conduct`."""
        place = _place_of(flow, self.name)
        items = text_of_input(input) if self._over is None else await _decide(self._over, flow, input, place)
        if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
            hint = "Let `over` name a list: Map(node, over='output.parts'), or give the node before a list as output."
            raise UsageError(f"{place} has no items: it got a {type(items).__name__}", hint=hint)
        branches = [(self._name_item(item, place), self.node, item) for item in items]
        return await _conduct_branches(flow, self.name, branches, self.limit, self.on_error)

    def _name_item(self, item: Any, place: str) -> str | None:
        if self._key is not None:
            return str(self._key.evaluate({"item": item}, place))
        return None if self.key is None else str(_call(self.key, (item,), place))  # type: ignore[arg-type]


class Parallel(Node):
    """Nodes at the same time, each with the same input; the output is the list of their outputs, as declared.

    Attributes:
        nodes: the nodes
        names: the names of the branches in paths; by default the names of the nodes, or numbers where two are equal
        on_error: `cancel` raises the first failure; with `keep` the error has its place among the outputs
        name: the name in paths
    """

    def __init__(
        self, *nodes: Any, names: Sequence[str] | None = None, on_error: OnError = "cancel", name: str = "parallel"
    ) -> None:
        self.nodes = as_nodes(nodes)
        self.name = name
        self.on_error: OnError = on_error
        _check_on_error(self, attrs.fields(Map).on_error, on_error)
        found = [str(getattr(node, "name", "") or "ask") for node in self.nodes] if names is None else list(names)
        if len(found) != len(self.nodes) or (names is not None and len({*found}) != len(found)):
            raise UsageError(
                f"{name!r} has {len(self.nodes)} nodes and the names {found}", hint="Give each node a name."
            )
        self.names: tuple[str | None, ...] = tuple(each if found.count(each) == 1 else None for each in found)

    def children(self) -> Sequence[Any]:
        """See `Node.children`."""
        return self.nodes

    async def conduct(self, flow: Flow, input: Any) -> Any:
        """See `Node.conduct`."""
        branches = [(name, node, input) for name, node in zip(self.names, self.nodes, strict=True)]
        return await _conduct_branches(flow, self.name, branches, None, self.on_error)


@attrs.define(eq=False)
class Loop(Node):
    """Nodes again and again, each round with the output of the round before; the output is the last round's.

    Attributes:
        nodes: the nodes of a round
        until: ends the loop after a round, if true: an expression, a function of (output, state), or an `Ask`. Only
            this loop ends, not a loop around it
        at_most: the most rounds
        name: the name in errors
    """

    nodes: Sequence[Any] = attrs.field(converter=as_nodes)
    until: Any = None
    at_most: int = attrs.field(default=10, validator=_check_positive, kw_only=True)
    name: str = attrs.field(default="loop", kw_only=True)
    _until: Any = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        if self.until is not None:
            self._until = _read_decision(self.until, f"until of {self.name!r}", "a condition")

    def children(self) -> Sequence[Any]:
        """See `Node.children`."""
        return self.nodes

    def decisions(self) -> Sequence[Any]:
        """See `Node.decisions`."""
        return () if self._until is None else (self._until,)

    async def conduct(self, flow: Flow, input: Any) -> Any:
        """See `Node.conduct`."""
        output = input
        for _ in range(self.at_most):
            output = await _conduct_chain(self.nodes, flow, output)
            if self._until is not None and await _decide(self._until, flow, output, _place_of(flow, self.name)):
                break
        return output


@attrs.define(eq=False)
class Condition(Node):
    """A node if the condition holds, another node if not. Both get the output of the node before.

    Attributes:
        when: an expression, a function of (output, state), an `Ask`, or a runnable with a `bool` as its output
        then: the node
        otherwise: the other node; `None` passes the output on
        name: the name in errors
    """

    when: Any = attrs.field()
    then: Any = attrs.field(converter=_as_optional_node)
    otherwise: Any = attrs.field(default=None, converter=_as_optional_node)
    name: str = attrs.field(default="condition", kw_only=True)
    _when: Any = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._when = _read_decision(self.when, f"when of {self.name!r}", "a condition")

    def children(self) -> Sequence[Any]:
        """See `Node.children`."""
        return [node for node in (self.then, self.otherwise) if node is not None]

    def decisions(self) -> Sequence[Any]:
        """See `Node.decisions`."""
        return (self._when,)

    async def conduct(self, flow: Flow, input: Any) -> Any:
        """See `Node.conduct`."""
        holds = await _decide(self._when, flow, input, _place_of(flow, self.name))
        return await conduct_node(self.then if holds else self.otherwise, flow, input)


def _as_routes(routes: Any) -> dict[Any, Any]:
    if not isinstance(routes, Mapping) or not routes:
        raise UsageError("a router has no routes", hint="Give a dict: Router('output.kind', {'bill': billing}).")
    return {name: _as_optional_node(node) for name, node in routes.items()}


@attrs.define(eq=False)
class Router(Node):
    """One node of several, by name. The node gets the output of the node before.

    Attributes:
        by: the name: an expression, a function of (output, state), an `Ask`, or a runnable whose answer is the name
        routes: the nodes by name; `None` passes the output on
        otherwise: the node for other names; without it, another name is a failure
        name: the name in errors
    """

    by: Any = attrs.field()
    routes: Mapping[Any, Any] = attrs.field(converter=_as_routes)
    otherwise: Any = attrs.field(default=None, converter=_as_optional_node)
    name: str = attrs.field(default="router", kw_only=True)
    _by: Any = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._by = _read_decision(self.by, f"by of {self.name!r}")

    def children(self) -> Sequence[Any]:
        """See `Node.children`."""
        return [node for node in (*self.routes.values(), self.otherwise) if node is not None]

    def decisions(self) -> Sequence[Any]:
        """See `Node.decisions`."""
        return (self._by,)

    async def conduct(self, flow: Flow, input: Any) -> Any:
        """See `Node.conduct`."""
        place = _place_of(flow, self.name)
        name = await _decide(self._by, flow, input, place)
        name = name.strip() if isinstance(name, str) else name
        try:
            node = self.routes[name]
        except (KeyError, TypeError) as exc:
            if self.otherwise is None:
                hint = f"Routes: {', '.join(map(str, self.routes))}. Give `otherwise` for all others."
                raise UsageError(f"{place} has no route {name!r:.80}", hint=hint) from exc
            node = self.otherwise
        return await conduct_node(node, flow, input)


@attrs.define(eq=False)
class Goal(Node):
    """A node again and again until a check passes. Each further attempt gets the input, the last output and the reason.

    Attributes:
        node: the node
        check: a function of (output), which is a recorded step, or a judge: a runnable. It returns a `bool` or a
            `Judgement`
        at_most: the most attempts; after the last one, the goal fails with the check's reason
        again: makes the next input of (input, output, reason); by default a text with all three
        name: the name in errors
    """

    node: Any = attrs.field(converter=as_node)
    check: Any = attrs.field(converter=as_node)
    at_most: int = attrs.field(default=3, validator=_check_positive, kw_only=True)
    again: Callable[[Any, Any, str], Any] | None = attrs.field(default=None, kw_only=True)
    name: str = attrs.field(default="goal", kw_only=True)

    def children(self) -> Sequence[Any]:
        """See `Node.children`."""
        return (self.node, self.check)

    async def conduct(self, flow: Flow, input: Any) -> Any:
        """See `Node.conduct`."""
        place, given, reason = _place_of(flow, self.name), input, ""
        again, output = self.again or _describe_attempt, None
        for attempt in range(self.at_most):
            if attempt:
                given = _call(again, (text_of_input(input), output, reason), place)
            output = await conduct_node(self.node, flow, given)
            judged = await conduct_node(self.check, flow, output)
            if isinstance(judged, Mapping) and {"passed"} <= judged.keys() <= {"passed", "reason"}:
                judged = Judgement(**judged)  # a function without a return annotation: its result was stored as JSON
            passed = judged.passed if isinstance(judged, Judgement) else judged
            if not isinstance(passed, bool):
                hint = "Let it return a bool or a Judgement; give a judge output=Judgement."
                raise UsageError(f"{place}: the check returned a {type(judged).__name__}", hint=hint)
            if passed:
                return output
            reason = judged.reason if isinstance(judged, Judgement) else ""
        hint = "Raise at_most, or look at the reason: the last attempt did not pass the check."
        problem = f"{place} was not reached in {self.at_most} attempts: {reason or 'the check gave no reason'}"
        raise StepFailed(problem, path=place, hint=hint)


def _describe_attempt(input: Any, output: Any, reason: str) -> str:
    return f"{_show(input)}\n\nThe last attempt:\n{_show(output)}\n\nIt did not pass: {reason or 'no reason was given'}"


def _show(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=plain_value).decode()


def list_nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    """Yield the nodes and the nodes within them, in the order of declaration."""
    for node in nodes:
        yield node
        if isinstance(node, Node):
            yield from list_nodes(node.children())


def _read_decision(by: Any, what: str, wanted: Wanted = "a value") -> Any:
    """Return what to decide by, with an expression read. Raises `UsageError`."""
    if isinstance(by, str):
        return Expression.read(by, what, wanted)
    if isinstance(by, Ask | Runnable) or (callable(by) and not isinstance(by, type)):
        return by
    hint = "Give an expression such as 'output.approved', a function of (output, state), an Ask, or a runnable."
    raise UsageError(f"{what} is {by!r:.80}", hint=hint)


async def _decide(by: Any, flow: Flow, input: Any, place: str) -> Any:
    if isinstance(by, Ask | Runnable):
        return await conduct_node(by, flow, input)
    branch, output = STATE.get(), text_of_input(input)
    state = None if branch is None else branch.value
    if isinstance(by, Expression):
        return by.evaluate({"output": output, "state": state}, place)
    if branch is not None:
        state = branch.kind.copy(state)
    parameters = [
        each
        for each in inspect.signature(by).parameters.values()
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD, each.VAR_POSITIONAL)
    ]
    count = 2 if any(each.kind is each.VAR_POSITIONAL for each in parameters) else len(parameters)
    value = _call(by, (output, state)[:count], place)
    return await _await(value, place) if inspect.isawaitable(value) else value


def _call(function: Callable[..., Any], arguments: tuple[Any, ...], place: str) -> Any:
    """Call a function of the user. Raises `StepFailed` with the place."""
    try:
        return function(*arguments)
    except BaseException as exc:
        if must_pass(exc) or isinstance(exc, AgnoError):
            raise
        raise StepFailed(f"{place} failed: {named(exc)}", path=place) from exc


async def _await(value: Awaitable[Any], place: str) -> Any:
    try:
        return await value
    except BaseException as exc:
        if must_pass(exc) or isinstance(exc, AgnoError):
            raise
        raise StepFailed(f"{place} failed: {named(exc)}", path=place) from exc


def _place_of(flow: Flow, name: str) -> str:
    return f"{flow.path}/{name}" if flow.path else name


async def _conduct_branches(
    flow: Flow, name: str, branches: Sequence[tuple[str | None, Any, Any]], limit: int | None, on_error: OnError
) -> list[Any]:
    """Carry out nodes at the same time, each with a copy of the state; join the states of those that did not fail."""
    outer = STATE.get()
    states = [None if outer is None else BranchState(outer.kind, outer.value) for _ in branches]
    async with flow.group(name, limit=limit, on_error=on_error) as group:
        for (key, node, given), state in zip(branches, states, strict=True):
            group.start(_conduct_branch, flow, node, given, state, key=key)
    if outer is not None:
        ended = [(each.path, each.value) for each in states if each is not None and each.has_ended]
        outer.value = outer.kind.join(outer.value, ended, _place_of(flow, name))
    return group.results


async def _conduct_branch(flow: Flow, node: Any, input: Any, state: BranchState | None) -> Any:
    STATE.set(state)
    if state is not None:
        state.path = flow.path
    output = await conduct_node(node, flow, input)
    if state is not None:
        state.has_ended = True
    return output
