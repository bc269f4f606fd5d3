"""The agent of a command line: an agent of the project, one changed by options, or a model alone; and the lists."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Agno = Callable[..., subprocess.CompletedProcess[str]]

CALLING = """
from agno_rt import ModelResponse, ToolCall, hookimpl

class Calling:
    "Calls its first tool once, and then says what came of it, after what it was told to be."
    name = "calling"

    async def respond(self, request, emit=None):
        told = [message.text for message in request.messages if message.role == "tool"]
        if not told:
            return ModelResponse("", (ToolCall("1", request.tools[0].name, '{"text": "hi"}'),))
        system = [message.text for message in request.messages if message.role == "system"]
        return ModelResponse(" ".join([*system, *told]))

@hookimpl
def agno_rt_register_models(register):
    register("it", lambda rest, settings: Calling())
"""

TOOLS = '''
from agno_rt import tool

@tool
def broken(text: str) -> str:
    """Break."""
    raise ValueError(f"no {text}")

@tool(approve=True)
def send(text: str) -> str:
    """Send."""
    return f"sent {text}"

def plain(text: str) -> str:
    """Say it aloud."""
    return text.upper()
'''


@pytest.fixture
def calling(project: Path, distribution: Callable[..., Path]) -> dict[str, str]:
    """Return variables that make `calling:it` a model, beside a tools.py in the project's folder."""
    (project / "tools.py").write_text(TOOLS)
    return {"PYTHONPATH": str(distribution("calling", CALLING))}


def test_a_model_is_asked_without_an_agent(agno: Agno, project: Path) -> None:
    """A model's spec replaces an agent's name. With `-m` no agent is needed, and a named agent gets that model."""
    (project / "inputs.txt").write_text("one\n")

    assert agno("run", "template:echo", "Hello!").stdout == "Hello!\n"
    assert agno("run", "-m", "template:echo", "What is it?").stdout == "What is it?\n"
    assert agno("run", "-m", "template:echo", input="piped").stdout == "piped\n"
    for agent in ("echo", "agents.py:echo", "agents:echo"):
        assert agno("run", "-m", "template:echo", agent, "Hello!").stdout == "Hello!\n"
    assert agno("chat", "-m", "template:echo", input="one\n").stdout == "one\n"
    mapped = agno("map", "-m", "template:echo", "inputs.txt", "-o", "-")
    assert json.loads(mapped.stdout)["content"] == "one"


def test_a_misspelt_agent_is_not_taken_for_a_question(agno: Agno) -> None:
    """With `-m`, words that begin with neither an agent nor a quoted question are refused, with both remedies."""
    done = agno("run", "-m", "template:echo", "ekho", "Hello!")

    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'echo'?" in done.stderr
    assert "agno-rt run -m template:echo 'ekho Hello!'" in done.stderr


def test_tools_and_instructions_from_the_command_line(agno: Agno, calling: dict[str, str]) -> None:
    """`-t` gives the agent a function of a file, `-s` instructions; the error of a tool is reported once."""
    done = agno("run", "calling:it", "Go.", "-t", "tools.py:plain", "-s", "Brief.", env=calling)
    failed = agno("run", "calling:it", "Go.", "-t", "tools.py:broken", env=calling)

    assert done.stdout == "Brief. HI\n"
    assert "← broken failed: ValueError: no hi\n" in failed.stderr


@pytest.mark.parametrize(
    ("spec", "problem", "remedy"),
    [
        ("tools.py:plan", "unknown tool 'plan' (tools.py)", "Did you mean 'plain'?"),
        ("tools.py", "tools.py has 2 tools", "tools.py:broken"),
        ("files:serch", "unknown tool 'files:serch'", "Did you mean 'files:search'?"),
        ("nowhere:x", "unknown module 'nowhere'", "FILE.py:function"),
        ("calculator", "'calculator' does not name a tool", "Write toolkits:calculator."),
        ("calculater", "'calculater' does not name a tool", "Did you mean 'toolkits:calculator'?"),
        ("toolkit:calculator", "unknown module 'toolkit'", "Did you mean 'toolkits'?"),
        ("sql:shop.db", "unknown module 'sql'", "Write data:sql:shop.db."),
        ("mcp:nope", "unknown MCP server 'nope'", "[plugins.mcp.servers.nope]"),
        ("delegates", "unknown tool 'delegates'", "write delegates:NAME or delegates:background"),
        ("tool.py:x", "no such file: 'tool.py'", "Did you mean 'tools.py'?"),
    ],
)
def test_a_tool_that_is_not_there(agno: Agno, project: Path, spec: str, problem: str, remedy: str) -> None:
    """An unknown tool is an error with the nearest name."""
    (project / "tools.py").write_text(TOOLS)

    done = agno("run", "template:echo", "x", "-t", spec)

    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert remedy in done.stderr


def test_a_spec_that_ends_as_a_file(agno: Agno, project: Path) -> None:
    """A plugin's spec may end in the name of a Python file, such as an MCP server's."""
    (project / "server.py").write_text("raise SystemExit('no server today')")

    done = agno("run", "template:echo", "x", "-t", "mcp:./server.py")

    assert (done.returncode, done.stdout) == (1, "")
    assert "no server today" in done.stderr


@pytest.mark.parametrize("spec", ["todo", "codemode"])
def test_a_tool_named_as_its_plugin(agno: Agno, spec: str) -> None:
    """`-t` accepts the short specs that `tools` accepts: the plugin's name alone."""
    done = agno("run", "template:echo", "x", "-t", spec)

    assert (done.returncode, done.stdout, done.stderr) == (0, "x\n", "")


def test_a_run_with_options_is_resumed_with_them(agno: Agno, calling: dict[str, str]) -> None:
    """The printed command for a paused run repeats the options that made its agent, and works as printed."""
    paused = agno("run", "calling:it", "Go.", "-t", "tools.py:send", env=calling)
    found = re.search(r"agno-rt (approvals approve \S+ -t tools.py:send --resume)", paused.stderr)

    assert paused.returncode == 75
    assert found is not None, paused.stderr
    done = agno(*found[1].split(), env=calling)
    assert (done.returncode, done.stdout) == (0, "sent hi\n")


@pytest.mark.parametrize("verb", ["run", "chat", "map"])
def test_without_an_agent_they_are_listed(agno: Agno, verb: str) -> None:
    """A verb without its agent lists the agents and how to name one; standard output stays empty."""
    done = agno(verb)

    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(r"^caller +caller +shout +agents\.py", done.stderr, re.MULTILINE)
    assert f"agno-rt {verb} echo" in done.stderr


def test_agents_are_listed(agno: Agno, project: Path) -> None:
    """Agents are listed with model, tools, description and file, as a table and as JSON lines."""
    with (project / "agno-rt.toml").open("a") as file:
        file.write('[agents.a]\nmodel = "template:echo"\ntools = ["files:search:."]\ninstructions = "Be brief."\n')

    rows = {line.split()[0]: line for line in agno("agents").stdout.splitlines()}
    listed = {agent["name"]: agent for agent in map(json.loads, agno("agents", "--json").stdout.splitlines())}

    assert rows["a"].split(None, 4)[1:] == ["template:echo", "files:search:.", "agno-rt.toml", "Be brief."]
    assert listed["a"]["tools"] == ["files:search:."]
    assert (listed["caller"]["tools"], listed["caller"]["source"]) == (["shout"], "agents.py")


def test_agents_fit_a_narrow_terminal(
    agno: Agno, environment: dict[str, str], terminal: Callable[..., Any], tmp_path: Path
) -> None:
    """A table in a narrow terminal never cuts the name of an agent or a model."""
    environment["COLUMNS"] = "40"
    with terminal("agents", "-c", "agno-rt.toml") as person:
        person.expect("counting")
        assert person.leave() == 0
    assert max(map(len, person.seen.split("\r\n"))) <= 40
    assert "…" not in person.seen


def test_models_say_what_they_lack(agno: Agno, project: Path) -> None:
    """A complete model is ready; a model without its key names the variable; servers of the settings are listed."""
    with (project / "agno-rt.toml").open("a") as file:
        file.write('[plugins.openai.servers.local]\nbase_url = "http://127.0.0.1:9/v1"\n')
    env = {"OPENAI_API_KEY": ""}

    done = agno("models", env=env)
    models = {model["spec"]: model for model in map(json.loads, agno("models", "--json", env=env).stdout.splitlines())}

    assert re.search(r"^template:echo +ready", done.stdout, re.MULTILINE)
    assert re.search(r"^openai:gpt-5 +not ready", done.stdout, re.MULTILINE)
    assert "Set OPENAI_API_KEY" in done.stderr
    assert models["openai:local:MODEL"]["ready"] is True
    assert models["openai:gpt-5"]["ready"] is False
    assert models["llamacpp:PATH"]["ready"] is None


def test_doctor_finds_nothing(agno: Agno, project: Path) -> None:
    """In a sound project each line of `doctor` says what was found, and the exit code is 0."""
    text = '[agents.a]\nmodel = "template:echo"\n[plugins.serve]\nport = 0\n'
    (project / "agno-rt.toml").write_text(text)

    done = agno("doctor")
    lines = [json.loads(line) for line in agno("doctor", "--json").stdout.splitlines()]

    assert (done.returncode, done.stderr) == (0, "")
    for said in ("✓ Python 3.", "✓ agno-rt ", "✓ agno-rt.toml, with 1 agent: a", "✓ agent a can answer"):
        assert said in done.stdout
    assert done.stdout.endswith("All is well.\n")
    assert {line["about"] for line in lines} >= {"python", "plugins", "configuration", "models", "memory", "agents"}


def test_doctor_finds_what_is_broken(agno: Agno, project: Path, distribution: Callable[..., Path]) -> None:
    """A broken plugin, a memory without a folder and an agent without its model are errors with remedies."""
    site = distribution("broken", "raise OSError('no such library')")
    agents = '[agents.a]\nmodel = "opena:gpt"\n[agents.b]\nmodel = "openai:gpt-5"\n'
    (project / "agno-rt.toml").write_text(f'[runtime]\nmemory = "sqlite:///no/dir/a.db"\n{agents}')

    done = agno("doctor", env={"PYTHONPATH": str(site), "OPENAI_API_KEY": ""})

    assert done.returncode == 1
    assert "✗ plugin 'broken' (broken-plugin 1.2) failed to load: OSError: no such library" in done.stdout
    folder = "the folder of 'sqlite:///no/dir/a.db' does not exist"
    assert f"✗ agno-rt.toml, memory: {folder}\n  Make it: mkdir -p no/dir\n" in done.stdout
    assert "✗ agent a cannot answer: " in done.stdout
    assert "✗ agent b cannot answer: api.openai.com needs an API key" in done.stdout
    assert "4 of " in done.stdout


def test_doctor_reads_what_is_not_toml(agno: Agno, project: Path) -> None:
    """An unreadable file is one line among the others, and `plugins` works beside the file, too."""
    (project / "agno-rt.toml").write_text("[runtime\n")

    done, plugins = agno("doctor"), agno("plugins")

    assert done.returncode == 1
    assert "✗ agno-rt.toml is not valid TOML" in done.stdout
    assert "✓ memory" in done.stdout
    assert plugins.returncode == 0
    assert "no plugin is blocked" in plugins.stderr


@pytest.mark.parametrize(("typed", "found"), [("agno-rt run ca", "caller"), ("agno-rt se", "sessions")])
def test_a_shell_completes(agno: Agno, typed: str, found: str) -> None:
    """Names of agents and commands are completed; each shell gets its own script."""
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "_AGNO_RT_COMPLETE": "bash_complete"}

    assert f"plain,{found}" in agno(env=words).stdout.splitlines()
    for shell in ("bash", "zsh", "fish"):
        assert "_AGNO_RT_COMPLETE" in agno("completion", shell).stdout
