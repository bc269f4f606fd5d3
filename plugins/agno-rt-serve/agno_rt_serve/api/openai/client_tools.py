"""Tools of the client: the model may call them, and the client carries them out. Pure.

A hook takes the calls out of the model's response. So the run ends, with the calls as its answer. The client's next
request brings the results, and is a separate run.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import attrs

from agno_rt import Agent, Hook, ModelResponse, RunContext, Tool, ToolCall
from agno_rt.agent import settings_of
from agno_rt_serve.api.openai.request import ChatBody, Function, Refused

__all__ = ["ClientTools", "add_tools"]

# OpenAI's own bound for functions in a request.
_MOST = 128
# Schemas are read by recursion, a few calls a level, and Python limits calls. No model can fill in a deeper schema.
_DEEPEST = 100
# OpenAI's own form of a function's name.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ClientTools(Hook):
    """Takes calls of the client's tools out of a run's responses; `calls` has the calls of the last response.

    If a turn calls tools of both sides, only the client's are kept. The model can call the agent's tools again later.
    """

    def __init__(self, names: Collection[str], *, parallel: bool) -> None:
        self.calls: Sequence[ToolCall] = ()
        self._names = names
        self._parallel = parallel

    async def after_model(self, context: RunContext, response: ModelResponse) -> ModelResponse | None:
        """End the run if the response calls a tool of the client."""
        calls = [call for call in response.tool_calls if call.name in self._names]
        if not calls:
            return None
        self.calls = _add_ids(calls if self._parallel else calls[:1], context.run_id)
        return attrs.evolve(response, tool_calls=(), finish_reason="tool_calls")


def add_tools(agent: Agent, own: Collection[str], chat: ChatBody) -> tuple[Agent, ClientTools | None]:
    """Return the agent with the client's tools, and the hook that takes their calls.

    `own` are the names of the agent's tools. Raises `HttpError` 400 for malformed tools, and for a `tool_choice` that
    cannot be kept.
    """
    functions = _check_functions(chat, own)
    choice = _read_choice(chat, functions, own)
    if not functions or choice == "none":
        return agent, None
    if agent.output is not None:
        raise Refused("the agent has an output type, and does not accept tools", "tools", "Leave `tools` out.")
    tools = [_make_tool(function) for function in functions]
    taken = ClientTools({tool.name for tool in tools}, parallel=chat.parallel_tool_calls is not False)
    settings = agent.settings if choice == "auto" else attrs.evolve(settings_of(agent.settings), tool_choice=choice)
    # First, so outermost around a step: the agent's own hooks see the calls before they are taken out.
    hooks = (taken, *agent.hooks)
    return attrs.evolve(agent, tools=(*agent.tools, *tools), settings=settings, hooks=hooks), taken


def _check_functions(chat: ChatBody, own: Collection[str]) -> list[Function]:
    tools = chat.tools or []
    if len(tools) > _MOST:
        raise Refused(f"there are {len(tools)} tools; at most {_MOST} are allowed", "tools")
    if not tools and chat.parallel_tool_calls is False:
        raise Refused("parallel_tool_calls is set, but there are no tools", "parallel_tool_calls", "Leave it out.")
    functions: list[Function] = []
    names = set(own)
    for at, tool in enumerate(tools):
        where = f"tools[{at}]"
        if tool.type != "function" or tool.function is None:
            hint = 'Send {"type": "function", "function": {"name": ...}}.'
            raise Refused(f"{where} is of type {tool.type!r}, or has no function", where, hint)
        name = tool.function.name
        if not _NAME.fullmatch(name):
            raise Refused(
                f"{where} has a name that is not 1 to 64 characters of a-z, A-Z, 0-9, _ and -", f"{where}.function.name"
            )
        if name in names:
            whose = "the agent has a tool" if name in own else "there is another tool"
            raise Refused(f"{where} is called {name!r}, and {whose} of this name", f"{where}.function.name")
        if (tool.function.parameters or {}).get("type", "object") != "object":
            raise Refused(f"{where} has parameters that are not of type object", f"{where}.function.parameters")
        if _is_deep(tool.function.parameters):
            raise Refused(f"{where} has parameters nested more than {_DEEPEST} deep", f"{where}.function.parameters")
        names.add(name)
        functions.append(tool.function)
    return functions


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


def _read_choice(chat: ChatBody, functions: Sequence[Function], own: Collection[str]) -> str:
    """Return `tool_choice` in the form of a model's settings."""
    choice: Any = chat.tool_choice
    if choice in (None, "auto", "none"):
        return "none" if choice == "none" else "auto"
    names = [function.name for function in functions]
    if choice == "required":
        if names and not own:
            return "required"
        if len(names) == 1:
            return names[0]
        hint = "Name a function, or leave the choice to the model."
        problem = "tool_choice 'required' needs tools of the client, and an agent without tools of its own"
        raise Refused(problem, "tool_choice", hint)
    name = choice.get("function", {}).get("name") if _names_function(choice) else None
    if name not in names:
        raise Refused("tool_choice is not auto, none, required or a function of `tools`", "tool_choice")
    return str(name)


def _names_function(choice: Any) -> bool:
    is_function = isinstance(choice, dict) and choice.get("type") == "function"
    return is_function and isinstance(choice.get("function"), dict)


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
    return tuple(attrs.evolve(call, id=f"call_{run_id[:8]}_{at}") for at, call in enumerate(calls))
