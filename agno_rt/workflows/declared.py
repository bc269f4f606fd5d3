"""Declared workflows: a list of nodes as a runnable, over the same engine as workflows in code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt._schema.describe import type_decoder
from agno_rt.agent import Agent
from agno_rt.errors import UsageError
from agno_rt.failures import named
from agno_rt.limits import Limits
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import Message
from agno_rt.output import Output
from agno_rt.runnable import Drawing, Flow, Runnable
from agno_rt.workflows._drawing import draw_nodes
from agno_rt.workflows._ends import find_end
from agno_rt.workflows._expressions import Expression
from agno_rt.workflows._function_node import FunctionNode, text_of_input
from agno_rt.workflows._state import STATE, BranchState, StateType
from agno_rt.workflows.nodes import Chain, Goal, Loop, Node, as_nodes, list_nodes

__all__ = ["Workflow"]


@attrs.define(eq=False)
class Workflow(Runnable[Any, Any]):
    """A workflow declared as a list of nodes, each with the output of the node before.

    A run is stored with its steps, and goes on after a crash, a failure or an answer by `Runtime.resume`, as a run of
    an `@workflow` does. Raises `UsageError` for a value that is not a node, and for a node that does not fit the state.

    Attributes:
        name: the name for people, routes and events
        nodes: the nodes; see `agno_rt.workflows` for `Map`, `Loop`, `Parallel`, `Condition`, `Router` and `Goal`
        state: the class of the state, which functions read and change: an attrs class, a data class or a msgspec
            Struct with defaults. A run begins with the state among the caller's `deps`, or with a new one
        description: one sentence for people
        limits: the limits of each run
        memory: the memory policy; by default each run is stored
        version: the version of the declaration; see `Flow.version`
    """

    name: str
    nodes: Sequence[Any] = attrs.field(converter=as_nodes)
    state: type | None = attrs.field(default=None, kw_only=True)
    description: str = attrs.field(default="", kw_only=True)
    limits: Limits | Mapping[str, Any] | None = attrs.field(default=None, kw_only=True)
    memory: MemoryPolicy | Mapping[str, Any] = attrs.field(default=MemoryPolicy(journal=True), kw_only=True)
    version: int = attrs.field(default=1, kw_only=True)
    _state: StateType | None = attrs.field(default=None, init=False, repr=False)
    _read: Callable[[bytes], Any] = attrs.field(default=msgspec.json.decode, init=False, repr=False)

    kind = "workflow"

    def __attrs_post_init__(self) -> None:
        self._state = None if self.state is None else StateType(self.state)
        for node in list_nodes(self.nodes):
            self._check_node(node)
        self._read = _reader_of(self.nodes[-1])

    def parts(self) -> tuple[Runnable, ...]:
        """See `Runnable.parts`."""
        return tuple(dict.fromkeys(_list_runnables(self.nodes)))

    def drawing(self, draw: Callable[[Runnable], Drawing]) -> Drawing:
        """Return the picture of the workflow: the nodes, each in its form."""
        return Drawing(self.name, self.kind, parts=draw_nodes(self.nodes, draw))

    async def conduct(self, flow: Flow, input: tuple[Message, ...]) -> Any:
        """Carry out the nodes one after the other; the answer is the output of the last one."""
        kind = self._state
        token = STATE.set(None if kind is None else BranchState(kind, await _make_state(kind, flow)))
        try:
            return _as_answer(await Chain(self.nodes).conduct(flow, input))
        except BaseException as exc:
            answer = find_end(exc)
            if answer is None:
                raise
            return answer
        finally:
            STATE.reset(token)

    def read_output(self, text: bytes) -> Any:
        """Return an answer from JSON, as the type of the last node's output. Raises `UsageError` if it does not fit."""
        try:
            return self._read(text)
        except msgspec.MsgspecError as exc:
            hint = "Annotate the type that the last node returns."
            raise UsageError(f"workflow {self.name!r} does not return its type: {exc}", hint=hint) from exc

    def read_state(self, text: str | bytes) -> Any:
        """Return a state to begin a run with, from a JSON object: `await rt.run(pipeline, "go", deps=state)`.

        Missing fields have their defaults. Raises `UsageError` for a workflow without a state, and for text unfit for
        the state's class.
        """
        if self._state is None:
            hint = "Declare its class: Workflow(..., state=ReportState)."
            raise UsageError(f"workflow {self.name!r} has no state", hint=hint)
        return self._state.read_given(text)

    def _check_node(self, node: Any) -> None:
        """Raise `UsageError` for a function or an expression that needs another state."""
        kind = self._state
        if isinstance(node, FunctionNode) and node.state and kind is None:
            hint = "Give its class: Workflow(..., state=ReportState)."
            raise UsageError(f"function {node.name!r} takes the state; workflow {self.name!r} has none", hint=hint)
        for by in node.decisions() if isinstance(node, Node) else ():
            if not isinstance(by, Expression):
                continue
            if kind is not None:
                by.check(kind.described, f"workflow {self.name!r}")
            elif "state" in by.uses:
                what = f"workflow {self.name!r}: the expression {by.text!r} of {node.name!r}"
                hint = "Give its class: Workflow(..., state=ReportState)."
                raise UsageError(f"{what} reads the state, and the workflow has none", hint=hint)


async def _make_state(kind: StateType, flow: Flow) -> Any:
    """Return the state to begin with: given by the caller among the `deps`, or new. The given one is recorded."""
    deps = flow.deps if isinstance(flow.deps, tuple) else (flow.deps,)
    found = next((each for each in deps if type(each) is kind.type), None)
    recorded = await flow.given("state", None if found is None else kind.write(found, "the caller"))
    return kind.make() if recorded is None else kind.read(recorded)


def _as_answer(value: Any) -> Any:
    """Return the output of the last node as an answer: failures that a group kept become texts."""
    if isinstance(value, list):
        return [_as_answer(each) for each in value]
    return f"failed: {named(value)}" if isinstance(value, BaseException) else text_of_input(value)


def _list_runnables(nodes: Sequence[Any]) -> Iterator[Runnable]:
    for node in list_nodes(nodes):
        if isinstance(node, Runnable):
            yield node
        elif isinstance(node, Node):
            yield from (by for by in node.decisions() if isinstance(by, Runnable))
        elif callable(parts := getattr(node, "parts", None)):
            yield from parts()


def _reader_of(node: Any) -> Callable[[bytes], Any]:
    """Return the decoder of a node's output; of a node with several possible types, the decoder of plain JSON."""
    if isinstance(node, Chain | Loop):
        return _reader_of(node.nodes[-1])
    if isinstance(node, Goal):
        return _reader_of(node.node)
    if isinstance(node, FunctionNode):
        return node.step.read
    if isinstance(node, Agent) and node.output is not None:
        return type_decoder(node.output.type if isinstance(node.output, Output) else node.output)
    found: Callable[[bytes], Any] = getattr(node, "read_output", msgspec.json.decode)
    return found
