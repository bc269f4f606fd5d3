"""The client for the protocol's conformance suite, an npm package that needs node 22; its scenarios are its arguments.

    npm install @modelcontextprotocol/conformance node@22
    conformance client --command "python plugins/agno-rt-mcp/tests/conformance_client.py" --scenario auth/scope-step-up

The suite starts this program with a server's address, and the scenario in the environment.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx2
import trio
from agno_rt_mcp import make_toolkit
from agno_rt_mcp.errors import LoginNeeded
from agno_rt_mcp.oauth.login import log_in
from agno_rt_mcp.settings import OAuthSettings, ServerSettings

from agno_rt import Agent, Runtime
from agno_rt.failures import leaves
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import ToolCall
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.testing import ScriptedModel

URL = sys.argv[-1]
SCENARIO = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
LOGINS = 3  # a server that wants more than these does not agree with its own tokens


def make_oauth() -> OAuthSettings:
    """Return what a person would write for the scenario."""
    given = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    if "client_secret" in given:
        metadata = httpx2.get(URL.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")).json()
        grant: Any = "client_credentials" if "client-credentials" in SCENARIO else "code"
        return OAuthSettings(grant, given["client_id"], given["client_secret"], metadata["authorization_servers"][0])
    if "private_key_pem" in given:
        metadata = httpx2.get(URL.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")).json()
        path = Path(tempfile.mkdtemp()) / "key.pem"
        path.touch(0o600)
        path.write_text(given["private_key_pem"])
        issuer = metadata["authorization_servers"][0]
        return OAuthSettings("client_credentials", given["client_id"], issuer=issuer, key_file=str(path))
    if SCENARIO == "auth/basic-cimd":
        return OAuthSettings(client_id="https://conformance-test.local/client-metadata.json")
    return OAuthSettings()


def respond(request: ModelRequest) -> ModelResponse:
    """Call each tool once, and take its result as the answer."""
    if request.messages[-1].role == "tool" or not request.tools:
        return ModelResponse(request.messages[-1].text)
    calls = [
        ToolCall(str(number), each.name, {"a": 1, "b": 2} if "add" in each.name else {})
        for number, each in enumerate(request.tools)
    ]
    return ModelResponse("", tuple(calls))


async def visit(address: str) -> None:
    """Be the browser of a person that agrees."""
    async with httpx2.AsyncClient(follow_redirects=True, timeout=60) as browser:
        await browser.get(address)


async def run_agent(settings: ServerSettings) -> None:
    """Run an agent with the tools, and answer each question with the defaults. Raises the tools' `LoginNeeded`."""
    agent = Agent(ScriptedModel(respond), "client", tools=[make_toolkit(settings)], memory=MemoryPolicy(journal=True))
    async with Runtime(memory="memory:") as runtime:
        runtime.add(agent)
        result = await runtime.run(agent, "go")
        while result.status == "paused":
            for approval in result.approvals:
                await runtime.answer(approval.id, {})
            result = await runtime.resume(result.run_id)
    print(result.content)
    if "LoginNeeded" in str(result.content):
        raise LoginNeeded(settings.name, "wants a login")


async def log_in_as_person(settings: ServerSettings) -> None:
    """Log in with the browser."""
    async with trio.open_nursery() as nursery:

        async def show(address: str) -> None:
            nursery.start_soon(visit, address)

        await log_in(settings, show, seconds=10)


def needs_login(exc: BaseException) -> bool:
    """Return whether a login would help."""
    causes = [*leaves(exc), exc.__cause__]
    return any(isinstance(each, LoginNeeded) for each in causes)


async def main() -> None:
    """Run the agent, and log in whenever the server wants it."""
    settings = ServerSettings("conformance", url=URL, oauth=make_oauth(), connect_timeout=10, restarts=0)
    for left in reversed(range(LOGINS + 1)):
        try:
            await run_agent(settings)
            return
        except Exception as exc:
            if not left or not needs_login(exc):
                raise
        await log_in_as_person(settings)


if __name__ == "__main__":
    os.environ["AGNO_RT_KEYS"] = f"{tempfile.mkdtemp()}/keys.toml"
    trio.run(main)
