"""Types that pydantic reads: models, data classes, pydantic's own types, and annotations with pydantic's notes.

pydantic is not a dependency and is not imported here: its types exist only in a program that has imported pydantic.
pydantic itself describes, reads and writes them, so constraints, validators and aliases hold, as in its JSON mode.
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
"""A place in a value, as existing keys and indices, and the text of the fault."""

_UNIONS = (Union, types.UnionType)
_NO_OBJECT = ("model_type", "model_attributes_type", "dataclass_type", "dict_type")


@attrs.frozen(eq=False)
class Adapter:
    """A type that pydantic reads; `models` are adapters of the models within the type, in a union for instance."""

    type: Any
    _adapter: Any
    models: tuple[Adapter, ...] = ()

    def decode(self, value: Any) -> Any:
        """Build the type from decoded JSON. Raises `ValueError`; the text names each fault and its place."""
        try:
            # As JSON text: for Python objects, pydantic has other rules, and a strict model refuses the text of a date.
            return self._adapter.validate_json(msgspec.json.encode(value))
        except sys.modules["pydantic_core"].ValidationError as exc:
            told = [f"{fault}{_render_place(keys)}" for keys, fault in _convert_faults(exc, value)]
            raise ValueError("; ".join(told)) from exc

    def faults(self, value: Any) -> list[Fault]:
        """Return the faults of the value."""
        try:
            self._adapter.validate_json(msgspec.json.encode(value))
        except sys.modules["pydantic_core"].ValidationError as exc:
            return list(_convert_faults(exc, value))
        except BaseException as exc:  # a validator may raise anything
            if must_pass(exc):
                raise
            return [((), named(exc))]
        return []


def adapter_of(type_: Any) -> Adapter | None:
    """Return the adapter of a type for pydantic to read; `None` for any other type.

    Raises `TypeError` for a class of pydantic's that JSON cannot carry or that is not fully defined.
    """
    if "pydantic" not in sys.modules:
        return None
    if _is_pydantic_class(type_):
        return _build_adapter(type_)
    if isinstance(type_, type) and hasattr(type_, "parse_obj"):
        raise TypeError(f"{type_.__name__} is a model of pydantic's version 1; derive it from version 2's BaseModel")
    if get_origin(type_) is Annotated:
        if not any(_is_pydantic_note(note) for note in type_.__metadata__):
            return None
    elif get_origin(type_) not in _UNIONS or not any(map(_is_pydantic_class, get_args(type_))):
        return None
    try:
        return _build_adapter(type_)
    except TypeError:  # the type contains a class that pydantic does not know, an attrs class for instance
        return None


def describe_all(
    adapters: Sequence[Adapter], taken: Collection[str]
) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Adapter]]:
    """Return the schemas of the adapters' types, all definitions, and the adapters of models by definition.

    One call describes all types, so that two models of one name get different names; no definition gets a `taken` name.
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
        raise TypeError(_strip_link(exc)) from exc
    definitions = {name: _tidy_schema(schema, name) for name, schema in whole.get("$defs", {}).items()}
    refs = {f"#/$defs/{name}": f"#/$defs/{_find_free_name(name, taken)}" for name in definitions}
    schemas = [_rename_references(_tidy_schema(found[at, "validation"]), refs) for at in range(len(every))]
    named = {
        schema["$ref"].rpartition("/")[2]: adapter
        for schema, adapter in zip(schemas, every, strict=True)
        if schema.keys() == {"$ref"}
    }
    definitions = {
        _find_free_name(name, taken): _rename_references(schema, refs) for name, schema in definitions.items()
    }
    return schemas[: len(adapters)], definitions, named


def plain_value(value: Any, *, round_trip: bool = False) -> Any:
    """Return the JSON value of a pydantic object, as an `enc_hook` of msgspec. Raises `TypeError` for other objects.

    Fields go by their aliases, as in the schema; `round_trip` leaves out computed fields, which cannot be read again.
    """
    class_ = type(value)
    if hasattr(class_, "__pydantic_serializer__") or class_.__module__.partition(".")[0] in (
        "pydantic",
        "pydantic_core",
    ):
        to_jsonable = sys.modules["pydantic_core"].to_jsonable_python
        return to_jsonable(value, by_alias=True, round_trip=round_trip)
    raise TypeError(f"Encoding objects of type {class_.__name__} is unsupported")


def _is_pydantic_class(type_: Any) -> bool:
    class_ = get_origin(type_) or type_
    if not isinstance(class_, type) or issubclass(class_, msgspec.Struct):
        return False
    return hasattr(class_, "__pydantic_validator__") or (
        hasattr(class_, "__get_pydantic_core_schema__") and not attrs.has(class_)
    )


def _is_pydantic_note(note: Any) -> bool:
    class_ = type(note)
    return class_.__module__.partition(".")[0] == "pydantic" or hasattr(class_, "__get_pydantic_core_schema__")


def _build_adapter(type_: Any) -> Adapter:
    pydantic = sys.modules["pydantic"]
    try:
        models = () if _is_pydantic_class(type_) else tuple(map(_build_adapter, _find_models(type_)))
        return Adapter(type_, pydantic.TypeAdapter(type_), models)
    except (RuntimeError, NameError, TypeError) as exc:
        raise TypeError(_strip_link(exc)) from exc


def _find_models(type_: Any) -> Iterator[Any]:
    for part in get_args(type_):
        if _is_pydantic_class(part):
            yield part
        else:
            yield from _find_models(part)


def _strip_link(exc: Exception) -> str:
    """Return pydantic's message without the link to the documentation."""
    return str(exc).partition("\n\nFor further information")[0]


def _convert_faults(exc: Any, value: Any) -> Iterator[Fault]:
    for error in exc.errors(include_url=False, include_context=False, include_input=False):
        keys, inner = [], value
        for key in error["loc"]:  # `loc` names the members of unions, too; keep the keys that exist
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


def _render_place(keys: Sequence[str | int]) -> str:
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return f" - at `${path}`" if path else ""


def _tidy_schema(schema: Any, name: str = "", *, names: bool = False) -> Any:
    """Reduce the schema to words that every provider knows; drop titles that only repeat a name."""
    if isinstance(schema, list):
        return [_tidy_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if names:
        return {key: _tidy_schema(part, key) for key, part in schema.items()}
    tidied: dict[str, Any] = {}
    for word, part in schema.items():
        if word in _LEFT_OUT or (word == "title" and _keep_letters(part) == _keep_letters(name)):
            continue
        # Providers refuse look-around (pydantic's pattern for decimals) and other formats. pydantic still checks both.
        if (word == "pattern" and "(?" in part) or (word == "format" and part not in _FORMATS):
            continue
        if word == "const":
            tidied["enum"] = [part]
        elif word in _AS_IT_IS:
            tidied[word] = part
        else:
            tidied["anyOf" if word == "oneOf" else word] = _tidy_schema(part, names=word == "properties")
    if "$ref" in tidied and len(tidied) > 1:  # some providers refuse words beside a `$ref`
        tidied = {"anyOf": [{"$ref": tidied.pop("$ref")}], **tidied}
    return tidied


def _find_free_name(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _rename_references(schema: Any, refs: Mapping[str, str]) -> Any:
    if isinstance(schema, list):
        return [_rename_references(part, refs) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        word: refs.get(part, part) if word == "$ref" and isinstance(part, str) else _rename_references(part, refs)
        for word, part in schema.items()
    }


_LEFT_OUT = ("discriminator", "uniqueItems")
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
_AS_IT_IS = ("default", "enum", "examples", "required", "title", "description")


def _keep_letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()
