"""Tools as values: a callable with a name, a description and a parameter schema computed once. Knows no runs."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import math
import sys
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypedDict, Unpack, get_args, get_origin, overload

import attrs
import msgspec

from agno_rt._schema.injection import NOTHING, Injection, Predicate, injections, predicate_of
from agno_rt.errors import ToolDefinitionError, suggest

if TYPE_CHECKING:
    from agno_rt._schema.describe import Parameters
    from agno_rt.events import ToolkitChanged

__all__ = ["Tool", "ToolArgumentError", "ToolLimits", "ToolOptions", "ToolSearch", "Toolkit", "tool"]


class ToolArgumentError(ValueError):
    """Arguments that do not fit a tool's schema. The text is written for the model, which wrote the arguments.

    A tool may raise this error for arguments that fit the schema but are wrong: the model sees the text, and the call
    is not tried again.
    """


def _list_entries(tools: Any) -> tuple[Any, ...]:
    if isinstance(tools, str) or not isinstance(tools, collections.abc.Iterable):
        raise ToolDefinitionError(f"the tools of a ToolSearch are {tools!r}", hint="Write ToolSearch([...]).")
    return tuple(tools)


@attrs.frozen
class ToolLimits:
    """The bounds of one tool, in addition to the run's. `None` means no limit.

    Attributes:
        timeout: seconds for one attempt; the shorter of this and the run's `tool_timeout` counts. The model is told
        retries: how often to repeat a failed call, at once; the model is told of the last failure
        concurrency: calls in progress at once, over the whole runtime; more wait, for at most `queue_timeout`
        calls: calls of the tool in one run; a further call is not made, and the model is told

    Raises `ToolDefinitionError` for a value out of range.
    """

    timeout: float | None = None
    retries: int = 0
    concurrency: int | None = None
    calls: int | None = None

    def __attrs_post_init__(self) -> None:
        timeout = self.timeout
        if timeout is not None and (not isinstance(timeout, int | float) or timeout is True or not timeout > 0):
            raise ToolDefinitionError(f"timeout is {timeout!r}", hint="Give seconds above 0, or leave it out.")
        for name, least in (("retries", 0), ("concurrency", 1), ("calls", 1)):
            value = getattr(self, name)
            if value is None and name != "retries":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                hint = f"Give a whole number of at least {least}, or leave it out."
                raise ToolDefinitionError(f"{name} is {value!r}", hint=hint)


NO_LIMITS = ToolLimits()


@attrs.define(eq=False)
class Tool:
    """A function that a model may call. Make one with `@tool`. All fields are read-only by convention.

    Attributes:
        name: the name for the model
        description: the description for the model
        parameters: a JSON Schema of type object
        function: the function to call
        decode: turns the JSON text from the model into keyword arguments, or raises `ToolArgumentError`
        is_async: the function is awaited. Other functions run in a worker thread, unless `inline` or `process` is set.
            A thread cannot be stopped: when its call is cancelled or times out, the thread is abandoned and runs to its
            end. A long function can call `trio.from_thread.check_cancelled()` to learn whether to give up
        inline: the function runs in place, which is quicker for a function that takes microseconds and never waits
        process: the function runs in a worker process, which is killed at its deadline and when its run is cancelled
        parallel: the function may run beside the other calls of the turn; otherwise it runs alone, in the calls' order
        batch: the function takes a list, with an item for each call of the turn, and returns a list of their results
        limits: the bounds of the tool
        injected: the parameters that the run fills in; the model does not see them
        approve: `True` to pause the run before each call until a person approves; or a function, async or not, that
            takes any of the call's arguments and of the values that the run fills in. It returns whether to ask, or the
            reason to ask as text
        expires: seconds that the person has to answer
        external: the function is never called: the run pauses, and the person who answers carries out the call
        idempotent: a call interrupted by the end of its process may be made again
        read_only: the tool changes nothing; `None` for not known. A note for approvals and for people, not a limit
        destructive: the tool may destroy something, and not only add; `None` for not known
        standing: a person may approve later calls together with this one, and a hook may review the call; otherwise a
            person is asked each time
        asks: the parameters that the user fills in while the run pauses: a schema and its decoder
        check_ready: raises an error if the tool cannot work, or returns a line to show at start (see `readiness`)
        pauses: the tool may pause its run; computed
        predicate: how to call `approve`, if `approve` is a function; computed
        plain: a call costs no more than calling the function, because no option asks for more; computed
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = attrs.field(repr=False)
    function: Callable[..., Any] = attrs.field(repr=False)
    decode: Callable[[str], dict[str, Any]] = attrs.field(repr=False)
    is_async: bool = False
    inline: bool = False
    process: bool = False
    parallel: bool = True
    batch: bool = False
    limits: ToolLimits = NO_LIMITS
    injected: Mapping[str, Injection] = attrs.field(default=NOTHING, repr=False)
    approve: bool | Callable[..., Any] = False
    expires: float | None = None
    external: bool = False
    idempotent: bool = False
    read_only: bool | None = None
    destructive: bool | None = None
    standing: bool = True
    asks: Parameters | None = attrs.field(default=None, repr=False)
    check_ready: Callable[[], Any] | None = attrs.field(default=None, repr=False)
    pauses: bool = attrs.field(init=False, repr=False)
    predicate: Predicate | None = attrs.field(init=False, repr=False)
    plain: bool = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.pauses = self.approve is not False or self.external or self.asks is not None
        _check_options(self)
        self.predicate = None
        if not isinstance(self.approve, bool):
            known = self.parameters.get("properties", {})
            self.predicate = predicate_of(self.approve, self.name, self.function, known)
        in_place = self.is_async or self.inline
        costly = not in_place or self.process or self.batch or self.pauses or self.injected
        self.plain = not costly and self.limits == NO_LIMITS

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, as if it had never been made a tool."""
        return self.function(*args, **kwargs)


Functions: TypeAlias = Sequence[Tool | Callable[..., Any]]
Opened: TypeAlias = Functions | AsyncIterable["Functions | ToolkitChanged"]
"""What the context manager of a toolkit yields."""


@attrs.define(eq=False)
class Toolkit:
    """A named group of tools with what they share. An agent with a toolkit has all of the toolkit's tools.

    Attributes:
        name: the name, for people and errors
        tools: the tools; none for a toolkit with `open`
        open: opens what the tools share, such as a connection to a server, and finds the tools: a function without
            arguments that returns an async context manager, which yields a sequence of tools and functions, or, for
            tools that change, an async iterable of such sequences. The iterable may also yield a `ToolkitChanged`, for
            observers. Each runtime enters the context manager before the
            first run with the toolkit and leaves it at its end, both in the same task

    Raises `ToolDefinitionError` for a toolkit with both tools and `open`.
    """

    name: str
    tools: Sequence[Tool] = ()
    open: Callable[[], AbstractAsyncContextManager[Opened]] | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.open is None:
            return
        if self.tools:
            hint = "Leave tools out; yield all tools from the context manager."
            raise ToolDefinitionError(f"toolkit {self.name!r} has both tools and open", hint=hint)
        if not callable(self.open):
            hint = "Give the function itself, without calling it: open=connect."
            raise ToolDefinitionError(f"open of toolkit {self.name!r} is {self.open!r}, not a function", hint=hint)


@attrs.frozen(eq=False)
class ToolSearch:
    """Tools that the model is not told of, but finds by searching. Write `Agent(tools=[ToolSearch([...])])`.

    The model sees two tools in their place: `search_tools` returns the best tools for some words, with their
    parameters, and `call_tool` calls one of them. So a request has the same short list of tools, however many there
    are, and the provider's cache keeps the beginning of the request. A found tool's call is an ordinary call of that
    tool: approvals, limits, hooks, events and the journal have its name.

    Attributes:
        tools: what an agent's `tools` may hold: tools, functions, toolkits and specs
    """

    tools: tuple[Any, ...] = attrs.field(converter=_list_entries)


class ToolOptions(TypedDict, total=False):
    """The options of `@tool(...)`: fields of `Tool`, and the fields of `ToolLimits` in place of `limits`.

    Attributes:
        name: the name for the model; the function's name by default
        description: the description for the model; by default the docstring without the part about parameters
        inline: run the function in place
        process: run the function in a worker process, which can be killed. Needs a plain function at the top level of a
            module, arguments that can be pickled, and `pip install 'agno-rt[process]'`
        parallel: `False` to run the function alone among the calls of a turn
        batch: pass all calls of a turn to the function at once
        timeout: seconds for one attempt
        retries: how often to try again after a failure
        concurrency: calls in progress at once, over the whole runtime
        calls: calls in one run
        approve: `True` to ask a person before each call; or a function of the call's arguments that decides on asking
        expires: seconds until it is too late to approve or to answer
        external: leave the call to the person who answers, outside the program; the function may be `...`
        idempotent: repeat a call interrupted by the end of the process; otherwise the model is told of the interruption
        read_only: say that the tool changes nothing, or that it does
        destructive: say that the tool may destroy something, or that it only adds
        standing: `False` to ask a person each time, without standing approvals and reviews by hooks
        check_ready: a function that raises an error if the tool cannot work, or returns a line to show at start
    """

    name: str
    description: str
    inline: bool
    process: bool
    parallel: bool
    batch: bool
    timeout: float | None
    retries: int
    concurrency: int | None
    calls: int | None
    approve: bool | Callable[..., Any]
    expires: float | None
    external: bool
    idempotent: bool
    read_only: bool | None
    destructive: bool | None
    standing: bool
    check_ready: Callable[[], Any] | None


@overload
def tool(function: Callable[..., Any], /, **options: Unpack[ToolOptions]) -> Tool: ...


@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None, /, **options: Unpack[ToolOptions]
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function, async or not: `@tool`, or `@tool(inline=True)`. `ToolOptions` lists the options.

    Methods, `functools.partial` objects, objects with `__call__` and decorated functions work, too. The model neither
    sees nor changes arguments bound by a partial. A coroutine returned by a sync function is awaited.

    The tool's name is the function's, its description is the docstring, and its parameters follow the annotations.
    Parameters described in the docstring, in Google's, NumPy's or Sphinx's style, keep their descriptions. A
    `msgspec.Meta` in a `typing.Annotated` (description, bounds, pattern) takes precedence, and its bounds are checked.

    The run fills in parameters of type `RunContext`, `Deps[...]` and `State[...]`; the user fills in `FromUser[...]`
    while the run pauses. The model receives a text as it is; `Media`, alone or in a list with texts, as media; any
    other result as JSON. An exception from the function is reported to the model, too, and the run goes on.

    A `batch` tool's function takes one list beside the parameters that the run fills in: `list[Point]` if each call is
    described as a `Point`; items that are not objects become calls with one parameter, `item`. The function returns a
    result for each item, in order; an exception in the list is reported to its own call.

    Raises `ToolDefinitionError` for a signature that JSON Schema cannot describe, and for conflicting options.
    """
    return functools.partial(_make_tool, options=options) if function is None else _make_tool(function, options)


def _make_tool(function: Callable[..., Any], options: ToolOptions) -> Tool:
    # Imported here because these modules take time to import, and a program without tools does not need them.
    from agno_rt._schema.describe import describe
    from agno_rt._schema.docstrings import parameter_docs
    from agno_rt._schema.signatures import called_by, parameter_names, signature_of

    function = _unwrap_tool(function)
    called = _choose_name(function, options)
    # The function that runs in the end: for an object with `__call__`, that method. It may be async or documented.
    body = called_by(function)
    if inspect.isasyncgenfunction(body) or inspect.isgeneratorfunction(body):
        raise ToolDefinitionError(f"tool {called!r} yields", hint="Return the whole result instead.")
    injected = injections(function, called)
    names = signature_of(function, called).parameters
    documented = {*names, *parameter_names(function)}
    text, said = parameter_docs(_read_docstring(function), documented)
    if body is not function:
        said = parameter_docs(inspect.getdoc(body), documented)[1] | said
    batch = options.get("batch", False)
    described = (_describe_batch if batch else describe)(function, called, hidden=injected.keys(), said=said)
    asked = {name for name, injection in injected.items() if injection.what == "user"}
    description = options.get("description")
    return Tool(
        name=called,
        description=text if description is None else description,
        parameters=described.schema,
        function=function,
        decode=functools.partial(_decode_arguments, described.decode, called),
        is_async=inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(body),
        inline=options.get("inline", False),
        process=options.get("process", False),
        parallel=options.get("parallel", True),
        batch=batch,
        limits=_build_limits(called, options),
        injected=injected,
        approve=options.get("approve", False),
        expires=options.get("expires"),
        external=options.get("external", False),
        idempotent=options.get("idempotent", False),
        read_only=options.get("read_only"),
        destructive=options.get("destructive"),
        standing=options.get("standing", True),
        asks=describe(function, called, hidden=names.keys() - asked, said=said) if asked else None,
        check_ready=options.get("check_ready"),
    )


def _unwrap_tool(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of a tool, or a partial of it for a partial of a tool; anything else unchanged."""
    if isinstance(function, Tool):
        return function.function
    if isinstance(function, functools.partial) and isinstance(function.func, Tool):
        return functools.partial(function.func.function, *function.args, **function.keywords)
    return function


def _read_docstring(function: Callable[..., Any]) -> str | None:
    """Return the docstring. Look through `functools.partial`, whose own docstring decorators copy, to its function."""
    while (doc := inspect.getdoc(function)) == _DOC_OF_PARTIAL:
        inner = getattr(function, "func", getattr(function, "__wrapped__", None))
        if inner is None:
            return None
        function = inner
    return doc


_DOC_OF_PARTIAL = inspect.getdoc(functools.partial)


def _choose_name(function: Callable[..., Any], options: ToolOptions) -> str:
    """Return the tool's name. Raises `ToolDefinitionError` for an unknown option and for a missing name."""
    for option in options.keys() - ToolOptions.__annotations__.keys():
        hint = suggest("option", option, ToolOptions.__annotations__)
        raise ToolDefinitionError(f"@tool has no option {option!r}", hint=hint)
    called = options.get("name") or getattr(_unwrap_partial(function), "__name__", "")
    if not isinstance(called, str) or not called or called == "<lambda>":
        what = "a lambda" if called == "<lambda>" else f"an object of {type(_unwrap_partial(function)).__name__}"
        lacking = f"{called!r} is not one" if options.get("name") else f"{what} has none"
        hint = "Give it one: tool(function, name='...')."
        raise ToolDefinitionError(f"a tool needs a name, and {lacking}", hint=hint)
    return called


def _unwrap_partial(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function inside a partial, however deep; any other function unchanged."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _build_limits(called: str, options: ToolOptions) -> ToolLimits:
    try:
        return ToolLimits(
            options.get("timeout"), options.get("retries", 0), options.get("concurrency"), options.get("calls")
        )
    except ToolDefinitionError as exc:
        raise exc.at(f"tool {called!r}") from None


def _decode_arguments(decode: Callable[[str], dict[str, Any]], name: str, arguments: str) -> dict[str, Any]:
    try:
        return decode(arguments or "{}")
    except msgspec.MsgspecError as exc:
        # Some models write "" or "null" for no arguments. Checked only on failure, so that other calls do not pay.
        if arguments != "{}" and arguments.strip() in ("", "null"):
            return _decode_arguments(decode, name, "{}")
        raise ToolArgumentError(f"The arguments of {name} do not fit its schema: {exc}") from exc


def _check_options(tool: Tool) -> None:
    """Raise `ToolDefinitionError` for a tool with conflicting options."""
    place = f"tool {tool.name!r}"
    for name in ("inline", "process", "parallel", "batch", "external", "idempotent"):
        if not isinstance(getattr(tool, name), bool):
            raise ToolDefinitionError(f"{place}: {name} is {getattr(tool, name)!r}", hint="Give True or False.")
    _check_notes(tool, place)
    if tool.inline and not tool.is_async and tool.limits.timeout is not None:
        problem, hint = "runs inline, where nothing can stop it", "Leave out inline, or the timeout."
        raise ToolDefinitionError(f"{place} {problem}", hint=hint)
    _check_pausing(tool, place)
    if tool.process:
        _check_process(tool, place)


def _check_notes(tool: Tool, place: str) -> None:
    for name in ("read_only", "destructive"):
        if not isinstance(getattr(tool, name), bool | None):
            raise ToolDefinitionError(f"{place}: {name} is {getattr(tool, name)!r}", hint="Give True, False or None.")
    if tool.read_only and tool.destructive:
        hint = "Leave out one of the two: destructive tools change something."
        raise ToolDefinitionError(f"{place} is both read_only and destructive", hint=hint)


def _check_pausing(tool: Tool, place: str) -> None:
    approve, expires = tool.approve, tool.expires
    if not isinstance(approve, bool) and not callable(approve):
        hint = "Give True, or a function of the call's arguments that says whether to ask."
        raise ToolDefinitionError(f"{place}: approve is {approve!r}", hint=hint)
    if expires is not None:
        if not isinstance(expires, int | float) or expires is True or not 0 < expires < math.inf:
            raise ToolDefinitionError(f"{place}: expires is {expires!r}", hint="Give seconds above 0, or leave it out.")
        if not tool.pauses:
            hint = "Leave out expires, or add what the run waits for: approve, external, or FromUser[...]."
            raise ToolDefinitionError(f"{place} has expires, but asks nobody", hint=hint)
    if not tool.pauses:
        return
    if tool.batch:
        hint = "Leave out batch: when a tool may pause its run, each call waits by itself."
        raise ToolDefinitionError(f"{place} is a batch, and may pause its run", hint=hint)
    if tool.asks is not None and approve is not False:
        problem = "asks the user for input, and for approval as well"
        hint = "Leave out approve: the user who is asked for input may deny the call."
        raise ToolDefinitionError(f"{place} {problem}", hint=hint)
    if tool.external and (beside := _beside_external(tool)):
        hint = "Leave out one or the other: the function is never called, and the person may deny the call."
        raise ToolDefinitionError(f"{place} is external, and has {' and '.join(beside)}", hint=hint)


def _beside_external(tool: Tool) -> list[str]:
    """List the options of an external tool that say how to call its function."""
    options = [name for name in ("inline", "process", "idempotent", "approve") if getattr(tool, name) is not False]
    return [*options, *([] if tool.limits == NO_LIMITS else ["limits"]), *tool.injected]


def _check_process(tool: Tool, place: str) -> None:
    if tool.inline:
        raise ToolDefinitionError(f"{place} is both inline and process", hint="Leave out one of the two.")
    if tool.is_async:
        problem, hint = "runs in a process, and is async", "Make it a plain function: nothing else runs in the process."
        raise ToolDefinitionError(f"{place} {problem}", hint=hint)
    if tool.injected:
        problem = f"runs in a process, where {', '.join(tool.injected)} cannot be filled in"
        hint = "A process shares nothing with the run: pass what it needs as arguments, or leave out process."
        raise ToolDefinitionError(f"{place} {problem}", hint=hint)
    # The name of a lambda or of a function inside another has "<" in it, and a worker cannot import either.
    qualname = getattr(tool.function, "__qualname__", "<nothing>")
    if not inspect.isfunction(tool.function) or "<" in qualname or tool.function.__module__ not in sys.modules:
        problem = "runs in a process, which must find the function by name"
        hint = "Make it a plain function at the top level of a module."
        raise ToolDefinitionError(f"{place} {problem}", hint=hint)


_LISTS = (list, collections.abc.Collection, collections.abc.Iterable, collections.abc.Sequence)


def _describe_batch(
    function: Callable[..., Any], name: str, *, hidden: collections.abc.Collection[str], said: Mapping[str, str]
) -> Parameters:
    """Describe one call of a batch tool: by the type of the list's items, or as one parameter of that type."""
    from agno_rt._schema.describe import Parameters, describe, type_decoder, type_schema
    from agno_rt._schema.signatures import hints_of, signature_of

    parameters = [parameter for parameter in signature_of(function, name).parameters if parameter not in hidden]
    hints = hints_of(function, name)
    hint = hints.get(parameters[0]) if len(parameters) == 1 else None
    hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(hint) not in _LISTS:
        advice = "Write `def embed(texts: list[str]) -> list[...]`; the run may fill in further parameters."
        raise ToolDefinitionError(f"tool {name!r} is a batch, and does not take one list", hint=advice)
    [list_name], [item] = parameters, get_args(hint)
    schema = type_schema(item, what=f"tool {name!r}")
    if schema.get("type") == "object":
        decode_item = type_decoder(item)
        return Parameters(schema, lambda text: {list_name: decode_item(text)})

    # A list of texts or numbers has no schema of type object: describe a function with the one parameter `item`.
    def one(**values: Any) -> None: ...

    keyword = inspect.Parameter("item", inspect.Parameter.KEYWORD_ONLY, annotation=item)
    one.__signature__ = inspect.Signature([keyword])  # type: ignore[attr-defined]  # how a signature is made up
    one.__annotations__ = {"item": item}
    described = describe(one, name, said={"item": said[list_name]} if list_name in said else None)
    return Parameters(described.schema, lambda text: {list_name: described.decode(text)["item"]})
