"""Workflows in code: `@workflow` makes a runnable of an async function, `@step` records a function's results.

Knows nothing of how a run works: a step asks the present flow to call its function.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, get_origin, overload

import attrs
import msgspec

from agno_rt._schema.describe import describe, type_decoder, type_schema
from agno_rt._schema.json_values import check_numbers, hint_await
from agno_rt._schema.pydantic_types import plain_value
from agno_rt._schema.signatures import called_by, hints_of, return_hint, signature_of
from agno_rt.errors import UsageError
from agno_rt.failures import named
from agno_rt.limits import Limits
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import Message
from agno_rt.result import RunResult
from agno_rt.runnable import Again, Flow, Runnable, Stop

__all__ = ["SCOPE", "StepFunction", "StepOptions", "WorkflowFunction", "step", "workflow"]

P = ParamSpec("P")
T = TypeVar("T")

SCOPE: ContextVar[Any] = ContextVar("agno_rt_scope", default=None)
"""The branch of a flow that the present task is; unset outside of workflows, in steps and in runs within."""

_STORED = MemoryPolicy(journal=True)


@attrs.frozen
class StepOptions:
    """The options of a step.

    Attributes:
        timeout: seconds for one attempt: `DeadlineExceeded`
        retries: attempts after a failed one
        backoff: seconds to wait before the first retry; each further wait is twice as long
        idempotent: the step may be done again if the program ended while it was under way
    """

    timeout: float | None = None
    retries: int = 0
    backoff: float = 0.5
    idempotent: bool = False

    def __attrs_post_init__(self) -> None:
        if self.timeout is not None and not self.timeout > 0:
            raise UsageError(f"timeout of a step is {self.timeout!r}", hint="Give seconds above 0, or leave it out.")
        if not isinstance(self.retries, int) or isinstance(self.retries, bool) or self.retries < 0:
            raise UsageError(f"retries of a step are {self.retries!r}", hint="Give a whole number of at least 0.")
        if not self.backoff >= 0:
            raise UsageError(f"backoff of a step is {self.backoff!r}", hint="Give seconds of at least 0.")


class StepFunction(Generic[P, T]):
    """A function whose result a workflow records, from `@step`. Outside of a workflow it is the plain function.

    In a workflow a call is awaited, also a call of a sync function, which runs in a thread. `exact` has the types of
    values that are the same when they are read back.
    """

    def __init__(self, function: Callable[P, T], name: str, options: StepOptions) -> None:
        self.function = function
        self.name = name
        self.options = options
        self.is_async = inspect.iscoroutinefunction(called_by(function))
        self._read, self.exact = _reader_of(function, name), _exact_types(function, name)
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function; in a workflow, record the result, or return the recorded result."""
        scope = SCOPE.get()
        if scope is None:
            return self.function(*args, **kwargs)
        called: T = scope.flow.call_step(scope, self, args, kwargs)
        return called

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind the step to an instance, as a method."""
        return self if instance is None else types.MethodType(self, instance)

    def encode(self, value: Any) -> bytes:
        """Return the value as JSON. Raises `UsageError` for a value that JSON cannot carry."""
        try:
            if isinstance(value, _ENDINGS):
                value = _StoredStop(value.reason) if isinstance(value, Stop) else _StoredAgain(value.input)
            text = _ENCODER.encode(value)
            if value is not None and b"null" in text:  # the usual value costs no call
                check_numbers(value, _encode_part)
            return text
        except (TypeError, ValueError, RecursionError) as exc:
            hint = (
                hint_await(exc) or "Let it return a value that JSON can carry, and annotate the type: -> list[Price]."
            )
            raise UsageError(f"step {self.name!r} returned what cannot be stored: {named(exc)}", hint=hint) from exc

    def read(self, text: bytes) -> Any:
        """Return the value from JSON, as the return annotation's type. Raises `UsageError` if it does not fit."""
        try:
            if text.startswith(_ENDS):
                stored = _read_end(text)
                return Stop(stored.reason) if isinstance(stored, _StoredStop) else Again(stored.input)
            return self._read(text)
        except msgspec.MsgspecError as exc:
            hint = "Annotate the type that the step returns."
            raise UsageError(f"step {self.name!r} does not return its type: {exc}", hint=hint) from exc


def _encode_part(value: Any) -> Any:
    return plain_value(value, round_trip=True)


_ENCODER = msgspec.json.Encoder(enc_hook=_encode_part)
_ENDINGS = (Stop, Again)


class _StoredStop(msgspec.Struct, tag_field="agno_rt ends", tag="stop"):
    """A `Stop` as stored: with a field like no value of a user's."""

    reason: str


class _StoredAgain(msgspec.Struct, tag_field="agno_rt ends", tag="again"):
    """An `Again` as stored."""

    input: Any


_ENDS = b'{"agno_rt ends":'
_read_end = msgspec.json.Decoder(_StoredStop | _StoredAgain).decode


_EXACT: frozenset[type] = frozenset((bool, int, str, type(None)))


def _exact_types(function: Callable[..., Any], name: str) -> frozenset[type]:
    """Return the types of results that need not be read back from JSON: it carries them whole."""
    hint = return_hint(function, name)
    if hint is Any:
        return _EXACT
    return frozenset(each for each in _EXACT if each is (type(None) if hint is None else hint))


def _reader_of(function: Callable[..., Any], name: str) -> Callable[[bytes], Any]:
    """Return the decoder of the function's results. Raises `UsageError` for a type that JSON cannot carry."""
    hint = return_hint(function, name)
    if hint is Any or (get_origin(hint) or hint) in (RunResult, Stop):
        return msgspec.json.decode
    return type_decoder(type(None) if hint is None else hint)


class _StepDecorator(Protocol):
    """A decorator for async functions, and for sync ones, whose calls a workflow awaits."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> StepFunction[P, Coroutine[Any, Any, T]]: ...

    @overload
    def __call__(self, function: Callable[P, Any], /) -> StepFunction[P, Any]: ...


@overload
def step(function: Callable[P, Coroutine[Any, Any, T]], /) -> StepFunction[P, Coroutine[Any, Any, T]]: ...


@overload
def step(function: Callable[P, Any], /) -> StepFunction[P, Any]: ...


@overload
def step(
    *,
    name: str | None = None,
    timeout: float | None = None,
    retries: int = 0,
    backoff: float = 0.5,
    idempotent: bool = False,
) -> _StepDecorator: ...


def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    timeout: float | None = None,
    retries: int = 0,
    backoff: float = 0.5,
    idempotent: bool = False,
) -> Any:
    """Make a step of a function: `@step` or `@step(timeout=10, retries=2, idempotent=True)`.

    A workflow records the result before it goes on, and a resumed workflow takes the result from the record. So the
    result must be a value that JSON can carry; the return annotation is its type. See `StepOptions` for the options.
    Raises `UsageError` for a type that JSON cannot carry.
    """
    options = StepOptions(timeout, retries, backoff, idempotent)

    def decorate(function: Callable[..., Any]) -> StepFunction[..., Any]:
        return StepFunction(function, name or str(getattr(function, "__name__", "step")), options)

    return decorate if function is None else decorate(function)


@attrs.define(eq=False)
class WorkflowFunction(Runnable[Any, Any]):
    """A workflow made of an async function, from `@workflow`.

    Attributes:
        function: the function
        name: the name for people, routes and events
        description: the first line of the docstring
        version: the version of the code; see `Flow.version`
        limits: the limits of each run
        memory: the memory policy; by default each run is stored
        runnables: the runnables that the workflow runs, for checks before the first run
    """

    function: Callable[..., Any]
    name: str = ""
    description: str = ""
    version: int = 1
    limits: Limits | Mapping[str, Any] | None = None
    memory: MemoryPolicy | Mapping[str, Any] = _STORED
    runnables: tuple[Runnable, ...] = ()
    _flow_name: str = attrs.field(default="", init=False)
    _arguments: Callable[[tuple[Message, ...]], dict[str, Any]] = attrs.field(default=None, init=False)
    _read: Callable[[bytes], Any] = attrs.field(default=None, init=False)

    kind = "workflow"

    def __attrs_post_init__(self) -> None:
        hints = hints_of(self.function, self.name)
        flows = [name for name, hint in hints.items() if hint is Flow]
        if len(flows) != 1:
            hint = "Write one parameter with the type Flow: async def report(topic: str, flow: Flow)."
            raise UsageError(f"workflow {self.name!r} has {len(flows)} parameters of type Flow", hint=hint)
        if not inspect.iscoroutinefunction(called_by(self.function)):
            raise UsageError(f"workflow {self.name!r} is not an async function", hint="Write async def.")
        [self._flow_name] = flows
        self._arguments = _make_arguments(self.function, self.name, self._flow_name, hints)
        self._read = _reader_of(self.function, self.name)

    def parts(self) -> tuple[Runnable, ...]:
        """See `Runnable.parts`."""
        return self.runnables

    def input_schema(self) -> Mapping[str, Any] | None:
        """Return the JSON Schema of the parameters beside the flow: an object for several, `None` for a text."""
        hints = hints_of(self.function, self.name)
        names = [each for each in signature_of(self.function, self.name).parameters if each != self._flow_name]
        if len(names) > 1:
            return describe(self.function, self.name, hidden=(self._flow_name,)).schema
        hint = hints.get(names[0], str) if names else str
        if hint in (str, Any) or (get_origin(hint) is tuple and Message in getattr(hint, "__args__", ())):
            return None
        return type_schema(hint, what=f"the input of workflow {self.name!r}", error=UsageError)

    async def conduct(self, flow: Flow, input: tuple[Message, ...]) -> Any:
        """Call the function with the input and the flow. Raises `UsageError` for an input that does not fit."""
        return await self.function(**self._arguments(input), **{self._flow_name: flow})

    def read_output(self, text: bytes) -> Any:
        """Return an answer from JSON, as the return annotation's type. Raises `UsageError` if it does not fit."""
        try:
            return self._read(text)
        except msgspec.MsgspecError as exc:
            hint = "Annotate the type that the workflow returns."
            raise UsageError(f"workflow {self.name!r} does not return its type: {exc}", hint=hint) from exc


def _make_arguments(
    function: Callable[..., Any], name: str, flow: str, hints: Mapping[str, Any]
) -> Callable[[tuple[Message, ...]], dict[str, Any]]:
    """Return the function that turns the input of a run into the arguments of a workflow."""
    names = [each for each in signature_of(function, name).parameters if each != flow]
    if not names:
        return lambda _: {}
    only = names[0]
    if len(names) > 1:
        decode: Callable[..., Any] = describe(function, name, hidden=(flow,)).decode
    elif hints.get(only, str) in (str, Any):
        return lambda given: {only: _text_of(given)}
    elif get_origin(hints[only]) is tuple and Message in getattr(hints[only], "__args__", ()):
        return lambda given: {only: given}
    else:
        decode_one = type_decoder(hints[only])

        def decode(text: str) -> dict[str, Any]:
            return {only: decode_one(text)}

    def read(input: tuple[Message, ...]) -> dict[str, Any]:
        try:
            arguments: dict[str, Any] = decode(_text_of(input))
            return arguments
        except (msgspec.MsgspecError, UsageError) as exc:
            hint = f"Give JSON for: {', '.join(names)}." if len(names) > 1 else f"Give JSON for {only}."
            raise UsageError(f"the input of workflow {name!r} does not fit: {exc}", hint=hint) from exc

    return read


def _text_of(input: tuple[Message, ...]) -> str:
    return next((message.text for message in reversed(input) if message.role == "user"), "")


@overload
def workflow(function: Callable[..., Any], /) -> WorkflowFunction: ...


@overload
def workflow(
    *,
    name: str | None = None,
    version: int = 1,
    limits: Limits | Mapping[str, Any] | None = None,
    memory: MemoryPolicy | Mapping[str, Any] = _STORED,
    runnables: tuple[Runnable, ...] = (),
) -> Callable[[Callable[..., Any]], WorkflowFunction]: ...


def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: int = 1,
    limits: Limits | Mapping[str, Any] | None = None,
    memory: MemoryPolicy | Mapping[str, Any] = _STORED,
    runnables: tuple[Runnable, ...] = (),
) -> Any:
    """Make a runnable of an async function with a parameter of type `Flow`: `@workflow`, or with options.

    The other parameters are the input: a text, or JSON for parameters of other types. The answer is what the function
    returns. Each run is stored with its steps, unless `memory` says otherwise, and goes on after a crash, a failure or
    an answer by `Runtime.resume`. See `WorkflowFunction` for the options. Raises `UsageError` for a function without a
    flow, or with a type that JSON cannot carry.
    """

    def decorate(function: Callable[..., Any]) -> WorkflowFunction:
        title = name or str(getattr(function, "__name__", "workflow"))
        doc = (inspect.getdoc(function) or "").partition("\n")[0]
        return WorkflowFunction(function, title, doc, version, limits, memory, tuple(runnables))

    return decorate if function is None else decorate(function)
