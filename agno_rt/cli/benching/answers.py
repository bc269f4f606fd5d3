"""Makes up an answer that fits an agent's output type, for a model that knows nothing. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from agno_rt._decide.output_form import Misfit, output_form
from agno_rt.cli.benching.rows import Unmeasured
from agno_rt.output import Output

__all__ = ["made_up"]

Schema: TypeAlias = Mapping[str, Any]

_WHY = "no answer can be made up that fits its output type"
_DEEP = 20
"""How deep an answer may be; a type that is deeper holds itself."""


def made_up(output: Any) -> str:
    """An answer for an agent with that `output`. Raises `Unmeasured` where none can be made up."""
    if output is None:
        return "ok"
    form = output_form(output if isinstance(output, Output) else Output(output), "schema")
    if form.schema is None:
        return "ok"
    answer = msgspec.json.encode(_example(form.schema, form.schema.get("$defs", {}), 0)).decode()
    try:
        form.read(answer)
    except Misfit as exc:
        raise Unmeasured(f"{_WHY}: {exc}") from exc
    return answer


def _example(schema: Schema, defs: Schema, depth: int) -> Any:
    """A small value that fits the schema, as far as its plain parts say what fits."""
    if depth > _DEEP:
        raise Unmeasured(f"{_WHY}: it holds itself")
    if "$ref" in schema:
        return _example(defs[schema["$ref"].rpartition("/")[2]], defs, depth + 1)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        empty = (option for option in options if option.get("type") == "null")
        return _example(next(empty, options[0]), defs, depth + 1)
    if options := [schema["const"]] if "const" in schema else schema.get("enum"):
        return options[0]
    kind = schema.get("type")
    make = _MAKERS.get(kind[0] if isinstance(kind, list) else kind or "")
    return None if make is None else make(schema, lambda part: _example(part, defs, depth + 1))


Part: TypeAlias = Callable[[Schema], Any]


def _object(schema: Schema, part: Part) -> dict[str, Any]:
    properties = schema.get("properties", {})
    return {name: part(properties.get(name, {})) for name in schema.get("required", ())}


def _array(schema: Schema, part: Part) -> list[Any]:
    items = [part(each) for each in schema.get("prefixItems", ())]
    return items + [part(schema["items"]) for _ in range(schema.get("minItems", 0) - len(items))]


def _string(schema: Schema, part: Part) -> str:
    length: int = schema.get("minLength", 0)
    return _FORMATS.get(schema.get("format", ""), "x" * length)


def _number(schema: Schema, part: Part) -> Any:
    return max(schema.get("minimum", 0), schema.get("exclusiveMinimum", -1) + 1)


_FORMATS = {
    "date-time": "2000-01-01T00:00:00Z",
    "date": "2000-01-01",
    "time": "00:00:00Z",
    "duration": "PT0S",
    "uuid": "00000000-0000-0000-0000-000000000000",
}
_MAKERS: dict[str, Callable[[Schema, Part], Any]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _number,
    "number": _number,
    "boolean": lambda schema, part: False,
}
