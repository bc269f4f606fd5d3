"""What an agent, a team or a workflow offers to clients of AG-UI. A missing field means unknown."""

from __future__ import annotations

from typing import Any

import msgspec

from agno_rt import Agent, AgnoError, Runnable
from agno_rt.agent import memory_of
from agno_rt_serve.api.site import Site

__all__ = ["Capabilities", "list_capabilities"]


class _Base(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    pass


class _Identity(_Base, kw_only=True):
    name: str
    description: str | None = None


class _Transport(_Base, kw_only=True):
    streaming: bool
    websocket: bool
    http_binary: bool
    resumable: bool


class _Tool(_Base, kw_only=True):
    name: str
    description: str
    parameters: dict[str, Any]


class _Tools(_Base, kw_only=True):
    supported: bool
    client_provided: bool
    parallel_calls: bool | None = None
    items: list[_Tool] | None = None


class _Output(_Base, kw_only=True):
    structured_output: bool


class _State(_Base, kw_only=True):
    snapshots: bool
    deltas: bool
    persistent_state: bool


class _Subagent(_Base, kw_only=True):
    name: str
    description: str | None = None


class _MultiAgent(_Base, kw_only=True):
    supported: bool
    subagents: list[_Subagent] | None = None


class _Reasoning(_Base, kw_only=True):
    supported: bool
    streaming: bool
    encrypted: bool


class _Input(_Base, kw_only=True):
    image: bool
    audio: bool
    video: bool
    pdf: bool
    file: bool


class _Multimodal(_Base, kw_only=True):
    input: _Input


class _People(_Base, kw_only=True):
    supported: bool
    approvals: bool
    interrupts: bool
    approve_with_edits: bool


class Capabilities(_Base, kw_only=True):
    """The capabilities of a runnable, in AG-UI's form."""

    identity: _Identity
    transport: _Transport
    tools: _Tools
    output: _Output
    state: _State
    multi_agent: _MultiAgent
    reasoning: _Reasoning
    multimodal: _Multimodal
    human_in_the_loop: _People


def list_capabilities(site: Site, runnable: Runnable) -> Capabilities:
    """Return the capabilities of the runnable."""
    is_agent = isinstance(runnable, Agent)
    has_state = isinstance(runnable, Agent) and memory_of(runnable.memory).state is not None
    parts = [_Subagent(name=part.name, description=part.description or None) for part in runnable.parts()]
    # Attachments pass through to the model, which says what it cannot read.
    media = _Input(image=True, audio=True, video=True, pdf=True, file=True)
    return Capabilities(
        identity=_Identity(name=runnable.name, description=runnable.description or None),
        transport=_Transport(streaming=True, websocket=False, http_binary=False, resumable=False),
        tools=_list_tools(site, runnable),
        output=_Output(structured_output=isinstance(runnable, Agent) and runnable.output is not None),
        state=_State(snapshots=has_state, deltas=has_state, persistent_state=has_state),
        multi_agent=_MultiAgent(supported=not is_agent, subagents=parts or None),
        reasoning=_Reasoning(supported=True, streaming=True, encrypted=False),
        multimodal=_Multimodal(input=media),
        human_in_the_loop=_People(supported=True, approvals=True, interrupts=True, approve_with_edits=True),
    )


def _list_tools(site: Site, runnable: Runnable) -> _Tools:
    if not isinstance(runnable, Agent):
        return _Tools(supported=True, client_provided=False)
    takes_tools = runnable.output is None
    try:
        tools = site.runtime.tools(runnable).values()
    except AgnoError:
        # Its toolkits are not open yet, or it cannot run as it stands: a run says which.
        return _Tools(supported=True, client_provided=takes_tools, parallel_calls=True)
    items = [_Tool(name=each.name, description=each.description, parameters=dict(each.parameters)) for each in tools]
    return _Tools(supported=bool(items) or takes_tools, client_provided=takes_tools, parallel_calls=True, items=items)
