"""Turns a function's signature into a JSON Schema and a decoder for its arguments, once. Knows nothing of tools.

msgspec does the work: the parameters become the fields of a Struct, which it can both describe and decode. A parameter
with a default may be left out; then nothing is passed, so that the function's own default applies.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import attrs
import msgspec

from agno_rt.errors import ToolDefinitionError

__all__ = ["Parameters", "describe", "type_schema"]

_UNREADABLE = (NameError, AttributeError, SyntaxError)
"""What an annotation that is a string raises when it is looked up."""

_UNUSABLE: dict[Any, str] = {
    inspect.Parameter.POSITIONAL_ONLY: "is positional-only",
    inspect.Parameter.VAR_POSITIONAL: "takes any number of arguments",
    inspect.Parameter.VAR_KEYWORD: "takes any keyword",
}


@attrs.frozen
class Parameters:
    """A signature, described: `schema` is an object schema; `decode` turns JSON text into keyword arguments.

    `decode` raises `msgspec.ValidationError` or `msgspec.DecodeError`, whose text names the place and the fault.
    """

    schema: dict[str, Any]
    decode: Callable[[str | bytes], dict[str, Any]]


def describe(function: Callable[..., Any], name: str) -> Parameters:
    """Describe the function's parameters; raises `ToolDefinitionError` that names the one that cannot be."""
    signature = _signature(function, name)
    hints = _hints(function, name)
    fields: list[tuple[str, Any, Any]] = []
    for parameter in signature.parameters.values():
        annotation = _annotation(parameter, hints, name)
        required = parameter.default is inspect.Parameter.empty
        optional = annotation if required else _optional(annotation, parameter.name, name)
        fields.append((parameter.name, optional, msgspec.NODEFAULT if required else msgspec.UNSET))
    struct = msgspec.defstruct(_identifier(name), fields, kw_only=True, forbid_unknown_fields=True)
    schema = type_schema(struct, what=f"tool {name!r}")
    schema.pop("title", None)
    _note_defaults(schema["properties"], signature)
    return Parameters(schema, _decoder(struct, tuple(signature.parameters)))


def type_schema(type_: Any, *, what: str) -> dict[str, Any]:
    """The JSON Schema of a type, with its outermost reference resolved; `what` names its owner in the error."""
    try:
        schemas, components = msgspec.json.schema_components((type_,), ref_template="#/$defs/{name}")
    except (TypeError, *_UNREADABLE) as exc:
        hint = "Use types that JSON can carry: str, int, float, bool, list, dict, Literal, an attrs or data class."
        raise ToolDefinitionError(f"{what} cannot be described: {exc}", hint=hint) from exc
    schema = schemas[0]
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = components.pop(name)
        if f'"#/$defs/{name}"' in str(msgspec.json.encode([schema, components])):
            components[name] = schema
    if components:
        schema = {**schema, "$defs": components}
    return schema


def _signature(function: Callable[..., Any], name: str) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError) as exc:
        hint = "Wrap it in a function with plain named parameters, each with a type."
        raise ToolDefinitionError(f"tool {name!r} has no signature that can be read: {exc}", hint=hint) from exc


def _optional(annotation: Any, parameter: str, name: str) -> Any:
    try:
        return typing.Union[annotation, msgspec.UnsetType]  # noqa: UP007 - `|` is not defined for every annotation
    except TypeError as exc:
        hint = "Annotate it with a type."
        raise ToolDefinitionError(
            f"tool {name!r}: parameter {parameter!r} has no usable type: {exc}", hint=hint
        ) from exc


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        body = function if inspect.isroutine(function) else type(function).__call__
        return typing.get_type_hints(body, include_extras=True)
    except (TypeError, *_UNREADABLE) as exc:
        hint = "Import the type, or define it at the top level of the module, where the annotation can see it."
        raise ToolDefinitionError(f"tool {name!r} has an annotation that cannot be read: {exc}", hint=hint) from exc


def _annotation(parameter: inspect.Parameter, hints: dict[str, Any], name: str) -> Any:
    if problem := _UNUSABLE.get(parameter.kind):
        hint = "Give the tool plain named parameters, each with a type."
        raise ToolDefinitionError(f"tool {name!r}: parameter {parameter.name!r} {problem}", hint=hint)
    if parameter.name not in hints:
        hint = f"Say what it is, as in `{parameter.name}: str`."
        raise ToolDefinitionError(f"tool {name!r}: parameter {parameter.name!r} has no type", hint=hint)
    return hints[parameter.name]


def _identifier(name: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in name)


def _note_defaults(properties: dict[str, Any], signature: inspect.Signature) -> None:
    for parameter in signature.parameters.values():
        if isinstance(parameter.default, str | int | float | bool):
            properties[parameter.name].setdefault("default", parameter.default)


def _decoder(struct: type[msgspec.Struct], names: tuple[str, ...]) -> Callable[[str | bytes], dict[str, Any]]:
    decode = msgspec.json.Decoder(struct).decode
    unset = msgspec.UNSET

    def arguments(text: str | bytes) -> dict[str, Any]:
        values = decode(text)
        return {name: value for name in names if (value := getattr(values, name)) is not unset}

    return arguments
