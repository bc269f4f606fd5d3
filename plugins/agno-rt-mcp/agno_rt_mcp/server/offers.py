"""The tools that the server offers: agents, teams and workflows by name, and tools for direct calls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs
import msgspec

from agno_rt import Agent, AgnoError, Runnable, Runtime, Tool
from agno_rt.access import Access
from agno_rt.errors import ConfigError, NotFound, UsageError
from agno_rt.runnable import list_parts
from agno_rt.tools import ToolArgumentError
from agno_rt_mcp.server.direct import make_input, make_tools_agent, read_tool
from agno_rt_mcp.server.settings import WHERE, ServeSettings

__all__ = ["Offer", "Offers"]

_LONGEST = 128  # characters of a tool's name, by the specification

_TEXT_INPUT: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "input": {"type": "string", "description": "The message."},
        "session": {
            "type": "string",
            "description": "The id of a conversation, of your own choice. Calls with the same id go on with the same "
            "conversation; leave it out for a single question.",
        },
    },
    "required": ["input"],
    "additionalProperties": False,
}


class _TextArguments(msgspec.Struct, forbid_unknown_fields=True):
    input: str
    session: str | None = None


class _ValueArguments(msgspec.Struct, forbid_unknown_fields=True):
    input: Any


@attrs.frozen
class Offer:
    """A tool of the server.

    Attributes:
        name: the tool's name for clients
        runnable: the runnable that carries out a call
        title, description: for people and models
        input_schema: the JSON Schema of the arguments, an object
        form: the way from the arguments to the run's input: a text, JSON of all arguments, JSON of the argument
            `input`, or the call of a tool
        output_schema: the JSON Schema of structured results, an object; None for texts
        wraps: whether structured results are wrapped in an object, with the key `result`
        read_only, destructive, idempotent, open_world: hints; None for not known
        tool: the tool's own name, for a direct call
    """

    name: str
    runnable: Runnable
    title: str
    description: str
    input_schema: Mapping[str, Any]
    form: Literal["text", "object", "value", "tool"] = "text"
    output_schema: Mapping[str, Any] | None = None
    wraps: bool = False
    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None
    tool: str = ""

    def read(self, arguments: Mapping[str, Any]) -> tuple[str, str | None]:
        """Return the run's input and its session. Raises `ToolArgumentError` for arguments that do not fit."""
        try:
            match self.form:
                case "text":
                    given = msgspec.convert(arguments, _TextArguments)
                    return given.input, given.session
                case "value":
                    return msgspec.json.encode(msgspec.convert(arguments, _ValueArguments).input).decode(), None
                case "tool":
                    return make_input(self.tool, dict(arguments)), None
            return msgspec.json.encode(arguments).decode(), None
        except msgspec.MsgspecError as exc:
            raise ToolArgumentError(f"The arguments of {self.name} do not fit: {exc}") from exc

    def is_for(self, access: Access) -> bool:
        """Return whether the caller may call the tool."""
        return access.may_call(self.tool) if self.tool else access.may("run", self.runnable)

    def admit(self, access: Access, session: str | None = None) -> str | None:
        """Return the user of a run for the caller. Raises as `Access.admit`."""
        return access.admit_call(self.tool) if self.tool else access.admit(self.runnable, session)


class Offers:
    """The offered tools of a project. Raises `ConfigError` and `NotFound` for the settings."""

    def __init__(self, runtime: Runtime, known: Mapping[str, Runnable], settings: ServeSettings) -> None:
        self._runtime = runtime
        chosen = known if settings.agents is None else {name: _find(known, name, "agents") for name in settings.agents}
        self._agents = _name_offers([_offer_runnable(runtime, each) for each in chosen.values()])
        tools: list[Any] = list(settings.tools)
        for name in settings.tools_of:
            agent = _find(known, name, "tools_of")
            tools += [each for each in getattr(agent, "tools", ()) if each not in tools]
        self._tools_agent = make_tools_agent(tools) if tools else None
        if self._tools_agent is not None:
            _check_tools(runtime, self._tools_agent)
        self._described: dict[Tool, Offer] = {}
        if not self._agents and not tools:
            hint = f"Name agents or tools in {WHERE}, or write a table [agents.NAME]."
            raise ConfigError("the MCP server has nothing to offer", hint=hint)

    @property
    def runnables(self) -> Mapping[str, Runnable]:
        """The runnables behind the offers, by their own names."""
        found = {offer.runnable.name: offer.runnable for offer in self._agents.values()}
        return found if self._tools_agent is None else found | {self._tools_agent.name: self._tools_agent}

    async def list(self, access: Access) -> list[Offer]:
        """Return the tools for the caller: agents in the project's order, then direct tools by name.

        Raises the error of a toolkit that cannot be opened.
        """
        found = [offer for offer in self._agents.values() if offer.is_for(access)]
        return found + [offer for offer in (await self._list_tools()).values() if offer.is_for(access)]

    async def find(self, name: str, access: Access) -> Offer | None:
        """Return the tool of a name, or None if there is no such tool for the caller."""
        found = self._agents.get(name) or (await self._list_tools()).get(name)
        return found if found is not None and found.is_for(access) else None

    async def of_run(self, agent: str, input: str, access: Access) -> Offer | None:
        """Return the offer that began a run of the agent with the input; None for a caller who may not call the tool.

        All direct calls are runs of one agent, and the input names the tool.
        """
        is_direct = self._tools_agent is not None and agent == self._tools_agent.name
        tool = read_tool(input) if is_direct else ""
        for offer in (await self._list_tools() if is_direct else self._agents).values():
            if offer.runnable.name == agent and offer.tool == tool and offer.is_for(access):
                return offer
        return None

    async def _list_tools(self) -> dict[str, Offer]:
        if self._tools_agent is None:
            return {}
        tools = await self._runtime.open_tools(self._tools_agent)
        for each in tools.values():
            if each not in self._described:
                self._described[each] = _offer_tool(self._tools_agent, each)
        named = sorted(tools.values(), key=lambda each: each.name)
        offers = [self._described[each] for each in named]
        return _name_offers([*self._agents.values(), *offers], skip=len(self._agents))


def _find(known: Mapping[str, Runnable], name: str, key: str) -> Runnable:
    if name not in known:
        raise NotFound("agent", name, known, where=f"{key} of {WHERE}")
    return known[name]


def _check_tools(runtime: Runtime, agent: Agent) -> None:
    try:
        runtime.check(agent)
    except UsageError as exc:
        # The message begins with the name of the agent of direct calls, which nobody has written.
        said = exc.message.partition(f"agent {agent.name!r}: ")[2] or exc.message
        raise ConfigError(f"tools of {WHERE}: {said}", hint=exc.hint) from exc


def _name_offers(offers: list[Offer], skip: int = 0) -> dict[str, Offer]:
    """Return the offers by name, without the first ones. Raises `ConfigError` for a name that is taken."""
    named: dict[str, Offer] = {}
    for offer in offers:
        if offer.name in named:
            hint = f"Rename one of them, or leave it out of {WHERE}."
            raise ConfigError(f"the MCP server would offer two tools {offer.name!r}", hint=hint)
        named[offer.name] = offer
    return dict(list(named.items())[skip:])


def _offer_runnable(runtime: Runtime, runnable: Runnable) -> Offer:
    schema, form = runnable.input_schema(), "text"
    if schema is not None:
        form = "object" if schema.get("type") == "object" else "value"
    if form == "value":
        schema = {"type": "object", "properties": {"input": schema}, "required": ["input"]}
    output, wraps = _wrap_output(runnable.output_schema())
    read_only, destructive = _sum_hints(runtime, runnable)
    return Offer(
        name=_make_name(runnable.name),
        runnable=runnable,
        title=runnable.name,
        description=runnable.description or f"Run the {runnable.kind} {runnable.name}.",
        input_schema=_TEXT_INPUT if schema is None else _hoist_definitions(schema),
        form=form,  # type: ignore[arg-type]  # one of the texts above
        output_schema=output,
        wraps=wraps,
        read_only=read_only,
        destructive=destructive,
    )


def _offer_tool(agent: Agent, tool: Tool) -> Offer:
    made: Any = tool  # tools of MCP servers know more of themselves
    return Offer(
        name=_make_name(tool.name),
        runnable=agent,
        title=getattr(made, "title", "") or tool.name,
        description=tool.description,
        input_schema={"type": "object", **tool.parameters},
        form="tool",
        read_only=tool.read_only,
        destructive=tool.destructive,
        idempotent=tool.idempotent or None,
        open_world=getattr(made, "open_world", None),
        tool=tool.name,
    )


def _make_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:_LONGEST]


def _wrap_output(schema: Mapping[str, Any] | None) -> tuple[Mapping[str, Any] | None, bool]:
    """Return the schema as one of an object, since the earlier protocol allows nothing else."""
    if schema is None or schema.get("type") == "object":
        return schema, False
    wrapped = {"type": "object", "properties": {"result": schema}, "required": ["result"]}
    return _hoist_definitions(wrapped), True


def _hoist_definitions(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Move the definitions of a wrapped schema to the root, where the references look for them."""
    hoisted = dict(schema)
    properties = dict(hoisted.get("properties", {}))
    for name, each in properties.items():
        if isinstance(each, Mapping) and "$defs" in each:
            properties[name] = {key: value for key, value in each.items() if key != "$defs"}
            hoisted["$defs"] = {**hoisted.get("$defs", {}), **each["$defs"]}
    return hoisted | ({"properties": properties} if properties else {})


def _sum_hints(runtime: Runtime, runnable: Runnable) -> tuple[bool | None, bool | None]:
    """Return whether a run only reads, and whether it may destroy, as far as all tools within say so."""
    tools = list(_list_tools_within(runtime, runnable))
    if None in tools:
        return None, None
    known = [each for each in tools if each is not None]
    if all(each.read_only for each in known):
        return True, None
    if any(each.destructive and not each.read_only for each in known):
        return False, True
    harmless = all(each.read_only or each.destructive is False for each in known)
    return None, False if harmless else None


def _list_tools_within(runtime: Runtime, runnable: Runnable) -> Iterator[Tool | None]:
    """Yield the tools of all agents within, and None for what is not known."""
    if runnable.kind == "workflow":
        yield None  # the steps may do anything
    for part in list_parts(runnable):
        if isinstance(part, Agent):
            try:
                yield from runtime.tools(part).values()
            except AgnoError:
                yield None  # a toolkit that is not open, or an agent that cannot run
