"""Asks a model for an answer of a type, and reads the answer: by schema, by a tool, or in words. Pure.

An `OutputForm` works on both sides of the model: `ask` adds the schema to a request, `received` turns an answer that
came as a call into text, and `read` makes a value of the text. The schema is always an object's, as some services
accept nothing else: a type with another schema is wrapped in `{"value": ...}`, and unwrapped after reading.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt._schema.describe import type_decoder, type_schema
from agno_rt.errors import UsageError
from agno_rt.messages import Message
from agno_rt.models import ModelRequest, ModelResponse, OutputMode
from agno_rt.output import Output, find_json
from agno_rt.tools import Tool

__all__ = ["Misfit", "OutputForm", "output_form"]


class Misfit(ValueError):
    """An answer that does not fit the type; the text is the reason, for the model to read."""


@attrs.frozen(eq=False)
class OutputForm:
    """An output, ready to be asked for and read. Made once for an `Output`, a mode and an agent's tools.

    `schema` is `None` for free text. `tool` takes the answer in mode `tool`, `told` asks for it in mode `prompt`.
    `decode` reads the type; `unwrap` reads the type inside `{"value": ...}`, if it is wrapped.
    """

    mode: OutputMode
    attempts: int
    check: Callable[..., Any] | None
    schema: Mapping[str, Any] | None = None
    tool: Tool | None = None
    told: str = ""
    _decode: Callable[[str], Any] | None = attrs.field(default=None, alias="decode")
    _unwrap: Callable[[str], Any] | None = attrs.field(default=None, alias="unwrap")

    def ask(self, request: ModelRequest) -> ModelRequest:
        """Add the question for the output to a request, in place: the request must not be shared yet."""
        if self.tool is not None:
            if request.tool_choice == "none":
                request.tools = (self.tool,)
            if request.tool_choice in ("auto", "none"):
                request.tool_choice = "required"
        elif self.told:
            request.messages = _add_to_system(request.messages, self.told)
        else:
            request.output = self.schema
        return request

    def received(self, response: ModelResponse) -> ModelResponse:
        """Return the response with the answer tool's call as its content; a call beside other calls stays a call."""
        calls = response.tool_calls
        if self.tool is None or not calls:
            return response
        first = calls[0]
        # The same answer twice is one answer. Different ones stay calls, and the tool's function refuses them.
        if any(call.name != self.tool.name or call.arguments != first.arguments for call in calls):
            return response
        finish_reason = "stop" if response.finish_reason == "tool_calls" else response.finish_reason
        content = first.arguments or "{}"
        return attrs.evolve(response, content=content, tool_calls=(), finish_reason=finish_reason)

    def read(self, text: str) -> tuple[str, Any]:
        """Return the answer as bare JSON and as a value. Raises `Misfit`, which names the place and the fault."""
        if self._decode is None:
            return text, text
        try:
            return self._decoded(text)
        except msgspec.ValidationError as exc:
            raise Misfit(str(exc)) from exc
        except msgspec.DecodeError:
            pass
        # A model without constrained decoding may put words or a code fence around the JSON.
        try:
            return self._decoded(find_json(text))
        except (ValueError, msgspec.MsgspecError) as exc:
            raise Misfit(str(exc)) from exc

    def correction(self, reason: str, *, cut: bool) -> Message:
        """Return the message that tells the model why its answer does not fit."""
        again = "Answer again, with JSON alone."
        if self.tool is not None:
            again = f"Answer again by calling {self.tool.name}, and nothing else."
        elif self.schema is None:
            again = "Answer again."
        shorter = " Your answer was cut off because it was too long: be briefer." if cut else ""
        return Message("user", f"That answer was refused: {reason.rstrip('.')}.{shorter} {again}")

    def _decoded(self, text: str) -> tuple[str, Any]:
        assert self._decode is not None
        if self._unwrap is None:
            return text, self._decode(text)
        try:
            value = self._unwrap(text).value
        except msgspec.ValidationError as exc:
            # A model without constrained decoding may leave the wrapping out.
            return text, self._unwrapped(text, exc)
        return bytes(_INNER.decode(text).value).decode(), value

    def _unwrapped(self, text: str, wrapped: msgspec.ValidationError) -> Any:
        assert self._decode is not None
        try:
            return self._decode(text)
        except msgspec.ValidationError:
            written = msgspec.json.decode(text)
            if isinstance(written, dict) and "value" in written:
                # The model wrote the wrapping, so name the fault's place within the wrapping.
                raise wrapped from None
            raise


class _Wrapped(msgspec.Struct):
    value: msgspec.Raw


_INNER = msgspec.json.Decoder(_Wrapped)


def output_form(output: Output, mode: OutputMode, names: Collection[str] = ()) -> OutputForm:
    """Return the form of an output; `names` are the names of the agent's tools. Raises `UsageError` for a type that
    JSON Schema cannot describe.
    """
    type_ = output.type
    if type_ is str:
        return OutputForm("prompt", output.attempts, output.check)
    what = f"the output type {type_!r}"
    schema, unwrap = type_schema(type_, what=what, error=UsageError), None
    if schema.get("type") != "object":
        wrapping = msgspec.defstruct("Answer", [("value", type_)], forbid_unknown_fields=True)
        schema, unwrap = type_schema(wrapping, what=what, error=UsageError), type_decoder(wrapping)
    return OutputForm(
        mode,
        output.attempts,
        output.check,
        schema,
        _answer_tool(schema, names) if mode == "tool" else None,
        _TOLD + msgspec.json.encode(schema).decode() if mode == "prompt" else "",
        decode=type_decoder(type_),
        unwrap=unwrap,
    )


_TOLD = """\
Give your answer as one JSON value that fits the JSON Schema below, and nothing else: no words around it, no code fence.
"""


def _add_to_system(messages: Sequence[Message], told: str) -> tuple[Message, ...]:
    """Append a text to the system message, or put a new system message first."""
    first = messages[0] if messages else None
    if first is None or first.role != "system":
        return (Message("system", told), *messages)
    content = first.content
    content = f"{content}\n\n{told}" if isinstance(content, str) else (*content, told)
    return (attrs.evolve(first, content=content), *messages[1:])


_ANSWER = "final_answer"


def _answer_tool(schema: Mapping[str, Any], names: Collection[str]) -> Tool:
    """Make the tool that takes the answer. Its function runs only for calls that are not taken as the answer."""
    name = _ANSWER
    while name in names:
        name += "_"

    def not_yet() -> str:
        return f"Not taken as the answer. Call {name} once and alone, after the results of your other calls are there."

    return Tool(
        name=name,
        description="Give the final answer. Call it once and alone, when you need no other tool any more.",
        parameters=schema,
        function=not_yet,
        decode=lambda arguments: {},
        inline=True,
    )
