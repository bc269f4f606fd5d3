"""Other implementations as judges of the server: the conformance suite, the SDK for TypeScript, and our own client.

`make clients` installs those of npm. The suite needs a later node than most systems have: npm installs that, too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from agno_rt_mcp import make_toolkit
from agno_rt_mcp.settings import ServerSettings

from .projects import Agents

pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning")

HERE = Path(__file__).parent
CLIENTS = HERE.parents[3] / ".asv" / "clients"
PATIENCE = 120.0


def find(*parts: str) -> Path:
    """Return a file that `make clients` installs. Skip the test without it; CI must have it."""
    path = CLIENTS.joinpath("node_modules", *parts)
    if not path.exists():
        reason = f"{'/'.join(parts)} is not installed: run `make clients` with npm"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return path


def test_conformance(agents: Agents) -> None:
    """The server passes each scenario of the protocol's conformance suite that is about tools."""
    suite = find("@modelcontextprotocol", "conformance", "dist", "index.js")
    node = find("node", "bin", "node")
    agents.configure('tools_of = ["holder"]', agents=HERE / "conformance_agents.py")
    command: list[Any] = [node, suite, "server", "--url", agents.serve()]
    command += ["--expected-failures", HERE / "conformance.yml"]
    done = subprocess.run(command, cwd=agents.folder, capture_output=True, text=True, timeout=PATIENCE, check=False)

    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_the_client_for_typescript(transport: str, agents: Agents) -> None:
    """The client lists, calls, checks structured answers, answers a form, hears progress and cancels a run."""
    find("@modelcontextprotocol", "sdk", "package.json")
    node = shutil.which("node")
    assert node is not None, "npm comes with node"
    target = [agents.serve()]
    if transport == "stdio":
        target = ["stdio", sys.executable, str(agents.folder), "-m", "agno_rt.cli", "mcp", "serve"]
    command = [node, "--input-type=module", "-", *target]
    done = subprocess.run(
        command,
        input=(HERE / "client.mjs").read_text(),
        cwd=CLIENTS,
        env=os.environ | agents.env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert "cleaner" in found["tools"]
    assert found["echo"] == "1: hi"
    assert found["typed"] == {"city": "Seoul", "days": 3}
    assert found["cleaner"] == "The tool said: ts.txt is gone"
    assert found["asked"] == ['cleaner wants to call wipe({"path": "ts.txt"}).']
    assert found["steps"] == sorted(set(found["steps"]))
    assert found["cancelled"] == "cancelled"
    trio.run(agents.wait_for, "was cancelled")


@pytest.mark.parametrize("protocol", ["auto", "legacy"])
async def test_our_own_client(protocol: str, agents: Agents) -> None:
    """Agents of another process are tools of an agent here."""
    arguments = ("-m", "agno_rt.cli", "mcp", "serve")
    server = ServerSettings(
        "ours", command=sys.executable, args=arguments, cwd=str(agents.folder), env=agents.env, protocol=protocol
    )
    kit: Any = make_toolkit(server)
    async with kit.open() as lists:
        tools = {tool.name: tool for tool in await anext(aiter(lists))}
        said = await tools["echo"].function(input="hi")
        typed = json.loads(await tools["typed"].function(input="a trip"))

    assert said == "1: hi"
    assert typed == {"city": "Seoul", "days": 3}
    assert tools["add"].read_only
    assert tools["cleaner"].approve
