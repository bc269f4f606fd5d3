"""Turns types into JSON Schemas and decoders: those of a signature's parameters, and those of an output.

msgspec does the work: the parameters become the fields of a Struct, which it can both describe and decode. A parameter
with a default may be left out; then nothing is passed, so that the function's own default applies. What msgspec refuses
is rewritten before (`_types`), and what it says of a misfit is said in full after (`_faults`). Knows nothing of tools.
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
    """A signature, described: `schema` is an object schema; `decode` turns JSON text into keyword arguments.

    `decode` raises `msgspec.ValidationError` or `msgspec.DecodeError`, whose text names each place and its fault.
    """

    schema: dict[str, Any]
    decode: Callable[[str | bytes], dict[str, Any]]


@attrs.frozen
class Described:
    """A type with its schema: `type` is what msgspec decodes; `adapters` check models by their names, and `name` it."""

    type: Any
    schema: dict[str, Any]
    adapters: Mapping[str, Adapter] = attrs.Factory(dict)
    name: str = ""


def describe(
    function: Callable[..., Any], name: str, *, hidden: Collection[str] = (), said: Mapping[str, str] | None = None
) -> Parameters:
    """Describe the function's parameters; raises `ToolDefinitionError` that names the one that cannot be.

    Those in `hidden` are left out. `said` has descriptions by parameter, for those whose annotation has none.
    """
    signature = signature_of(function, name)
    hints = hints_of(function, name)
    fields: list[tuple[str, Any, Any]] = []
    rewriter = Rewriter()
    parameters = [parameter for parameter in signature.parameters.values() if parameter.name not in hidden]
    for parameter in parameters:
        annotation = _rewritten(
            _annotation(parameter, hints, name), rewriter, f"parameter {parameter.name!r} of tool {name!r}"
        )
        required = parameter.default is inspect.Parameter.empty
        optional = annotation if required else _optional(annotation, parameter.name, name)
        # Not every name that a parameter may have is one that a Struct can give to a field.
        fields.append((f"p{len(fields)}", optional, msgspec.NODEFAULT if required else msgspec.UNSET))
    names = {field: parameter.name for (field, _, _), parameter in zip(fields, parameters, strict=True)}
    struct = msgspec.defstruct(_identifier(name), fields, kw_only=True, forbid_unknown_fields=True, rename=names)
    described = _described(struct, rewriter, f"tool {name!r}")
    properties = described.schema["properties"]
    for parameter in parameters:
        note = default_note(attrs.NOTHING if parameter.default is inspect.Parameter.empty else parameter.default)
        if note and any(
            faults(note["default"], {**properties[parameter.name], "$defs": described.schema.get("$defs")})
        ):
            note = {}  # `x: int = None` does not say that a model may pass null
        properties[parameter.name] = _noted(properties[parameter.name], note, (said or {}).get(parameter.name, ""))
    return Parameters(described.schema, _decoder(described, names))


def type_schema(type_: Any, *, what: str, error: Error = ToolDefinitionError) -> dict[str, Any]:
    """The JSON Schema of a type, with its outermost reference resolved; `what` names its owner in the error."""
    rewriter = Rewriter()
    return _described(_rewritten(type_, rewriter, what, error), rewriter, what, error).schema


def type_decoder(type_: Any) -> Callable[[str | bytes], Any]:
    """A function that reads the type from JSON text.

    It raises `msgspec.ValidationError` or `msgspec.DecodeError`, whose text names each place and its fault.
    """
    return _reader(_of_type(type_))


def convert(value: Any, type_: Any) -> Any:
    """Read the type from what JSON was read into: dicts, lists, texts, numbers. Raises `msgspec.ValidationError`."""
    described = _of_type(type_)
    try:
        return msgspec.convert(value, described.type, dec_hook=dec_hook, str_keys=True)
    except BaseException as exc:  # the type's own code runs here too
        if must_pass(exc):
            raise
        try:
            text = msgspec.json.encode(value)
        except (TypeError, ValueError, RecursionError):
            raise msgspec.ValidationError(text_of(exc)) from exc
        return _mended(text, described, exc)


@functools.lru_cache(maxsize=100)
def _kept(type_: Any, written: str) -> Described:
    rewriter, what = Rewriter(), f"the type {type_!r}"
    return _described(_rewritten(type_, rewriter, what, UsageError), rewriter, what, UsageError)


def _of_type(type_: Any) -> Described:
    # `A | B` equals `B | A`, and yet the first that fits is taken.
    written = "" if isinstance(type_, type) else repr(type_)
    try:
        return _kept(type_, written)
    except TypeError:  # one that cannot be hashed
        return _kept.__wrapped__(type_, written)


def _rewritten(type_: Any, rewriter: Rewriter, what: str, error: Error = ToolDefinitionError) -> Any:
    try:
        return rewriter.rewrite(type_) if needs_rewriting(type_) else type_
    except (TypeError, ValueError, RecursionError, *UNREADABLE) as exc:
        raise error(f"{what} cannot be described: {exc}", hint=_HINT) from exc


def _described(type_: Any, rewriter: Rewriter, what: str, error: Error = ToolDefinitionError) -> Described:
    try:
        return Described(type_, *_schema(type_, rewriter))
    except KeyError as exc:
        hint = "Give one of them another name: a schema tells them apart by it."
        raise error(f"{what} cannot be described: it has two classes called {exc}", hint=hint) from exc
    except (TypeError, ValueError, RecursionError, *UNREADABLE) as exc:
        raise error(f"{what} cannot be described: {exc}", hint=_HINT) from exc


def _schema(type_: Any, rewriter: Rewriter) -> tuple[dict[str, Any], Mapping[str, Adapter], str]:
    placeholders = rewriter.placeholders
    parts = [part for placeholder in placeholders for part in placeholder.parts]
    numbers = {placeholder: at for at, placeholder in enumerate(placeholders)}

    def hook(custom: Any) -> dict[str, Any]:
        if custom not in numbers:
            raise TypeError(f"{custom!r} is nothing that JSON can carry")
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
            return _beside(inner, {word: said for word, said in schema.items() if word != _MARK})
        kept = {word: _tidy_word(word, part, tidy) for word, part in schema.items() if word not in _LEFT_OUT}
        if kept.get("format") == "decimal":  # which is read from a number as well
            kept = {
                "anyOf": [{"type": "number"}, _DECIMAL],
                **{word: said for word, said in kept.items() if word not in _DECIMAL},
            }
        if "anyOf" in kept:
            kept["anyOf"] = _flat(kept["anyOf"])
        beside = {word: part for word, part in kept.items() if word != "$ref"}
        return _beside({"$ref": kept["$ref"]}, beside) if "$ref" in kept else _typed(kept)

    for component in components.values():
        component.pop("title", None)
    tidied = {name: tidy(component) for name, component in components.items()} | definitions
    root = tidy(schemas[0])
    return _rooted(root, tidied), adapters, root.get("$ref", "").removeprefix(_DEFS)


_LEFT_OUT = ("uniqueItems", "discriminator")
"""Words that not every provider knows. Duplicates in what becomes a set are no fault, and what the second says is said
by each class's own tag."""
_DECIMAL = {"type": "string", "format": "decimal"}
_MARK = "$placeholder"
_DEFS = "#/$defs/"


def _tidy_word(word: str, part: Any, tidy: Callable[[Any], Any]) -> Any:
    if word == "properties":
        return {name: tidy(schema) for name, schema in part.items()}
    return part if word in ("default", "enum", "const", "examples", "required") else tidy(part)


def _typed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a choice with its type beside it, without which some providers refuse the whole request.

    A null among the choices is an alternative of its own. Choices of several types stay without one.
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


def _flat(schemas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    parts = [part for schema in schemas for part in (schema["anyOf"] if schema.keys() == {"anyOf"} else [schema])]
    return [part for at, part in enumerate(parts) if part not in parts[:at]]


def _beside(schema: dict[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with more said of it. A reference stands alone: some providers refuse one that does not."""
    if not words:
        return schema
    return {**({"anyOf": [schema]} if "$ref" in schema else schema), **words}


def _rooted(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The schema with what it refers to, and the outermost reference resolved."""
    if "$ref" in schema:
        schema = components[schema["$ref"].removeprefix(_DEFS)]
    needed: dict[str, Any] = {}
    waiting = _references(schema)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = components[name]
            waiting |= _references(components[name])
    if needed:
        schema = {**schema, "$defs": {name: components[name] for name in components if name in needed}}
    return schema


def _references(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        own = {schema["$ref"].removeprefix(_DEFS)} if isinstance(schema.get("$ref"), str) else set()
        return own.union(*map(_references, schema.values()))
    return set().union(*map(_references, schema)) if isinstance(schema, list) else set()


def _optional(annotation: Any, parameter: str, name: str) -> Any:
    try:
        return typing.Union[annotation, msgspec.UnsetType]  # noqa: UP007 - `|` is not defined for every annotation
    except TypeError as exc:
        hint = "Annotate it with a type."
        raise ToolDefinitionError(
            f"tool {name!r}: parameter {parameter!r} has no usable type: {exc}", hint=hint
        ) from exc


def _annotation(parameter: inspect.Parameter, hints: dict[str, Any], name: str) -> Any:
    if problem := _UNUSABLE.get(parameter.kind):
        hint = "Give the tool plain named parameters, each with a type."
        raise ToolDefinitionError(f"tool {name!r}: parameter {parameter.name!r} {problem}", hint=hint)
    if parameter.name not in hints:
        hint = f"Say what it is, as in `{parameter.name}: str`."
        if parameter.name in ("self", "cls"):
            hint = (
                f"Give the method of an object, which is a tool as it is: tools=[thing.{name}], or tool(thing.{name})."
            )
        raise ToolDefinitionError(f"tool {name!r}: parameter {parameter.name!r} has no type", hint=hint)
    if type(parameter.default).__module__ == "pydantic.fields":
        hint = (
            f"Write `{parameter.name}: Annotated[..., Field(...)]`, which says the same and is not passed as a value."
        )
        raise ToolDefinitionError(f"tool {name!r}: parameter {parameter.name!r} has a Field as its default", hint=hint)
    return hints[parameter.name]


def _identifier(name: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in name)


def _noted(schema: dict[str, Any], note: Mapping[str, Any], said: str) -> dict[str, Any]:
    words = {word: value for word, value in note.items() if word not in schema}
    if said and "description" not in schema:
        words["description"] = said
    return _beside(schema, words)


def _decoder(described: Described, names: Mapping[str, str]) -> Callable[[str | bytes], dict[str, Any]]:
    decode = msgspec.json.Decoder(described.type, dec_hook=dec_hook).decode
    pairs, unset, as_dict = tuple(names.items()), msgspec.UNSET, msgspec.structs.asdict
    # Where every parameter is required and is called what its field is, the fields are the arguments as they are.
    same = not described.type.__struct_defaults__ and all(field == name for field, name in pairs)

    def arguments(text: str | bytes) -> dict[str, Any]:
        try:
            values = decode(text)
        except BaseException as exc:
            values = _mended(text, described, exc)
        if same:
            return as_dict(values)
        return {name: value for field, name in pairs if (value := getattr(values, field)) is not unset}

    return arguments


def _reader(described: Described) -> Callable[[str | bytes], Any]:
    decode = msgspec.json.Decoder(described.type, dec_hook=dec_hook).decode

    def read(text: str | bytes) -> Any:
        try:
            return decode(text)
        except BaseException as exc:
            return _mended(text, described, exc)

    return read


def _mended(text: str | bytes, described: Described, exc: BaseException) -> Any:
    """What a decoder refused for a `2.0` where `2` is meant, which a schema allows. Raises what else is wrong."""
    # The types' own code ran too: whatever it raised is a misfit, but for an interrupt and the like.
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
        raise msgspec.ValidationError(_placed(text_of(again) or "it does not fit")) from again


def _placed(text: str) -> str:
    """The text with one place for each fault: what is decoded within a placeholder has its own, and then that one's."""
    while (joined := _PLACES.sub(r" - at `$\2\1`", text)) != text:
        text = joined
    return text


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


_PLACES = re.compile(r" - at `\$([^`]*)` - at `\$([^`]*)`")
_EXACT = 2**53
_LOOSE = msgspec.json.Decoder(float_hook=_number)
