"""Made-up answers that fit an agent's output type, from the JSON Schema for the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from agno_rt.agent import Agent
from agno_rt.errors import ModelError, OutputError
from agno_rt.models import Emit, ModelRequest, ModelResponse
from agno_rt.output import Output
from agno_rt.runtime import Runtime
from agno_rt_bench.rows import Unmeasured

__all__ = ["make_up_answer"]

Schema: TypeAlias = Mapping[str, Any]

_WHY = "no answer can be made up that fits its output type"
_DEEP = 20
"""The greatest depth of an answer; a deeper type contains itself."""


class _Guessing:
    """A model that makes up an answer from the schema in the request, and keeps the answer."""

    name = "guessing"

    def __init__(self) -> None:
        self.answer = "ok"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        if request.output is not None:
            example = _make_example(request.output, request.output.get("$defs", {}), 0)
            self.answer = msgspec.json.encode(example).decode()
        return ModelResponse(self.answer)


async def make_up_answer(output: Any) -> str:
    """Return an answer for an agent with the `output`, tried in a run. Raises `Unmeasured` if no answer fits."""
    model = _Guessing()
    if output is None:
        return model.answer
    # Try the type without its check: a check may be slow, and the measured runs call the check anyway.
    bare = Output(output.type if isinstance(output, Output) else output, attempts=1)
    async with Runtime() as runtime:
        try:
            await runtime.run(Agent(model, model.name, output=bare), "hello")
        except OutputError as exc:
            raise Unmeasured(f"{_WHY}: {exc.message}") from exc
        except ModelError as exc:
            if isinstance(exc.__cause__, Unmeasured):
                raise exc.__cause__ from None
            raise
    return model.answer


def _make_example(schema: Schema, defs: Schema, depth: int) -> Any:
    """Build a small value that fits the schema, as far as types, formats and lower bounds tell."""
    if depth > _DEEP:
        raise Unmeasured(f"{_WHY}: it contains itself")
    if "$ref" in schema:
        return _make_example(defs[schema["$ref"].rpartition("/")[2]], defs, depth + 1)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        empty = (option for option in options if option.get("type") == "null")
        return _make_example(next(empty, options[0]), defs, depth + 1)
    if options := [schema["const"]] if "const" in schema else schema.get("enum"):
        return options[0]
    kind = schema.get("type")
    make = _MAKERS.get(kind[0] if isinstance(kind, list) else kind or "")
    return None if make is None else make(schema, lambda part: _make_example(part, defs, depth + 1))


Part: TypeAlias = Callable[[Schema], Any]


def _make_object(schema: Schema, part: Part) -> dict[str, Any]:
    properties = schema.get("properties", {})
    return {name: part(properties.get(name, {})) for name in schema.get("required", ())}


def _make_array(schema: Schema, part: Part) -> list[Any]:
    items = [part(each) for each in schema.get("prefixItems", ())]
    return items + [part(schema["items"]) for _ in range(schema.get("minItems", 0) - len(items))]


def _make_string(schema: Schema, part: Part) -> str:
    length: int = schema.get("minLength", 0)
    return _FORMATS.get(schema.get("format", ""), "x" * length)


def _make_number(schema: Schema, part: Part) -> Any:
    return max(schema.get("minimum", 0), schema.get("exclusiveMinimum", -1) + 1)


_FORMATS = {
    "date-time": "2000-01-01T00:00:00Z",
    "date": "2000-01-01",
    "time": "00:00:00Z",
    "duration": "PT0S",
    "uuid": "00000000-0000-0000-0000-000000000000",
}
_MAKERS: dict[str, Callable[[Schema, Part], Any]] = {
    "object": _make_object,
    "array": _make_array,
    "string": _make_string,
    "integer": _make_number,
    "number": _make_number,
    "boolean": lambda schema, part: False,
}
