"""Functions as nodes of a declared workflow: each call is a step, whose output and whose state are recorded."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from agno_rt._schema.describe import type_decoder
from agno_rt._schema.injection import Injection, asks_for_context, fill_in, injections
from agno_rt._schema.signatures import called_by, hints_of, signature_of
from agno_rt.errors import UsageError
from agno_rt.messages import Message
from agno_rt.runnable import Flow
from agno_rt.workflows._state import STATE, StateType
from agno_rt.workflows.functions import StepFunction, StepOptions

__all__ = ["FunctionNode", "text_of_input"]

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class FunctionNode:
    """A function as a node: it gets the output of the node before and, if it asks, the state and the dependencies.

    The first plain parameter is the output; a parameter named `state` or of type `State[...]` is the state, which the
    function may change; `Deps[...]` are the caller's. Raises `UsageError` for parameters that nothing can fill.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.step = function if isinstance(function, StepFunction) else _make_step(function)
        self.function: Callable[..., Any] = self.step.function
        self.name = self.step.name
        what = f"function {self.name!r} of a workflow"
        hints = hints_of(self.function, self.name)
        self._injected: dict[str, Injection] = dict(injections(self.function, self.name))
        if asks_for_context(self._injected) or any(hint is Flow for hint in hints.values()):
            hint = "Take the output, State[...] and Deps[...]; or write a @workflow, which gets the flow, as the node."
            raise UsageError(f"{what} asks for the run", hint=hint)
        self.state = next((each for each, part in self._injected.items() if part.what == "state"), "")
        plain = [
            each
            for each in signature_of(self.function, self.name).parameters.values()
            if each.name not in self._injected and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        ]
        if not self.state and any(each.name == "state" for each in plain):
            self.state = "state"
        plain = [each for each in plain if each.name != self.state]
        self._input = next((each for each in plain if each.kind in _BY_POSITION), None)
        for each in plain:
            if each.default is each.empty and each is not self._input:
                hint = "A node gets the output of the node before, State[...] and Deps[...]; give the others defaults."
                raise UsageError(f"{what} has a parameter {each.name!r} that nothing fills", hint=hint)
        taken = Any if self._input is None else hints.get(self._input.name, Any)
        self._decode = None if taken in (str, Any, object) else type_decoder(taken)

    async def conduct(self, flow: Flow, input: Any) -> Any:
        """Call the function as a step of the flow, with the input; return the output."""
        branch = STATE.get() if self.state else None
        called = _CalledStep(self, flow.deps, None if branch is None else branch.kind)
        given = self._read_input(input)
        if branch is None:
            output, _ = await called(given)
            return output
        output, branch.value = await called(given, branch.value)
        return output

    def arguments(self, deps: Any, given: Any, state: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of a call."""
        keywords = fill_in(self.name, self._injected, deps, state, None)
        if self.state and self.state not in keywords and self.state not in self._injected:
            keywords[self.state] = state
        return [] if self._input is None else [given], keywords

    def _read_input(self, input: Any) -> Any:
        """Return the input as the function's type: a text is JSON for a parameter of another type than `str`."""
        given = text_of_input(input)
        if self._decode is None or not isinstance(given, str):
            return given
        assert self._input is not None
        try:
            return self._decode(given)
        except msgspec.MsgspecError as exc:
            hint = (
                f"It gets the text of the node before: annotate {self._input.name}: str, or give that node an output."
            )
            raise UsageError(f"the input of {self.name!r} does not fit {self._input.name}: {exc}", hint=hint) from exc


class _CalledStep(StepFunction[..., Any]):
    """The step of one call of a function node. Its value is the output with the state after the call."""

    def __init__(self, node: FunctionNode, deps: Any, kind: StateType | None) -> None:
        self.name = node.name
        self.options: StepOptions = node.step.options
        self.is_async = node.step.is_async
        self.exact = frozenset()
        self._step = node.step
        self._kind = kind

        def prepare(given: Any, state: Any) -> tuple[Any, list[Any], dict[str, Any]]:
            own = None if kind is None else kind.copy(state)
            return own, *node.arguments(deps, given, own)

        async def call(given: Any, state: Any = None) -> tuple[Any, Any]:
            own, values, keywords = prepare(given, state)
            return await node.function(*values, **keywords), own

        def call_sync(given: Any, state: Any = None) -> tuple[Any, Any]:
            own, values, keywords = prepare(given, state)
            return node.function(*values, **keywords), own

        self.function = call if self.is_async else call_sync

    def encode(self, value: Any) -> bytes:
        output, state = value
        text = self._step.encode(output)
        if self._kind is None:
            return text
        parts = [msgspec.Raw(text), msgspec.Raw(self._kind.write(state, f"function {self.name!r}"))]
        return msgspec.json.encode(parts)

    def read(self, text: bytes) -> Any:
        if self._kind is None:
            return self._step.read(text), None
        output, state = msgspec.json.decode(text, type=tuple[msgspec.Raw, msgspec.Raw])
        return self._step.read(bytes(output)), self._kind.read(bytes(state))


def text_of_input(input: Any) -> Any:
    """Return the text of the messages that a workflow begins with; any other value as it is."""
    if isinstance(input, tuple) and input and all(isinstance(each, Message) for each in input):
        return next((each.text for each in reversed(input) if each.role == "user"), "")
    return input


def _make_step(function: Callable[..., Any]) -> StepFunction[..., Any]:
    name = getattr(function, "__name__", None) or type(called_by(function)).__name__
    return StepFunction(function, str(name).strip("<>"), StepOptions())
