"""Tools for a service of one's own: reading is free, and a change waits for a person. The service is a server here.

The same lines serve a real service: give its address and the name of its key.
"""

import json
from typing import Any

import trio
from agno_rt_services import Definition, Service, ServiceSettings, make_toolkit
from agno_rt_services.service import quote_part

from agno_rt import Agent, Runtime, Tool, ToolCall
from agno_rt.testing import ScriptedModel, WireReply, open_wire_server


def make_tools(service: Service) -> list[Tool]:
    """Make the tools of the ticket desk."""

    @service.reading()
    async def get_ticket(number: str) -> dict[str, Any]:
        """Read a ticket."""
        found = await service.get(f"tickets/{quote_part(number)}")
        return {"title": found.get("title"), "state": found.get("state")}

    @service.changing()
    async def close_ticket(number: str, reason: str) -> dict[str, Any]:
        """Close a ticket."""
        return await service.post(f"tickets/{quote_part(number)}/close", {"reason": reason})

    return [get_ticket, close_ticket]


DESK = Definition("desk", "DESK_TOKEN", make_tools)

model = ScriptedModel(
    [
        ToolCall("1", "get_ticket", '{"number": "17"}'),
        ToolCall("2", "close_ticket", '{"number": "17", "reason": "The printer has paper again."}'),
        "Ticket 17 is closed.",
    ]
)


def reply(status: int = 200, **fields: str) -> WireReply:
    """Return an answer of the service."""
    return WireReply((json.dumps(fields).encode(),), status)


async def main() -> None:
    """Let the agent read and close a ticket; the service refuses the first call for the moment."""
    busy = WireReply((b"{}",), 429, headers={"retry-after": "0.1"})
    async with open_wire_server(busy, reply(title="No paper", state="open"), reply(201, state="closed")) as server:
        desk = make_toolkit(DESK, ServiceSettings(base_url=server.url, api_key="a key of the desk"))
        agent = Agent(model, "clerk", tools=[desk])
        async with Runtime() as runtime:
            result = await runtime.run(agent, "Close ticket 17 if it is solved.")
            for approval in result.approvals:
                print(f"asks: {approval.call.name}({approval.call.arguments})")
                await runtime.approve(approval.id, by="ann")
            result = await runtime.resume(result.run_id, agent)
        for request in server.requests:
            print(f"{request.method} {request.path} {request.body.decode()}".rstrip())
        print(result.content)


if __name__ == "__main__":
    trio.run(main)
