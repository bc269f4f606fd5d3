"""Answers as JSON of a client's schema: `response_format` of chat completions, and `text.format` of responses. Pure.

The schema becomes the output of the agent for this run: the model is told of the schema in the way of the profile. An
unfit answer goes back to the model with the reason, and the client never gets an unfit answer.
"""

from __future__ import annotations

from typing import Annotated, Any

import attrs
import msgspec

from agno_rt import Agent, Output, Runnable
from agno_rt_serve.api.openai.client_tools import ClientTools
from agno_rt_serve.api.openai.refused import Refused
from agno_rt_serve.api.openai.schema_check import find_fault, find_schema_fault

__all__ = ["JsonFormat", "check_format", "is_typed", "set_format"]


class JsonFormat(msgspec.Struct):
    """The form of an answer: an object of the schema, or any object for `None`."""

    schema: dict[str, Any] | None = None
    description: str | None = None


def check_format(kind: str, schema: Any, description: str | None, where: str) -> JsonFormat | None:
    """Return the form that a client asks for, or `None` for text. Raises `Refused`, whose `param` is `where`."""
    if kind == "text":
        return None
    if kind == "json_object":
        return JsonFormat()
    if kind != "json_schema":
        hint = "Supported: text, json_object and json_schema."
        raise Refused(f"{where} of type {kind!r} is not supported", where, hint)
    if not isinstance(schema, dict):
        raise Refused(f"{where} is of type json_schema, and has no schema", where, "Send the JSON Schema of an object.")
    if fault := find_schema_fault(schema):
        raise Refused(f"the schema of {where} {fault}", where)
    return JsonFormat(schema, description)


def set_format(agent: Runnable, format_: JsonFormat, taken: ClientTools | None, where: str) -> Agent:
    """Return the agent with the form as output. Calls of the client's tools, as `taken`, end the run without a value.

    Raises `Refused` for an agent with an output type, and for a team or a workflow.
    """
    if not isinstance(agent, Agent):
        raise Refused(f"{agent.name} is a {agent.kind}, and cannot keep {where}", where, f"Leave `{where}` out.")
    if agent.output is not None:
        hint = f"Leave `{where}` out: the answer is JSON of the agent's own type."
        raise Refused("the agent has an output type of its own", where, hint)
    schema = format_.schema

    def check(value: Any) -> str | None:
        if schema is None or (taken is not None and taken.calls):
            return None
        return find_fault(value, schema) or None

    type_: Any = dict[str, Any]
    if schema is not None:
        told = schema if "description" in schema or not format_.description else _describe(schema, format_.description)
        type_ = Annotated[dict[str, Any], msgspec.Meta(extra_json_schema=told)]
    if taken is not None:
        taken.stands_in = "{}"
    return attrs.evolve(agent, output=Output(type_, check=check))


def is_typed(agent: Runnable) -> bool:
    """Return whether the agent's answers have a type: the text of a turn is then not always the answer."""
    if not isinstance(agent, Agent) or agent.output is None:
        return False
    output = agent.output
    return (output.type if isinstance(output, Output) else output) is not str


def _describe(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description}
