"""Finds the parameters of a tool that the run fills in, by their types, and collects the values. Knows no runs.

The types are `RunContext`, `Deps[...]`, `State[...]` and `FromUser[...]`, alone or `| None`. The model never sees these
parameters. A function given as `approve` is filled in the same way.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

import msgspec

from agno_rt.context import Injected, RunContext, find_dep
from agno_rt.errors import ToolDefinitionError, UsageError, suggest

__all__ = ["NOTHING", "Injection", "Predicate", "asks_for_context", "fill_in", "injections", "predicate_of"]

_NONE = type(None)
_What: TypeAlias = Literal["context", "deps", "state", "user"]


class Injection(msgspec.Struct, frozen=True):
    """The source of one parameter: the run's context, a dependency, the session's state, or the user.

    `type` is checked for dependencies and state; the tool's schema describes the user's value. A missing value becomes
    `None` for an `optional` parameter; a parameter with a default of its own is left out.
    """

    what: _What
    type: Any
    optional: bool
    has_default: bool


NOTHING: Mapping[str, Injection] = types.MappingProxyType({})


def injections(function: Callable[..., Any], name: str) -> Mapping[str, Injection]:
    """Return the parameters of a tool's function that the run fills in. Raises `ToolDefinitionError`."""
    from agno_rt._schema.signatures import hints_of, signature_of  # imported late: an agent without tools needs neither

    hints = hints_of(function, name)
    found: dict[str, Injection] = {}
    for parameter in signature_of(function, name).parameters.values():
        marked = _find_mark(hints.get(parameter.name))
        if marked is None:
            continue
        what, type_, optional = marked
        place = f"tool {name!r}: parameter {parameter.name!r}"
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolDefinitionError(f"{place} cannot be filled in", hint="Make it a plain named parameter.")
        has_default = parameter.default is not parameter.empty
        type_ = _check_user_type(type_, place) if what == "user" else _make_checkable(type_, what, place)
        found[parameter.name] = Injection(what, type_, optional, has_default)
    return found or NOTHING


def _find_mark(hint: Any) -> tuple[_What, Any, bool] | None:
    """Return the source that an annotation names, the type, and whether `None` is allowed; `None` without a source."""
    optional = False
    if get_origin(hint) in (Union, types.UnionType) and _NONE in get_args(hint):
        others = [part for part in get_args(hint) if part is not _NONE]
        hint, optional = (others[0] if len(others) == 1 else hint), True
    if hint is RunContext or get_origin(hint) is RunContext:
        return "context", RunContext, optional
    if get_origin(hint) is not Annotated:
        return None
    mark = next((part for part in hint.__metadata__ if isinstance(part, Injected)), None)
    if mark is None:
        return None
    type_ = hint.__origin__
    return mark.what, type_, optional or _NONE in get_args(type_)


def _check_user_type(type_: Any, place: str) -> Any:
    """Return the type of a value from the user. Raises `ToolDefinitionError` for a bare `FromUser`."""
    if isinstance(type_, TypeVar):
        raise ToolDefinitionError(
            f"{place} does not say what the user gives", hint="Name the type, as in FromUser[str]."
        )
    return type_


def _make_checkable(type_: Any, what: str, place: str) -> Any:
    """Return a class or a tuple of classes for `isinstance`. Raises `ToolDefinitionError` if there is none."""
    title = what.capitalize()
    if isinstance(type_, TypeVar) or type_ is Any:
        hint = f"Name the type, as in {title}[Database]."
        raise ToolDefinitionError(f"{place} does not say which type of {what} it takes", hint=hint)
    if get_origin(type_) in (Union, types.UnionType):
        return tuple(_make_checkable(part, what, place) for part in get_args(type_) if part is not _NONE)
    type_ = get_origin(type_) or type_
    # At run time a TypedDict is a dict, and refuses `isinstance`.
    if typing.is_typeddict(type_):
        return dict
    try:
        # Tried here, so that a type without `isinstance` fails at the definition of the tool and not in a run.
        isinstance(None, type_)
    except TypeError as exc:
        hint = f"Write {title}[...] of a class; a Protocol has to be decorated with @runtime_checkable."
        raise ToolDefinitionError(f"{place} has a type that `isinstance` cannot check: {exc}", hint=hint) from exc
    return type_


def asks_for_context(injected: Mapping[str, Injection]) -> bool:
    """Return whether a parameter needs the run's context; without one, the context need not be built."""
    return any(injection.what in ("context", "user") for injection in injected.values())


def fill_in(
    tool: str, injected: Mapping[str, Injection], deps: Any, state: Any, context: RunContext | None
) -> dict[str, Any]:
    """Collect the values of the parameters from the run.

    Raises `UsageError` for a missing value: only the caller of the run can supply one, the model cannot.
    """
    values: dict[str, Any] = {}
    for name, injection in injected.items():
        if injection.what == "context":
            values[name] = context
            continue
        if injection.what == "user":
            given = _find_user_values(tool, name, context)
            if name in given:
                values[name] = given[name]
            continue
        if injection.what == "deps":
            value = find_dep(deps, injection.type)
        else:
            value = state if isinstance(state, injection.type) else None
        if value is not None or (injection.optional and not injection.has_default):
            values[name] = value
        elif not injection.has_default:
            raise _build_missing_error(tool, name, injection, deps if injection.what == "deps" else state)
    return values


def _find_user_values(tool: str, name: str, context: RunContext | None) -> Mapping[str, Any]:
    """Return the user's values for the current call; parameters with a default may be missing."""
    given: Mapping[str, Any] | None = None
    if context is not None and context.call is not None and context._given is not None:
        given = context._given.get(context.call.id)
    if given is None:
        hint = "A run pauses before such a call. Call the tool in a run, or call the function directly."
        raise UsageError(f"tool {tool!r} takes {name!r} from the user, and nobody was asked", hint=hint)
    return given


def _build_missing_error(tool: str, name: str, injection: Injection, given: Any) -> UsageError:
    parts = injection.type if isinstance(injection.type, tuple) else (injection.type,)
    wanted = " | ".join(part.__name__ for part in parts)
    if injection.what == "deps":
        values = given if isinstance(given, tuple) else (given,)
        was = ", ".join(type(value).__name__ for value in values if value is not None) or "none"
        problem = f"tool {tool!r} needs a {wanted} for {name!r}, and the run was given as dependencies: {was}"
        return UsageError(problem, hint=f"Pass it to the run: deps={wanted}(...), or a tuple of several.")
    was = "has none" if given is None else f"has {type(given).__name__}"
    problem = f"tool {tool!r} needs the session's state as {wanted} for {name!r}, and the run {was}"
    return UsageError(problem, hint=f"Give the agent its type: memory=MemoryPolicy(state={wanted}).")


class Predicate(msgspec.Struct, frozen=True):
    """A function that decides about calls of a tool. Build a predicate with `predicate_of`.

    `names` are the arguments of a call to pass, `None` for all; `defaults` replace arguments that the model left out;
    `injected` are the parameters that the run fills in.
    """

    function: Callable[..., Any]
    names: frozenset[str] | None
    defaults: Mapping[str, Any]
    injected: Mapping[str, Injection]

    def passed(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call that the function takes."""
        given = {**self.defaults, **arguments}
        return given if self.names is None else {name: given[name] for name in self.names & given.keys()}


def predicate_of(
    function: Callable[..., Any], tool: str, called: Callable[..., Any], known: Collection[str]
) -> Predicate:
    """Build the predicate for calls of a tool that runs `called` and has the arguments `known`.

    Raises `ToolDefinitionError` for a parameter that neither the call nor the run can fill.
    """
    from agno_rt._schema.signatures import signature_of  # imported late, as in `injections`

    place = f"tool {tool!r}: the function given as approve"
    injected = injections(function, tool)
    if taken := [name for name, injection in injected.items() if injection.what == "user"]:
        raise ToolDefinitionError(f"{place} takes {taken[0]!r} from the user", hint="It runs before the user is asked.")
    parameters = [each for each in signature_of(function, tool).parameters.values() if each.name not in injected]
    for each in parameters:
        if each.kind is each.POSITIONAL_ONLY:
            hint = "It is passed the call's arguments by their names."
            raise ToolDefinitionError(f"{place} takes {each.name!r} by position", hint=hint)
        plain = each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        if plain and each.default is each.empty and each.name not in known:
            hint = suggest("argument", each.name, known)
            raise ToolDefinitionError(f"{place} takes {each.name!r}, and the tool has no such argument", hint=hint)
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
    defaults = {
        each.name: each.default
        for each in signature_of(called, tool).parameters.values()
        if each.default is not each.empty and each.name in known
    }
    names = frozenset(each.name for each in parameters if each.name in known)
    return Predicate(function, None if takes_all else names, defaults, injected)
