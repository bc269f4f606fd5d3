"""Types that pydantic reads: its models and data classes, its own types, and annotations with notes of its own.

pydantic is not a dependency, and is not imported here: where nobody has imported it, there are no such types. It
describes, reads and writes them itself, so that constraints, validators and aliases hold, as in its JSON mode.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

import attrs
import msgspec

from agno_rt.failures import must_pass, named

__all__ = ["Adapter", "Fault", "adapter_of", "describe_all", "plain_value"]

Fault = tuple[Sequence[str | int], str]
"""Where in a value something is wrong, as keys and indices that are there, and what."""

_UNIONS = (Union, types.UnionType)
_NO_OBJECT = ("model_type", "model_attributes_type", "dataclass_type", "dict_type")


@attrs.frozen(eq=False)
class Adapter:
    """A type that pydantic reads: `models` are the models that it names itself, those in a union, say."""

    type: Any
    _adapter: Any
    models: tuple[Adapter, ...] = ()

    def decode(self, value: Any) -> Any:
        """Read the type from what JSON was read into. Raises `ValueError`, whose text has each place and fault."""
        try:
            return self._adapter.validate_json(msgspec.json.encode(value))
        except sys.modules["pydantic_core"].ValidationError as exc:
            told = [f"{fault}{_place(keys)}" for keys, fault in _faults(exc, value)]
            raise ValueError("; ".join(told)) from exc

    def faults(self, value: Any) -> list[Fault]:
        """What is wrong with the value."""
        try:
            self._adapter.validate_json(msgspec.json.encode(value))
        except sys.modules["pydantic_core"].ValidationError as exc:
            return list(_faults(exc, value))
        except BaseException as exc:  # a validator may raise anything
            if must_pass(exc):
                raise
            return [((), named(exc))]
        return []


def adapter_of(type_: Any) -> Adapter | None:
    """The adapter of a type that pydantic is to read; `None` for any other.

    Raises `TypeError` for a class of pydantic's that JSON cannot carry, or that is not fully defined.
    """
    if "pydantic" not in sys.modules:
        return None
    if _is_class(type_):
        return _adapted(type_)
    if isinstance(type_, type) and hasattr(type_, "parse_obj"):
        raise TypeError(f"{type_.__name__} is a model of pydantic's version 1; derive it from version 2's BaseModel")
    if get_origin(type_) is Annotated:
        if not any(_is_note(note) for note in type_.__metadata__):
            return None
    elif get_origin(type_) not in _UNIONS or not any(map(_is_class, get_args(type_))):
        return None
    try:
        return _adapted(type_)
    except TypeError:  # there is something of ours in it, which pydantic does not know
        return None


def describe_all(
    adapters: Sequence[Adapter], taken: Collection[str]
) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Adapter]]:
    """The schemas of the adapters' types, what they refer to by name, and whose the names are that a model has.

    All at once, so that two models of one name go by different ones; none goes by a name that is `taken`.
    """
    every = [*adapters, *(model for adapter in adapters for model in adapter.models)]
    if not every:
        return [], {}, {}
    json_schemas = sys.modules["pydantic"].TypeAdapter.json_schemas
    try:
        found, whole = json_schemas(
            [(at, "validation", adapter._adapter) for at, adapter in enumerate(every)], ref_template="#/$defs/{model}"
        )
    except RuntimeError as exc:
        raise TypeError(_said(exc)) from exc
    definitions = {name: _tidy(schema, name) for name, schema in whole.get("$defs", {}).items()}
    refs = {f"#/$defs/{name}": f"#/$defs/{_free(name, taken)}" for name in definitions}
    schemas = [_renamed(_tidy(found[at, "validation"]), refs) for at in range(len(every))]
    named = {
        schema["$ref"].rpartition("/")[2]: adapter
        for schema, adapter in zip(schemas, every, strict=True)
        if schema.keys() == {"$ref"}
    }
    definitions = {_free(name, taken): _renamed(schema, refs) for name, schema in definitions.items()}
    return schemas[: len(adapters)], definitions, named


def plain_value(value: Any, *, round_trip: bool = False) -> Any:
    """What stands in JSON for a value of pydantic's, as msgspec's `enc_hook`. Raises `TypeError` for any other value.

    Fields go by their aliases, as in the schema; with `round_trip` only what can be read again is in it.
    """
    class_ = type(value)
    if hasattr(class_, "__pydantic_serializer__") or class_.__module__.partition(".")[0] in (
        "pydantic",
        "pydantic_core",
    ):
        to_jsonable = sys.modules["pydantic_core"].to_jsonable_python
        return to_jsonable(value, by_alias=True, round_trip=round_trip)
    raise TypeError(f"Encoding objects of type {class_.__name__} is unsupported")


def _is_class(type_: Any) -> bool:
    class_ = get_origin(type_) or type_
    if not isinstance(class_, type) or issubclass(class_, msgspec.Struct):
        return False
    return hasattr(class_, "__pydantic_validator__") or (
        hasattr(class_, "__get_pydantic_core_schema__") and not attrs.has(class_)
    )


def _is_note(note: Any) -> bool:
    class_ = type(note)
    return class_.__module__.partition(".")[0] == "pydantic" or hasattr(class_, "__get_pydantic_core_schema__")


def _adapted(type_: Any) -> Adapter:
    pydantic = sys.modules["pydantic"]
    try:
        models = () if _is_class(type_) else tuple(map(_adapted, _models(type_)))
        return Adapter(type_, pydantic.TypeAdapter(type_), models)
    except (RuntimeError, NameError, TypeError) as exc:
        raise TypeError(_said(exc)) from exc


def _models(type_: Any) -> Iterator[Any]:
    for part in get_args(type_):
        if _is_class(part):
            yield part
        else:
            yield from _models(part)


def _said(exc: Exception) -> str:
    """What pydantic says, without the link to its own pages."""
    return str(exc).partition("\n\nFor further information")[0]


def _faults(exc: Any, value: Any) -> Iterator[Fault]:
    for error in exc.errors(include_url=False, include_context=False, include_input=False):
        keys, inner = [], value
        for key in error["loc"]:  # the members of a union are in it too
            if (isinstance(inner, dict) and key in inner) or (isinstance(inner, list) and _is_index(key, inner)):
                keys.append(key)
                inner = inner[key]
        kind, said = error["type"], error["msg"]
        if kind == "missing":
            said = f"Object missing required field `{error['loc'][-1]}`"
        elif kind == "extra_forbidden":
            keys, said = keys[:-1], f"Object contains unknown field `{error['loc'][-1]}`"
        elif kind in _NO_OBJECT and not isinstance(inner, dict):
            said = f"Expected `object`, got `{_KINDS.get(type(inner), type(inner).__name__)}`"
        yield keys, said.removeprefix("Value error, ")


_KINDS = {list: "array", type(None): "null"}


def _is_index(key: Any, inner: list[Any]) -> bool:
    return isinstance(key, int) and 0 <= key < len(inner)


def _place(keys: Sequence[str | int]) -> str:
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return f" - at `${path}`" if path else ""


def _tidy(schema: Any, name: str = "", *, names: bool = False) -> Any:
    """The schema as ours are: without titles that only repeat a name, in words that every provider knows."""
    if isinstance(schema, list):
        return [_tidy(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if names:
        return {key: _tidy(part, key) for key, part in schema.items()}
    tidied: dict[str, Any] = {}
    for word, part in schema.items():
        if word in _LEFT_OUT or (word == "title" and _letters(part) == _letters(name)):
            continue
        # What providers refuse holds all the same: look-around, as pydantic has it for decimals, and other formats.
        if (word == "pattern" and "(?" in part) or (word == "format" and part not in _FORMATS):
            continue
        if word == "const":
            tidied["enum"] = [part]
        elif word in _AS_IT_IS:
            tidied[word] = part
        else:
            tidied["anyOf" if word == "oneOf" else word] = _tidy(part, names=word == "properties")
    if "$ref" in tidied and len(tidied) > 1:  # some providers refuse a reference that does not stand alone
        tidied = {"anyOf": [{"$ref": tidied.pop("$ref")}], **tidied}
    return tidied


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _renamed(schema: Any, refs: Mapping[str, str]) -> Any:
    if isinstance(schema, list):
        return [_renamed(part, refs) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        word: refs.get(part, part) if word == "$ref" and isinstance(part, str) else _renamed(part, refs)
        for word, part in schema.items()
    }


_LEFT_OUT = ("discriminator", "uniqueItems")
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
_AS_IT_IS = ("default", "enum", "examples", "required", "title", "description")


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()
