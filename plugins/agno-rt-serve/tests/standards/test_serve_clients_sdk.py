"""Clients of other projects: pydantic-ai, LangChain, openai-agents, LiteLLM and llm as to OpenAI, and AG-UI's own.

Each client runs in the environment of `make clients`, as a program: see `clients/`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from standards.ag_ui_agents import list_broken, list_runnables
from standards.talkers import echo, thinker

ROOT = Path(__file__).parents[4]
PYTHON = ROOT / ".asv" / "clients" / "bin" / "python"
PATIENCE = 120
ONE = "[user] One."
BRIEF = f"[system] Be brief. {ONE}"
TWO = f"{ONE} [assistant] {ONE} [user] Two."
SUNNY = "It is sunny in Seoul."
SEOUL = {"city": "Seoul", "degrees": 21}
CALL = ["weather", {"city": "Seoul"}]

Judge = Callable[[str], Any]


@pytest.fixture(scope="module")
def url(serve_in_thread: Any) -> str:
    """Serve the agents and an embedder."""
    served: str = serve_in_thread(echo(), thinker(), embedders={"words": "test:words"})
    return served


@pytest.fixture
def carry_out(tmp_path: Path) -> Callable[..., str]:
    """Run the environment's Python with arguments, and return the output."""
    if not PYTHON.exists():
        reason = "the clients are not installed: run `make clients`"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)

    def run(*arguments: str, more: Mapping[str, str] | None = None) -> str:
        environ = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        # No client may look for keys or settings of the user's.
        environ |= {"HOME": str(tmp_path), "OPENAI_API_KEY": "none", "PYTHONWARNINGS": "ignore", **(more or {})}
        done = subprocess.run(
            [PYTHON, *arguments], capture_output=True, text=True, timeout=PATIENCE, env=environ, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def judge(url: str, carry_out: Callable[..., str]) -> Judge:
    """Run a client of `clients/` against the server, and return the findings."""

    def run(name: str) -> Any:
        return json.loads(carry_out(str(Path(__file__).with_name("clients") / f"{name}_client.py"), url))

    return run


def test_pydantic_ai(judge: Judge) -> None:
    """Agents of pydantic-ai ask, stream, call tools, go on and read typed answers, in both formats."""
    found = judge("pydantic_ai")

    for name in ("chat", "responses"):
        assert found[name] == {
            "first": BRIEF,
            "second": f"{BRIEF} [assistant] {BRIEF} [user] Two.",
            "pieces": BRIEF,
            "several": True,
            "called": SUNNY,
            "streamed": SUNNY,
            "typed": SEOUL,
            "thought": "It is noon.",
            "thinking": ["The clock says so."] if name == "chat" else ["I should look.", "The clock says so."],
            "tokens": [11, 7],
        }


def test_langchain(judge: Judge) -> None:
    """LangChain's chat model does so too, and goes on from a stored response; embeddings are the vectors."""
    found = judge("langchain")

    for name in ("chat", "responses"):
        assert found[name] == {
            "said": BRIEF,
            "tokens": [11, 7],
            "pieces": ONE,
            "several": True,
            "call": CALL,
            "called": SUNNY,
            "typed": SEOUL,
        }
    assert (found["chained"], found["vectors"], found["query"], found["sized"]) == (TWO, [64, 64], True, 16)


def test_openai_agents(judge: Judge) -> None:
    """Agents of openai-agents do so too, with types and tools together, and go on from a stored response."""
    found = judge("openai_agents")

    for name in ("chat", "responses"):
        assert found[name] == {
            "first": BRIEF,
            "second": f"{BRIEF} [assistant] {BRIEF} [user] Two.",
            "pieces": BRIEF,
            "several": True,
            "called": SUNNY,
            "streamed": SUNNY,
            "typed": SEOUL,
            "thought": "It is noon.",
        }
    assert found["chained"] == TWO


def test_litellm(judge: Judge) -> None:
    """LiteLLM completes, streams, calls tools, reads typed answers, makes responses, and embeds."""
    found = judge("litellm")

    events = found.pop("events")
    assert found == {
        "said": ONE,
        "tokens": [11, 7],
        "pieces": ONE,
        "several": True,
        "call": CALL,
        "called": SUNNY,
        "typed": SEOUL,
        "made": ONE,
        "vectors": [64, 64],
    }
    assert (events[0], events[-1]) == ("response.created", "response.completed")
    assert events.count("response.output_item.done") == 1


def test_llm(url: str, carry_out: Callable[..., str], tmp_path: Path) -> None:
    """The command `llm` asks, streams, goes on, calls a function, and fills a schema."""
    known = (
        f"- model_id: agno\n  model_name: echo\n  api_base: {url}/v1\n  supports_tools: true\n  supports_schema: true\n"
    )
    (tmp_path / "extra-openai-models.yaml").write_text(known)
    weather = 'def weather(city: str) -> str:\n    "Tell the weather in a city."\n    return f"sunny in {city}"'

    def llm(*arguments: str) -> str:
        return carry_out("-m", "llm", *arguments, more={"LLM_USER_PATH": str(tmp_path)}).strip()

    assert llm("-m", "agno", "--no-stream", "One.") == ONE
    assert llm("-c", "Two.") == TWO
    assert json.loads(llm("-m", "agno", "--schema", "city, degrees int", "Where?")) == SEOUL
    assert llm("-m", "agno", "--functions", weather, "Weather?") == SUNNY


@pytest.fixture(scope="module")
def ag_ui_url(serve_in_thread: Any) -> str:
    """Serve the runnables for AG-UI."""
    served: str = serve_in_thread(*list_runnables(), *list_broken())
    return served


def test_ag_ui_models(ag_ui_url: str, carry_out: Callable[..., str]) -> None:
    """The models of AG-UI's SDK read each event, know each field, and write the same JSON."""
    program = Path(__file__).with_name("clients") / "ag_ui_client.py"
    found = json.loads(carry_out(str(program), ag_ui_url))

    assert found["name"] == "shop"
    assert found["ends"] == {
        "shop buy": "success",
        "shop both": "interrupt",
        "shop both resumed": "success",
        "desk pay": "interrupt",
        "desk pay resumed": "success",
        "publish hi": "interrupt",
        "publish hi resumed": "success",
        "pair look": "success",
    }
    assert {"RUN", "TEXT", "REASONING", "TOOL", "STATE", "MESSAGES", "STEP", "SUBAGENT", "CUSTOM"} == {
        each.partition("_")[0] for each in found["types"]
    }


def test_ag_ui_client(ag_ui_url: str) -> None:
    """AG-UI's client for JavaScript accepts each stream without a warning, and goes on from interrupts."""
    node, folder = shutil.which("node"), PYTHON.parents[1]
    if node is None or not (folder / "node_modules" / "@ag-ui").exists():
        reason = "AG-UI's client is not installed: run `make clients` with npm"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    assert node is not None
    program = Path(__file__).with_name("clients") / "ag_ui_client.mjs"
    command = [node, "--input-type=module", "-", ag_ui_url]
    done = subprocess.run(
        command, input=program.read_text(), capture_output=True, text=True, timeout=PATIENCE, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert found.pop("warnings") == []
    assert found == {
        "said": "[system] Sell. [user] hello",
        "bought": "added tea",
        "state": {"items": ["tea"], "paid": False},
        "pending": ["tool_call"],
        "blocked": True,
        "denied": "pay was denied: no and fail failed: ValueError: the shop is closed",
        "roles": found["roles"],
        "answered": "sunny and This call was not carried out.",
        "desk": "paid 5",
        "publish": "published",
        "pair": '["a shop","a shop","LOOK"]',
        "taken": "QUIET WORDS",
        "broken": "RUN_ERROR",
    }
    assert found["roles"].startswith("user reasoning assistant user reasoning assistant tool assistant user")
