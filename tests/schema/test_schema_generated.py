"""Generated tools: arguments allowed by the schema are accepted, others are refused with words for a model.

The judge is the jsonschema package, independent of our code.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime as dt
import decimal
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from agno_rt._decide.output_form import Misfit, output_form
from agno_rt.output import Output
from agno_rt.tools import Tool, ToolArgumentError, tool
from tests.strategies import Parameter, broken, fits, function_of, instances, parameter_types, parameters

# New ones each time. No branch of the kernel was reached first by an example after the 2,000th, of 4,800.
EXAMPLES = 2_000 if os.environ.get("CI") == "true" else 500

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)
"""Each example makes classes, slowly on a busy machine."""

_READERS: dict[str, Callable[[str], object]] = {
    "date-time": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
    "uuid": uuid.UUID,
    "decimal": decimal.Decimal,
}
_FORMATS = jsonschema.FormatChecker(())
for _name, _read in _READERS.items():
    _FORMATS.checks(_name, (ValueError, decimal.InvalidOperation))(
        lambda value, read=_read: not isinstance(value, str) or bool(read(value) is not None)
    )
_FORMATS.checks("duration")(lambda value: not isinstance(value, str) or value.startswith("P"))


def _content_encoding(validator: Any, encoding: str, value: Any, schema: Any) -> Iterator[Any]:
    try:
        base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except binascii.Error as exc:
        yield jsonschema.ValidationError(str(exc))


_JUDGE: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]  # it has no types
    jsonschema.Draft202012Validator, {"contentEncoding": _content_encoding}
)


_FAULT = re.compile(
    "Expected (`|a |at least |at most )|Invalid value .*, expected one of|missing required field `|unknown field `"
    "|Fits none of the alternatives|Key .* does not fit"
)


def errors_of(value: Any, schema: Any) -> list[Any]:
    """Return the judge's errors for the value."""
    return list(_JUDGE(schema, format_checker=_FORMATS).iter_errors(value))


def _format_step(step: int | str) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if step.isidentifier() else f"[{json.dumps(step, ensure_ascii=False)}]"


def error_places(errors: list[Any]) -> set[str]:
    """Return the places of the judge's errors, also in alternatives."""
    found: set[str] = set()
    for error in errors:
        steps = [step if isinstance(step, int) else str(step) for step in error.absolute_path]
        found.add("$" + "".join(map(_format_step, steps)))
        found |= error_places(list(error.context or ()))
    return found


def check_decoding(generated: Tool, value: Any, made: list[Parameter]) -> None:
    """Compare the tool's decoding of the arguments with the judge's errors."""
    wrong = errors_of(value, generated.parameters)
    if value is None and not errors_of({}, generated.parameters):
        event("accepted as nothing")
        assert generated.decode("null") == {}
    elif wrong:
        event("refused")
        with pytest.raises(ToolArgumentError) as caught:
            generated.decode(json.dumps(value))
        said = str(caught.value)
        assert said.startswith("The arguments of made do not fit its schema: ")
        assert _FAULT.search(said), said
        seen = error_places(wrong)
        outermost = "$" in seen and ("field `" in said or "Expected `object`" in said)
        assert outermost or any(f"`{place}`" in said for place in seen - {"$"}), (said, seen)
        assert len(said) < 3000, said
    else:
        event("accepted")
        read = generated.decode(json.dumps(value))
        assert read.keys() == value.keys()
        annotations = {parameter.name: parameter.annotation for parameter in made}
        assert all(fits(each, annotations[name]) for name, each in read.items()), read
        defaults = {parameter.name: parameter.default for parameter in made}
        assert generated(**read) == {**defaults, **read}


class TestGenerated:
    """Generated tools."""

    @settings(max_examples=EXAMPLES, suppress_health_check=SLOW)
    @given(made=parameters(), data=st.data())
    def test_what_the_schema_says_holds(self, made: list[Parameter], data: st.DataObject) -> None:
        """Fitting arguments are read as the types; others are refused with the place and the fault."""
        generated = tool(function_of(made))
        schema = generated.parameters

        value = instances(data.draw, schema, schema.get("$defs", {}))
        assert not errors_of(value, schema)
        check_decoding(generated, value, made)
        check_decoding(generated, broken(data.draw, value), made)

    @settings(max_examples=100, suppress_health_check=SLOW)
    @given(made=parameters())
    def test_each_schema_is_one(self, made: list[Parameter]) -> None:
        """A schema is a valid JSON Schema, and the same each time."""
        schema = tool(function_of(made)).parameters

        jsonschema.Draft202012Validator.check_schema(schema)
        assert json.dumps(tool(function_of(made)).parameters) == json.dumps(schema)

    @settings(max_examples=200, suppress_health_check=SLOW)
    @given(type_=parameter_types().filter(lambda type_: type_ is not str), data=st.data())
    def test_outputs_are_read_as_parameters_are(self, type_: Any, data: st.DataObject) -> None:
        """A fitting answer is read as the output type; another answer is read in some way, or is a misfit."""
        form = output_form(Output(type_), "schema")
        schema = form.schema
        assert schema is not None
        value = instances(data.draw, schema, schema.get("$defs", {}))
        text, output = form.read(json.dumps(value))

        assert fits(output, type_), (output, type_)
        assert json.loads(text) in (value, value.get("value"))
        with contextlib.suppress(Misfit):
            assert fits(form.read(json.dumps(broken(data.draw, value)))[1], type_)
