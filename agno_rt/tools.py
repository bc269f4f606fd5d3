"""Tools as values: a callable with a name, a description and a parameter schema computed once. Knows no runs."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, Unpack, get_args, get_origin, overload

import attrs
import msgspec

from agno_rt._schema.injection import NOTHING, Injection, Predicate, injections, predicate_of
from agno_rt.errors import ToolDefinitionError, suggest

if TYPE_CHECKING:
    from agno_rt._schema.describe import Parameters

__all__ = ["Tool", "ToolArgumentError", "ToolLimits", "ToolOptions", "Toolkit", "tool"]


class ToolArgumentError(ValueError):
    """Arguments that do not fit a tool's schema; the text is meant for the model that wrote them.

    A tool may raise it of arguments that fit the schema and are wrong all the same: the model is told the text, and
    the call is not tried again.
    """


@attrs.frozen
class ToolLimits:
    """The bounds of one tool, beside those of the run. `None` is no limit.

    Attributes:
        timeout: seconds for one attempt; of it and the run's `tool_timeout` the narrower counts. The model is told
        retries: how often a call that failed is tried again, at once; the model is told of the last failure
        concurrency: calls under way at once over the whole runtime; more wait, for `queue_timeout` at most
        calls: how often the tool may be called in one run; of one more the model is told that it was not made

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
    """Something that a model may call. Make one with `@tool`; every field is read-only by convention.

    Attributes:
        name: what the model calls it
        description: what the model is told of it
        parameters: a JSON Schema of type object
        function: what is called
        decode: turns the JSON text that a model wrote into keyword arguments, or raises `ToolArgumentError`
        is_async: the function is awaited. Any other runs in a worker thread, unless the next two say otherwise. A
            thread cannot be stopped: where its call is cancelled or takes too long, it is left behind and runs to its
            end with nobody waiting. A long one can ask `trio.from_thread.check_cancelled()` whether it should give up
        inline: the function runs in place, which is quicker for something that takes microseconds and never waits
        process: the function runs in a worker process, which is killed at its deadline and when its run is cancelled
        parallel: it may run beside the other calls of its turn; else it runs alone, in its place in their order
        batch: the function takes a list, with an item of each call of the turn, and returns a list of their results
        limits: the bounds of the tool
        injected: the parameters that the run fills in, which the model does not see
        approve: whether its run pauses before each call until a person approves of it; or a function, async or not,
            that is passed those of the call's arguments that it has parameters for, and what the run fills in. It
            returns whether to ask, or the reason to ask as text
        expires: seconds that whoever is asked has time
        external: the function is never called: the run pauses, and whoever answers carries out the call
        idempotent: a call that was under way when its process died may be made again
        asks: the parameters that the user fills in, for which the run pauses: a schema and its decoder
        check_ready: raises what keeps the tool from working, or returns a line to show at start (see `readiness`)
        pauses: it may pause its run; found out by itself
        predicate: how `approve` is asked, where it is a function; found out by itself
        plain: nothing of what costs a call more than calling the function is asked for; found out by itself
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
    asks: Parameters | None = attrs.field(default=None, repr=False)
    check_ready: Callable[[], Any] | None = attrs.field(default=None, repr=False)
    pauses: bool = attrs.field(init=False, repr=False)
    predicate: Predicate | None = attrs.field(init=False, repr=False)
    plain: bool = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.pauses = self.approve is not False or self.external or self.asks is not None
        _check(self)
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


@attrs.define(eq=False)
class Toolkit:
    """A named group of tools with what they share. An agent that is given a toolkit has all its tools."""

    name: str
    tools: Sequence[Tool]


class ToolOptions(TypedDict, total=False):
    """What `@tool(...)` may be told: the fields of `Tool`, and in the place of its limits those of `ToolLimits`.

    Attributes:
        name: what the model calls it; the function's name by default
        description: what the model is told of it; by default the docstring, less what that says of parameters
        inline: run it in place
        process: run it in a worker process, which can be killed. It takes a plain function at the top level of a
            module, with arguments that can be pickled, and `pip install 'agno-rt[process]'`
        parallel: `False` to run it alone among the calls of a turn
        batch: give it all calls of a turn at once
        timeout: seconds for one attempt
        retries: how often to try again when it fails
        concurrency: calls under way at once over the whole runtime
        calls: calls in one run
        approve: `True` to have a person approve of each call before it is made; or a function of the call's arguments
            that says of which
        expires: seconds until nobody can approve, or answer, any more
        external: have the call carried out by whoever answers, outside; the function may be `...`
        idempotent: make a call again that was under way when the process died; else the model is told
        check_ready: a function that raises what keeps the tool from working, or returns a line to show at start
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
    check_ready: Callable[[], Any] | None


@overload
def tool(function: Callable[..., Any], /, **options: Unpack[ToolOptions]) -> Tool: ...


@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None, /, **options: Unpack[ToolOptions]
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function, async or not: `@tool`, or `@tool(inline=True)`; `ToolOptions` lists what may be said.

    A method, a `functools.partial`, an object with `__call__` and a function behind decorators are functions too. What
    a partial has bound the model neither sees nor changes. A coroutine that a sync function returns is awaited.

    Its name is the function's, its description the docstring, its parameters the annotated signature. What the
    docstring says of a parameter, in Google's, NumPy's or Sphinx's style, becomes its description; what
    `typing.Annotated` says with `msgspec.Meta` (description, bounds, pattern) goes before that, and is checked.

    A parameter of type `RunContext`, `Deps[...]` or `State[...]` is filled in by the run, one of type `FromUser[...]`
    by the user, for whom the run pauses. A result is told to the model as it is where it is text; `Media`, alone or in
    a list with texts, as media; anything else as JSON. Whatever the function raises is told too, and the run goes on.

    A `batch` tool's function takes one list beside those: `list[Point]` for calls that are described as a `Point`
    each; calls of a type that is no object have one parameter, `item`. It returns as many results, in their order;
    an exception among them is told to its call alone.

    Raises `ToolDefinitionError` for a signature that no JSON Schema describes, and options that do not go together.
    """
    return functools.partial(_make, options=options) if function is None else _make(function, options)


def _make(function: Callable[..., Any], options: ToolOptions) -> Tool:
    # What describes functions takes time to import, and a program without tools has no use for it.
    from agno_rt._schema.describe import describe
    from agno_rt._schema.docstrings import parameter_docs
    from agno_rt._schema.signatures import called_by, parameter_names, signature_of

    function = _itself(function)
    called = _name_of(function, options)
    body = called_by(function)
    if inspect.isasyncgenfunction(body) or inspect.isgeneratorfunction(body):
        raise ToolDefinitionError(f"tool {called!r} yields", hint="Return the whole result instead.")
    injected = injections(function, called)
    names = signature_of(function, called).parameters
    documented = {*names, *parameter_names(function)}
    text, said = parameter_docs(_doc(function), documented)
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
        decode=functools.partial(_decode, described.decode, called),
        is_async=inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(body),
        inline=options.get("inline", False),
        process=options.get("process", False),
        parallel=options.get("parallel", True),
        batch=batch,
        limits=_limits(called, options),
        injected=injected,
        approve=options.get("approve", False),
        expires=options.get("expires"),
        external=options.get("external", False),
        idempotent=options.get("idempotent", False),
        asks=describe(function, called, hidden=names.keys() - asked, said=said) if asked else None,
        check_ready=options.get("check_ready"),
    )


def _itself(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with that of a tool in the place of the tool: for a tool that is made of another."""
    if isinstance(function, Tool):
        return function.function
    if isinstance(function, functools.partial) and isinstance(function.func, Tool):
        return functools.partial(function.func.function, *function.args, **function.keywords)
    return function


def _doc(function: Callable[..., Any]) -> str | None:
    """The docstring; in the place of that of `functools.partial`, which decorators copy, that of its function."""
    while (doc := inspect.getdoc(function)) == _DOC_OF_PARTIAL:
        inner = getattr(function, "func", getattr(function, "__wrapped__", None))
        if inner is None:
            return None
        function = inner
    return doc


_DOC_OF_PARTIAL = inspect.getdoc(functools.partial)


def _name_of(function: Callable[..., Any], options: ToolOptions) -> str:
    """What the tool is called. Raises `ToolDefinitionError` for an option that there is not, and for no name."""
    for option in options.keys() - ToolOptions.__annotations__.keys():
        hint = suggest("option", option, ToolOptions.__annotations__)
        raise ToolDefinitionError(f"@tool has no option {option!r}", hint=hint)
    called = options.get("name") or getattr(_whole(function), "__name__", "")
    if not isinstance(called, str) or not called or called == "<lambda>":
        what = "a lambda" if called == "<lambda>" else f"an object of {type(_whole(function)).__name__}"
        lacking = f"{called!r} is not one" if options.get("name") else f"{what} has none"
        hint = "Give it one: tool(function, name='...')."
        raise ToolDefinitionError(f"a tool needs a name, and {lacking}", hint=hint)
    return called


def _whole(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that a partial, or a partial of one, is of; any other as it is."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _limits(called: str, options: ToolOptions) -> ToolLimits:
    try:
        return ToolLimits(
            options.get("timeout"), options.get("retries", 0), options.get("concurrency"), options.get("calls")
        )
    except ToolDefinitionError as exc:
        raise exc.at(f"tool {called!r}") from None


def _decode(decode: Callable[[str], dict[str, Any]], name: str, arguments: str) -> dict[str, Any]:
    try:
        return decode(arguments or "{}")
    except msgspec.MsgspecError as exc:
        # Asked here alone, so that the usual call does not pay for it: some models write nothing in other words.
        if arguments != "{}" and arguments.strip() in ("", "null"):
            return _decode(decode, name, "{}")
        raise ToolArgumentError(f"The arguments of {name} do not fit its schema: {exc}") from exc


def _check(tool: Tool) -> None:
    """Raise `ToolDefinitionError` for a tool whose parts do not go together."""
    place = f"tool {tool.name!r}"
    for name in ("inline", "process", "parallel", "batch", "external", "idempotent"):
        if not isinstance(getattr(tool, name), bool):
            raise ToolDefinitionError(f"{place}: {name} is {getattr(tool, name)!r}", hint="Give True or False.")
    if tool.inline and not tool.is_async and tool.limits.timeout is not None:
        problem, hint = "runs inline, where nothing can stop it", "Leave out inline, or the timeout."
        raise ToolDefinitionError(f"{place} {problem}", hint=hint)
    _check_pausing(tool, place)
    if tool.process:
        _check_process(tool, place)


def _check_pausing(tool: Tool, place: str) -> None:
    approve, expires = tool.approve, tool.expires
    if not isinstance(approve, bool) and not callable(approve):
        hint = "Give True, or a function of the call's arguments that says whether to ask."
        raise ToolDefinitionError(f"{place}: approve is {approve!r}", hint=hint)
    if expires is not None:
        if not isinstance(expires, int | float) or expires is True or not 0 < expires < math.inf:
            raise ToolDefinitionError(f"{place}: expires is {expires!r}", hint="Give seconds above 0, or leave it out.")
        if not tool.pauses:
            hint = "Leave out expires, or say what the run is to wait for: approve, external, or FromUser[...]."
            raise ToolDefinitionError(f"{place} expires, and asks nobody", hint=hint)
    if not tool.pauses:
        return
    if tool.batch:
        hint = "Leave out batch: each call of a tool that may pause its run waits by itself."
        raise ToolDefinitionError(f"{place} is a batch, and may pause its run", hint=hint)
    if tool.asks is not None and approve is not False:
        problem = "asks the user for input, and for approval as well"
        hint = "Leave out approve: who is asked for input may deny the call."
        raise ToolDefinitionError(f"{place} {problem}", hint=hint)
    if tool.external and (beside := _beside_external(tool)):
        hint = "Leave it out, or external: the function is never called, and who is asked may deny the call."
        raise ToolDefinitionError(f"{place} is external, and has {' and '.join(beside)}", hint=hint)


def _beside_external(tool: Tool) -> list[str]:
    """What an external tool has that says how its function is called."""
    options = [name for name in ("inline", "process", "idempotent", "approve") if getattr(tool, name) is not False]
    return [*options, *([] if tool.limits == NO_LIMITS else ["limits"]), *tool.injected]


def _check_process(tool: Tool, place: str) -> None:
    if tool.inline:
        raise ToolDefinitionError(f"{place} is both inline and process", hint="It runs here, or there: choose.")
    if tool.is_async:
        problem, hint = "runs in a process, and is async", "Make it a plain function: nothing else runs in there."
        raise ToolDefinitionError(f"{place} {problem}", hint=hint)
    if tool.injected:
        problem = f"runs in a process, where {', '.join(tool.injected)} cannot be filled in"
        hint = "A process shares nothing with the run: pass what it needs as arguments, or leave out process."
        raise ToolDefinitionError(f"{place} {problem}", hint=hint)
    qualname = getattr(tool.function, "__qualname__", "<nothing>")
    if not inspect.isfunction(tool.function) or "<" in qualname or tool.function.__module__ not in sys.modules:
        problem = "runs in a process, which has to find its function by name"
        hint = "Make it a plain function at the top level of a module."
        raise ToolDefinitionError(f"{place} {problem}", hint=hint)


_LISTS = (list, collections.abc.Collection, collections.abc.Iterable, collections.abc.Sequence)


def _describe_batch(
    function: Callable[..., Any], name: str, *, hidden: collections.abc.Collection[str], said: Mapping[str, str]
) -> Parameters:
    """Describe one call of a batch tool: as the type of the list's items, or as one parameter of it."""
    from agno_rt._schema.describe import Parameters, describe, type_decoder, type_schema
    from agno_rt._schema.signatures import hints_of, signature_of

    parameters = [parameter for parameter in signature_of(function, name).parameters if parameter not in hidden]
    hints = hints_of(function, name)
    hint = hints.get(parameters[0]) if len(parameters) == 1 else None
    hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(hint) not in _LISTS:
        advice = "Write it as in `def embed(texts: list[str]) -> list[...]`; what the run fills in may stand beside it."
        raise ToolDefinitionError(f"tool {name!r} is a batch, and does not take one list", hint=advice)
    [list_name], [item] = parameters, get_args(hint)
    schema = type_schema(item, what=f"tool {name!r}")
    if schema.get("type") == "object":
        decode_item = type_decoder(item)
        return Parameters(schema, lambda text: {list_name: decode_item(text)})

    def one(**values: Any) -> None: ...

    keyword = inspect.Parameter("item", inspect.Parameter.KEYWORD_ONLY, annotation=item)
    one.__signature__ = inspect.Signature([keyword])  # type: ignore[attr-defined]  # how a signature is made up
    one.__annotations__ = {"item": item}
    described = describe(one, name, said={"item": said[list_name]} if list_name in said else None)
    return Parameters(described.schema, lambda text: {list_name: described.decode(text)["item"]})
