"""The smallest program with a typed answer in each framework, and mypy's type of the answer."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["PROGRAMS", "revealed"]

_TRIP = "from pydantic import BaseModel\n\nclass Trip(BaseModel):\n    city: str\n\n"

PROGRAMS = {
    "agno_rt": "import attrs\nfrom agno_rt import Agent, run\n\n@attrs.define\nclass Trip:\n    city: str\n\n"
    'agent = Agent("llamacpp:smollm2", output=Trip)\nreveal_type(run(agent, "Where to?").output)\n',
    "agno": _TRIP + 'from agno.agent import Agent\nreveal_type(Agent(output_schema=Trip).run("Where to?").content)\n',
    "pydantic_ai": _TRIP + "from pydantic_ai import Agent\n"
    'reveal_type(Agent("test", output_type=Trip).run_sync("Where to?").output)\n',
    "langgraph": _TRIP + "from langchain.agents import create_agent\n"
    'agent = create_agent("openai:gpt-5", response_format=Trip)\n'
    'reveal_type(agent.invoke({"messages": []})["structured_response"])\n',
}


def revealed(name: str, python: str) -> str:
    """Return mypy's type of the answer, using the framework's own Python, or `?` if there is none."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "program.py").write_text(PROGRAMS[name], encoding="utf-8")
        (Path(folder) / "mypy.ini").write_text("[mypy]\n", encoding="utf-8")
        command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--python-executable", python]
        done = subprocess.run([*command, "program.py"], cwd=folder, capture_output=True, text=True, check=False)
    found = re.search(r'Revealed type is "([^"]+)"', done.stdout)
    return found[1].replace("program.", "").replace(" | None", " or None") if found else "?"
