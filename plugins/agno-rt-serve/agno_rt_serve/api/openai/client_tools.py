"""Tools of the client: the model may call them, and the client carries them out. Pure.

A hook takes the calls out of the model's response. So the run ends, with the calls as its answer. The client's next
request brings the results, and is a separate run.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt import Agent, Hook, ModelResponse, RunContext, RunResult, Tool, ToolCall
from agno_rt.agent import settings_of
from agno_rt_serve.api.openai.refused import Refused

__all__ = ["Asked", "ClientTools", "Function", "add_tools", "without_stand_in"]

# OpenAI's own bound for functions in a request.
_MOST = 128
# Schemas are read by recursion, a few calls a level, and Python limits calls. No model can fill in a deeper schema.
_DEEPEST = 100
# OpenAI's own form of a function's name.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Function(msgspec.Struct):
    """A function of the client, as the client describes it."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Asked(msgspec.Struct):
    """The client's tools of a request, in either format.

    `places` has a place for each function, for errors: the tool, and what is before its fields.
    `choice` is `auto`, `none`, `required`, or the name of a function; any other name is refused.
    """

    functions: Sequence[Function] = ()
    places: Sequence[tuple[str, str]] = ()
    choice: str = "auto"
    parallel: bool = True


class ClientTools(Hook):
    """Takes calls of the client's tools out of a run's responses; `calls` has the calls of the last response.

    If a turn calls tools of both sides, only the client's are kept. The model can call the agent's tools again later.
    `content` is the text beside the calls. `stands_in` takes its place in a run whose answers have to be JSON.
    """

    def __init__(self, names: Collection[str], *, parallel: bool) -> None:
        self.calls: Sequence[ToolCall] = ()
        self.content = ""
        self.stands_in: str | None = None
        self._names = names
        self._parallel = parallel

    async def after_model(self, context: RunContext, response: ModelResponse) -> ModelResponse | None:
        """End the run if the response calls a tool of the client."""
        calls = [call for call in response.tool_calls if call.name in self._names]
        if not calls:
            return None
        self.calls = _add_ids(calls if self._parallel else calls[:1], context.run_id)
        self.content = response.content
        content = response.content if self.stands_in is None else self.stands_in
        return attrs.evolve(response, content=content, tool_calls=(), finish_reason="tool_calls")


def add_tools(agent: Agent, own: Collection[str], asked: Asked) -> tuple[Agent, ClientTools | None]:
    """Return the agent with the client's tools, and the hook that takes their calls.

    `own` are the names of the agent's tools. Raises `Refused` for malformed tools, and for a choice that cannot be
    kept.
    """
    _check_functions(asked, own)
    choice = _check_choice(asked, own)
    if not asked.functions or choice == "none":
        return agent, None
    if agent.output is not None:
        raise Refused("the agent has an output type, and does not accept tools", "tools", "Leave `tools` out.")
    tools = [_make_tool(function) for function in asked.functions]
    taken = ClientTools({tool.name for tool in tools}, parallel=asked.parallel)
    settings = agent.settings if choice == "auto" else attrs.evolve(settings_of(agent.settings), tool_choice=choice)
    # First, so outermost around a step: the agent's own hooks see the calls before they are taken out.
    hooks = (taken, *agent.hooks)
    return attrs.evolve(agent, tools=(*agent.tools, *tools), settings=settings, hooks=hooks), taken


def without_stand_in(result: RunResult, taken: ClientTools | None) -> RunResult:
    """Return the result with the model's own text beside calls of the client's tools."""
    if taken is None or not taken.calls or taken.stands_in is None:
        return result
    return attrs.evolve(result, content=taken.content)


def _check_functions(asked: Asked, own: Collection[str]) -> None:
    if len(asked.functions) > _MOST:
        raise Refused(f"there are {len(asked.functions)} tools; at most {_MOST} are allowed", "tools")
    if not asked.functions and not asked.parallel:
        raise Refused("parallel_tool_calls is set, but there are no tools", "parallel_tool_calls", "Leave it out.")
    names = set(own)
    for function, (where, fields) in zip(asked.functions, asked.places, strict=True):
        name = function.name
        if not _NAME.fullmatch(name):
            raise Refused(
                f"{where} has a name that is not 1 to 64 characters of a-z, A-Z, 0-9, _ and -", f"{fields}.name"
            )
        if name in names:
            whose = "the agent has a tool" if name in own else "there is another tool"
            raise Refused(f"{where} is called {name!r}, and {whose} of this name", f"{fields}.name")
        if (function.parameters or {}).get("type", "object") != "object":
            raise Refused(f"{where} has parameters that are not of type object", f"{fields}.parameters")
        if _is_deep(function.parameters):
            raise Refused(f"{where} has parameters nested more than {_DEEPEST} deep", f"{fields}.parameters")
        names.add(name)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


def _check_choice(asked: Asked, own: Collection[str]) -> str:
    """Return the choice in the form of a model's settings."""
    names = [function.name for function in asked.functions]
    if asked.choice in ("auto", "none"):
        return asked.choice
    if asked.choice == "required":
        if names and not own:
            return "required"
        if len(names) == 1:
            return names[0]
        hint = "Name a function, or leave the choice to the model."
        problem = "tool_choice 'required' needs tools of the client, and an agent without tools of its own"
        raise Refused(problem, "tool_choice", hint)
    if asked.choice not in names:
        raise Refused("tool_choice is not auto, none, required or a function of `tools`", "tool_choice")
    return asked.choice


def _make_tool(function: Function) -> Tool:
    parameters = {"type": "object", "properties": {}} | (function.parameters or {})
    return Tool(function.name, function.description or "", parameters, _refuse_call, _refuse_call)


def _refuse_call(*args: Any, **kwargs: Any) -> Any:
    """Stand in for the client's function. A call comes here only if a hook of the agent redirects one."""
    raise RuntimeError("this tool is the client's, and cannot be called here")


def _add_ids(calls: Sequence[ToolCall], run_id: str) -> Sequence[ToolCall]:
    """Return the calls with an id each, which the client sends back with the result."""
    ids = {call.id for call in calls if call.id}
    if len(ids) == len(calls):
        return tuple(calls)
    return tuple(attrs.evolve(call, id=f"call_{run_id[-8:]}_{at}") for at, call in enumerate(calls))
