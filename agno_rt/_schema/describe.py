"""Builds JSON Schemas and decoders for the parameters of a function and for the type of an output.

msgspec does the work: the parameters become the fields of a Struct, which msgspec describes and decodes. A parameter
with a default may be left out; nothing is passed for it, so the function's own default applies. Types that msgspec
refuses are rewritten first (`rewrite`), and its brief error texts are replaced by full ones (`faults`). Knows no tools.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import attrs
import msgspec

from agno_rt._schema.faults import explain, faults
from agno_rt._schema.fields import default_note
from agno_rt._schema.pydantic_types import Adapter, describe_all
from agno_rt._schema.rewrite import Rewriter, dec_hook, needs_rewriting
from agno_rt._schema.signatures import UNREADABLE, hints_of, signature_of
from agno_rt.errors import ToolDefinitionError, UsageError
from agno_rt.failures import must_pass, named, text_of

__all__ = ["Parameters", "convert", "describe", "type_decoder", "type_schema"]

_UNUSABLE: dict[Any, str] = {
    inspect.Parameter.POSITIONAL_ONLY: "is positional-only",
    inspect.Parameter.VAR_POSITIONAL: "takes any number of arguments",
    inspect.Parameter.VAR_KEYWORD: "takes any keyword",
}
_HINT = "Use types that JSON can carry: str, int, float, bool, list, dict, Literal, an attrs, data or pydantic class."
Error: TypeAlias = type[UsageError]


@attrs.frozen
class Parameters:
    """The parameters of a signature: `schema` describes an object, `decode` turns JSON text into keyword arguments.

    `decode` raises `msgspec.ValidationError` or `msgspec.DecodeError`; the text names each fault and its place.
    """

    schema: dict[str, Any]
    decode: Callable[[str | bytes], dict[str, Any]]


@attrs.frozen
class Described:
    """A type with its schema. msgspec decodes `type`; `adapters` check pydantic's models, by the names in the schema.

    `name` is the name of the type itself among the definitions, empty without one.
    """

    type: Any
    schema: dict[str, Any]
    adapters: Mapping[str, Adapter] = attrs.Factory(dict)
    name: str = ""


def describe(
    function: Callable[..., Any], name: str, *, hidden: Collection[str] = (), said: Mapping[str, str] | None = None
) -> Parameters:
    """Describe the function's parameters. Raises `ToolDefinitionError`, naming the parameter at fault.

    Parameters in `hidden` are left out. `said` maps parameters to descriptions; a description in an annotation wins.
    """
    signature = signature_of(function, name)
    hints = hints_of(function, name)
    fields: list[tuple[str, Any, Any]] = []
    rewriter = Rewriter()
    parameters = [parameter for parameter in signature.parameters.values() if parameter.name not in hidden]
    for parameter in parameters:
        annotation = _rewrite_type(
            _find_annotation(parameter, hints, name), rewriter, f"parameter {parameter.name!r} of tool {name!r}"
        )
        required = parameter.default is inspect.Parameter.empty
        optional = annotation if required else _make_optional(annotation, parameter.name, name)
        # A Struct cannot give every parameter's name to a field (`__slots__`, say), so the fields are numbered.
        fields.append((f"p{len(fields)}", optional, msgspec.NODEFAULT if required else msgspec.UNSET))
    names = {field: parameter.name for (field, _, _), parameter in zip(fields, parameters, strict=True)}
    struct = msgspec.defstruct(_make_struct_name(name), fields, kw_only=True, forbid_unknown_fields=True, rename=names)
    described = _build_described(struct, rewriter, f"tool {name!r}")
    properties = described.schema["properties"]
    for parameter in parameters:
        note = default_note(attrs.NOTHING if parameter.default is inspect.Parameter.empty else parameter.default)
        if note and any(
            faults(note["default"], {**properties[parameter.name], "$defs": described.schema.get("$defs")})
        ):
            note = {}  # `x: int = None` does not allow the model to pass null
        properties[parameter.name] = _add_note(properties[parameter.name], note, (said or {}).get(parameter.name, ""))
    return Parameters(described.schema, _make_arguments_decoder(described, names))


def type_schema(type_: Any, *, what: str, error: Error = ToolDefinitionError) -> dict[str, Any]:
    """Return the JSON Schema of a type, its outermost reference resolved. `what` names the type in an `error`."""
    rewriter = Rewriter()
    return _build_described(_rewrite_type(type_, rewriter, what, error), rewriter, what, error).schema


def type_decoder(type_: Any) -> Callable[[str | bytes], Any]:
    """Return a function that reads the type from JSON text.

    The function raises `msgspec.ValidationError` or `msgspec.DecodeError`; the text names each fault and its place.
    """
    return _make_type_decoder(_describe_type(type_))


def convert(value: Any, type_: Any) -> Any:
    """Build the type from decoded JSON: dicts, lists, texts, numbers. Raises `msgspec.ValidationError`."""
    described = _describe_type(type_)
    try:
        return msgspec.convert(value, described.type, dec_hook=dec_hook, str_keys=True)
    except BaseException as exc:  # validators and converters of the type may raise anything
        if must_pass(exc):
            raise
        try:
            text = msgspec.json.encode(value)
        except (TypeError, ValueError, RecursionError):
            raise msgspec.ValidationError(text_of(exc)) from exc
        return _decode_again(text, described, exc)


# Bounded, because a program may create types at run time.
@functools.lru_cache(maxsize=100)
def _describe_cached(type_: Any, written: str) -> Described:
    rewriter, what = Rewriter(), f"the type {type_!r}"
    return _build_described(_rewrite_type(type_, rewriter, what, UsageError), rewriter, what, UsageError)


def _describe_type(type_: Any) -> Described:
    # `A | B` equals `B | A`, but the order of the members decides which is tried first: cache them apart.
    written = "" if isinstance(type_, type) else repr(type_)
    try:
        return _describe_cached(type_, written)
    except TypeError:  # the type cannot be hashed, so it cannot be cached
        return _describe_cached.__wrapped__(type_, written)


def _rewrite_type(type_: Any, rewriter: Rewriter, what: str, error: Error = ToolDefinitionError) -> Any:
    try:
        return rewriter.rewrite(type_) if needs_rewriting(type_) else type_
    except (TypeError, ValueError, RecursionError, *UNREADABLE) as exc:
        raise error(f"{what} cannot be described: {exc}", hint=_HINT) from exc


def _build_described(type_: Any, rewriter: Rewriter, what: str, error: Error = ToolDefinitionError) -> Described:
    try:
        return Described(type_, *_build_schema(type_, rewriter))
    except KeyError as exc:
        hint = "Rename one of the two: a schema tells classes apart by name."
        raise error(f"{what} cannot be described: it has two classes called {exc}", hint=hint) from exc
    except (TypeError, ValueError, RecursionError, *UNREADABLE) as exc:
        raise error(f"{what} cannot be described: {exc}", hint=_HINT) from exc


def _build_schema(type_: Any, rewriter: Rewriter) -> tuple[dict[str, Any], Mapping[str, Adapter], str]:
    placeholders = rewriter.placeholders
    parts = [part for placeholder in placeholders for part in placeholder.parts]
    numbers = {placeholder: at for at, placeholder in enumerate(placeholders)}

    def hook(custom: Any) -> dict[str, Any]:
        if custom not in numbers:
            raise TypeError(f"JSON cannot carry {custom!r}")
        return {_MARK: numbers[custom]}

    schemas, components = msgspec.json.schema_components(
        (type_, *parts), schema_hook=hook, ref_template=f"{_DEFS}{{name}}"
    )
    foreign, definitions, adapters = describe_all(list(rewriter.adapters.values()), components)
    adapted = dict(zip(rewriter.adapters, foreign, strict=True))
    rest = iter(schemas[1:])
    made = [[next(rest) for _ in placeholder.parts] for placeholder in placeholders]

    def tidy(schema: Any) -> Any:
        if isinstance(schema, list | tuple):
            return [tidy(part) for part in schema]
        if not isinstance(schema, dict):
            return schema
        if _MARK in schema:
            at = schema[_MARK]
            inner = adapted.get(placeholders[at]) or tidy(placeholders[at].describe(made[at]))
            return _add_words(inner, {word: said for word, said in schema.items() if word != _MARK})
        kept = {word: _tidy_schema_word(word, part, tidy) for word, part in schema.items() if word not in _LEFT_OUT}
        if kept.get("format") == "decimal":  # msgspec reads decimals from numbers, too
            kept = {
                "anyOf": [{"type": "number"}, _DECIMAL],
                **{word: said for word, said in kept.items() if word not in _DECIMAL},
            }
        if "anyOf" in kept:
            kept["anyOf"] = _flatten_any_of(kept["anyOf"])
        beside = {word: part for word, part in kept.items() if word != "$ref"}
        return _add_words({"$ref": kept["$ref"]}, beside) if "$ref" in kept else _add_choice_type(kept)

    # msgspec's titles only repeat the names of the definitions.
    for component in components.values():
        component.pop("title", None)
    tidied = {name: tidy(component) for name, component in components.items()} | definitions
    root = tidy(schemas[0])
    return _attach_definitions(root, tidied), adapters, root.get("$ref", "").removeprefix(_DEFS)


_LEFT_OUT = ("uniqueItems", "discriminator")
"""Words that some providers refuse. A set is read from duplicates all the same, and each class of a union names its own
tag."""
_DECIMAL = {"type": "string", "format": "decimal"}
_MARK = "$placeholder"
_DEFS = "#/$defs/"


def _tidy_schema_word(word: str, part: Any, tidy: Callable[[Any], Any]) -> Any:
    if word == "properties":
        return {name: tidy(schema) for name, schema in part.items()}
    return part if word in ("default", "enum", "const", "examples", "required") else tidy(part)


def _add_choice_type(schema: dict[str, Any]) -> dict[str, Any]:
    """Add the type to the schema of a choice: some providers refuse the whole request without a type.

    A null among the choices becomes an alternative. Choices of several types stay untyped.
    """
    if "enum" not in schema or "type" in schema:
        return schema
    choices = [value for value in schema["enum"] if value is not None]
    kinds = {_JSON_TYPES[type(value)] for value in choices}
    kinds = {"number"} if kinds == {"integer", "number"} else kinds
    if len(kinds) != 1:
        return schema
    typed = {"type": kinds.pop(), "enum": choices}
    beside = {word: said for word, said in schema.items() if word != "enum"}
    nullable = len(choices) < len(schema["enum"])
    return {"anyOf": [typed, {"type": "null"}], **beside} if nullable else {**typed, **beside}


_JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}


def _flatten_any_of(schemas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    parts = [part for schema in schemas for part in (schema["anyOf"] if schema.keys() == {"anyOf"} else [schema])]
    return [part for at, part in enumerate(parts) if part not in parts[:at]]


def _add_words(schema: dict[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """Add words to the schema. A reference is wrapped first: some providers refuse words beside a `$ref`."""
    if not words:
        return schema
    return {**({"anyOf": [schema]} if "$ref" in schema else schema), **words}


def _attach_definitions(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Resolve the outermost reference of the schema, and attach all definitions in use."""
    if "$ref" in schema:
        schema = components[schema["$ref"].removeprefix(_DEFS)]
    # A note of a type may bring a schema with definitions of its own: its references lead into these.
    own = schema.get("$defs", {})
    needed: dict[str, Any] = {}
    waiting = _find_references(schema)
    while waiting:
        name = waiting.pop()
        if name not in needed and name not in own:
            needed[name] = components[name]
            waiting |= _find_references(components[name])
    if needed:
        # In the order of `components`: the set `waiting` has none, and a schema must be the same each time.
        schema = {**schema, "$defs": {**own, **{name: components[name] for name in components if name in needed}}}
    return schema


def _find_references(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        own = {schema["$ref"].removeprefix(_DEFS)} if isinstance(schema.get("$ref"), str) else set()
        return own.union(*map(_find_references, schema.values()))
    return set().union(*map(_find_references, schema)) if isinstance(schema, list) else set()


def _make_optional(annotation: Any, parameter: str, name: str) -> Any:
    try:
        return typing.Union[annotation, msgspec.UnsetType]  # noqa: UP007 - `|` is not defined for every annotation
    except TypeError as exc:
        hint = "Annotate it with a type."
        raise ToolDefinitionError(
            f"tool {name!r}: parameter {parameter!r} has no usable type: {exc}", hint=hint
        ) from exc


def _find_annotation(parameter: inspect.Parameter, hints: dict[str, Any], name: str) -> Any:
    if problem := _UNUSABLE.get(parameter.kind):
        hint = "Give the tool plain named parameters, each with a type."
        raise ToolDefinitionError(f"tool {name!r}: parameter {parameter.name!r} {problem}", hint=hint)
    if parameter.name not in hints:
        hint = f"Add a type, as in `{parameter.name}: str`."
        if parameter.name in ("self", "cls"):
            hint = f"Pass the method of an object: tools=[thing.{name}], or tool(thing.{name})."
        raise ToolDefinitionError(f"tool {name!r}: parameter {parameter.name!r} has no type", hint=hint)
    if type(parameter.default).__module__ == "pydantic.fields":
        hint = f"Write `{parameter.name}: Annotated[..., Field(...)]`: a Field as a default is passed as the value."
        raise ToolDefinitionError(f"tool {name!r}: parameter {parameter.name!r} has a Field as its default", hint=hint)
    return hints[parameter.name]


def _make_struct_name(name: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in name)


def _add_note(schema: dict[str, Any], note: Mapping[str, Any], said: str) -> dict[str, Any]:
    words = {word: value for word, value in note.items() if word not in schema}
    if said and "description" not in schema:
        words["description"] = said
    return _add_words(schema, words)


def _make_arguments_decoder(described: Described, names: Mapping[str, str]) -> Callable[[str | bytes], dict[str, Any]]:
    decode = msgspec.json.Decoder(described.type, dec_hook=dec_hook).decode
    pairs, unset, as_dict = tuple(names.items()), msgspec.UNSET, msgspec.structs.asdict
    # Fast path where fields and parameters have the same names: in practice, tools without parameters.
    same = not described.type.__struct_defaults__ and all(field == name for field, name in pairs)

    def arguments(text: str | bytes) -> dict[str, Any]:
        try:
            values = decode(text)
        except BaseException as exc:
            values = _decode_again(text, described, exc)
        if same:
            return as_dict(values)
        return {name: value for field, name in pairs if (value := getattr(values, field)) is not unset}

    return arguments


def _make_type_decoder(described: Described) -> Callable[[str | bytes], Any]:
    decode = msgspec.json.Decoder(described.type, dec_hook=dec_hook).decode

    def read(text: str | bytes) -> Any:
        try:
            return decode(text)
        except BaseException as exc:
            return _decode_again(text, described, exc)

    return read


def _decode_again(text: str | bytes, described: Described, exc: BaseException) -> Any:
    """Decode again after a failure, reading `2.0` as the integer 2, as JSON Schema does. Raises for other faults."""
    # Validators of the type may raise anything. Only an interrupt, a cancellation and the like are passed on.
    if must_pass(exc):
        raise exc
    try:
        value = _LOOSE.decode(text)
    except RecursionError:
        raise msgspec.DecodeError("JSON is nested too deeply") from exc
    except (msgspec.MsgspecError, UnicodeError) as broken:
        raise msgspec.DecodeError(str(broken)) from exc
    try:
        faults_of = {name: adapter.faults for name, adapter in described.adapters.items()}
        found = explain(value, described.schema, faults_of, described.name)
    except RecursionError:
        found = "It is nested too deeply"
    if found:
        raise msgspec.ValidationError(found) from exc
    try:
        return msgspec.convert(value, described.type, dec_hook=dec_hook, str_keys=True)
    except BaseException as again:
        if must_pass(again):
            raise
        if not isinstance(again, msgspec.MsgspecError):
            raise msgspec.ValidationError(named(again)) from again
        raise msgspec.ValidationError(_join_places(text_of(again) or "it does not fit")) from again


def _join_places(text: str) -> str:
    """Join the two places of a fault within a placeholder: the inner decoder's and the outer decoder's."""
    while (joined := _PLACES.sub(r" - at `$\2\1`", text)) != text:
        text = joined
    return text


def _parse_number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


_PLACES = re.compile(r" - at `\$([^`]*)` - at `\$([^`]*)`")
_EXACT = 2**53  # beyond, a float does not hold every whole number
_LOOSE = msgspec.json.Decoder(float_hook=_parse_number)
