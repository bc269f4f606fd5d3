"""`agno-rt run`: its output, its inputs, its agents, and its exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Agno = Callable[..., subprocess.CompletedProcess[str]]


def test_prints_the_answer_and_nothing_else(agno: Agno) -> None:
    """In a pipe, stdout gets the answer to the letter, and stderr nothing."""
    done = agno("run", "echo", "Hello!")

    assert (done.returncode, done.stdout, done.stderr) == (0, "1: Hello!\n", "")


@pytest.mark.parametrize("args", [(), ("-",)])
def test_reads_its_input_from_a_pipe(agno: Agno, args: tuple[str, ...]) -> None:
    """Without an input, or with `-`, stdin is the question."""
    assert agno("run", "echo", *args, input="two\nlines").stdout == "1: two\nlines\n"


def test_tool_calls_go_to_stderr(agno: Agno) -> None:
    """Text before a tool call, the call and its result go to stderr, and cannot steer the terminal."""
    done = agno("run", "caller", "Shout", "hi.")

    assert done.stdout == "It is HI.\n"
    turn = 'Let me see.\n→ shout(text="hi\\u001b[31m")\n← shout: HI[31M\n'
    assert done.stderr == turn * 2


def test_a_failed_run_is_an_error(agno: Agno) -> None:
    """The partial answer stays on its line; the error and its hint follow on stderr, without traceback."""
    done = agno("run", "failing", "Hello!")

    assert (done.returncode, done.stdout) == (1, "well\n")
    assert done.stderr == "error: the service is down\nhint: Try later.\n"


def test_debug_adds_the_traceback(agno: Agno) -> None:
    """`AGNO_RT_DEBUG=1` acts as `--debug`: the error has its traceback."""
    done = agno("run", "failing", "Hello!", env={"AGNO_RT_DEBUG": "1"})

    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.endswith("error: the service is down\nhint: Try later.\n")


def test_json_is_one_object(agno: Agno) -> None:
    """With `--json` stdout is one JSON object, in the server's form."""
    result = json.loads(agno("run", "echo", "Hello!", "--json").stdout)

    assert len(result.pop("run_id")) == 24
    assert result == {
        "status": "completed",
        "content": "1: Hello!",
        "reasoning": "",
        "output": None,
        "session": None,
        "usage": {
            "input_tokens": 2,
            "output_tokens": 3,
            "reasoning_tokens": 0,
            "cached_tokens": 0,
            "cost": 0.0,
            "cache_write_tokens": 0,
        },
        "error": None,
    }


@pytest.mark.parametrize(("agent", "exit_code", "code"), [("failing", 1, "model"), ("ekho", 2, "not_found")])
def test_json_tells_of_an_error(agno: Agno, agent: str, exit_code: int, code: str) -> None:
    """With `--json` an error is in the object too, before and after the run began."""
    done = agno("run", agent, "Hello!", "--json")
    result = json.loads(done.stdout)

    assert (done.returncode, result["status"], result["error"]["code"]) == (exit_code, "failed", code)
    assert result["error"]["message"] in done.stderr
    assert (result["run_id"] is None) == (agent == "ekho")


@pytest.mark.parametrize("agent", ["agents.py:echo", "agents:echo", "agno-rt.toml:echo", "single.py"])
def test_finds_agents_in_files_and_modules(agno: Agno, project: Path, agent: str) -> None:
    """An agent can be named by its file or module; a file with one agent needs no name."""
    (project / "single.py").write_text("from agents import Echo\nfrom agno_rt import Agent\nbot = Agent(Echo())\n")

    assert agno("run", agent, "Hello!").stdout == "1: Hello!\n"


def test_a_named_session_goes_on(agno: Agno, tmp_path: Path) -> None:
    """`--session` without a configured memory is kept in the user's data folder, and goes on in the next process."""
    answers = [agno("run", "echo", "Hello!", "--session", "s").stdout for _ in range(2)]

    assert answers == ["1: Hello!\n", "2: Hello!\n"]
    assert (tmp_path / "data" / "agno-rt" / "chat.db").exists()


def test_config_says_where_the_memory_is(agno: Agno, project: Path) -> None:
    """`--config` gives the configuration to an agent from elsewhere."""
    (project / "other.toml").write_text('[runtime]\nmemory = "sqlite:///here.db"\n')

    assert agno("run", "agents.py:echo", "x", "--config", "other.toml", "--session", "s").stdout == "1: x\n"
    assert (project / "here.db").exists()


def test_ctrl_c_ends_it_quietly(started: Callable[..., subprocess.Popen[str]]) -> None:
    """SIGINT cancels the run: exit code 130, and nothing on stderr."""
    process = started("run", "slow", "wait")
    assert process.stdout is not None
    assert process.stdout.read(5) == "tick "

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (130, "")


def test_a_reader_that_leaves_is_no_error(started: Callable[..., subprocess.Popen[str]]) -> None:
    """In `agno-rt run ... | head` the closed pipe ends the run, without a traceback."""
    process = started("run", "flood", "go")
    assert process.stdout is not None
    assert process.stdout.readline() == "more and more\n"

    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.wait(60)

    assert (process.returncode, errors) == (1, "")
    process.stdout = None


def test_streams_to_a_terminal(terminal: Callable[..., Any]) -> None:
    """A terminal shows all of the text as it arrives, with tool calls between."""
    with terminal("run", "caller", "Shout.") as person:
        for piece in ("Let me see.\r\n", "→ shout(", "← shout: HI", "Let me see.\r\n", "→ shout(", "It is HI.\r\n"):
            person.expect(piece)
        assert person.leave() == 0


def test_a_terminal_is_not_steered_by_what_is_not_seen(terminal: Callable[..., Any], agno: Agno) -> None:
    """A terminal gets no marks that turn text or have no width, except joiners; a pipe gets all of them."""
    text = "a\u202eb\u200bc\u2066d\ufeffe\U000e0041f \U0001f468\u200d\U0001f469 한\u200c국."
    with terminal("run", "echo", text) as person:
        person.expect("1: abcdef \U0001f468\u200d\U0001f469 한\u200c국.")
        assert person.leave() == 0

    assert agno("run", "echo", text).stdout == f"1: {text}\n"


def test_asks_for_an_input_at_a_terminal(terminal: Callable[..., Any]) -> None:
    """At a terminal a missing input is an error with a remedy; nothing waits for keys."""
    with terminal("run", "echo") as person:
        person.expect("error: there is no input for the agent")
        person.expect("hint: ")
        assert person.leave() == 2


def test_files_are_attached(agno: Agno) -> None:
    """`--attach` adds files and URLs after the question, each with its type; stdin is not read without a question."""
    both = agno("run", "seeing", "What", "is", "this?", "--attach", "dot.gif", "--attach", "https://host/cat.png")
    alone = agno("run", "seeing", "--attach", "dot.gif", input="not read")
    piped = agno("run", "seeing", "-", "--attach", "notes.md", input="Which port?")

    assert both.stdout == "What is this? | [image dot.gif, 35 bytes] | [image cat.png]\n"
    assert alone.stdout == "[image dot.gif, 35 bytes]\n"
    assert piped.stdout == "Which port? | [file notes.md, 10 bytes]\n"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("cat.gif", "there is no file cat.gif"),
        ("damaged.png", "is of no known type"),
        ("report.pdf", "the model seeing does not accept application/pdf, and was given [file report.pdf, 8 bytes]"),
    ],
)
def test_what_cannot_be_attached(agno: Agno, project: Path, path: str, said: str) -> None:
    """A missing file, a wrong type and a type that the model does not accept are errors for the user to mend."""
    (project / "damaged.png").write_bytes(b"\0\1")
    (project / "report.pdf").write_bytes(b"%PDF-1.4")
    done = agno("run", "seeing", "What is this?", "--attach", path)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "hint: " in done.stderr


def test_reasoning_is_no_part_of_the_answer(agno: Agno) -> None:
    """Scripts get the model's reasoning on request only: on stderr, or as a field of the JSON."""
    plain, shown = agno("run", "thinking", "Well?"), agno("run", "thinking", "Well?", "--reasoning")
    result = json.loads(agno("run", "thinking", "Well?", "--json").stdout)

    assert (plain.stdout, plain.stderr) == ("Yes.\n", "")
    assert (shown.stdout, shown.stderr) == ("Yes.\n", "Hm,\nso.\n")
    assert (result["content"], result["reasoning"], result["usage"]["reasoning_tokens"]) == ("Yes.", "Hm,\nso.", 4)


def test_a_terminal_is_shown_the_reasoning(terminal: Callable[..., Any]) -> None:
    """A terminal shows the reasoning before the answer, on separate lines, except with `--no-reasoning`."""
    with terminal("run", "thinking", "Well?") as person:
        person.expect("Hm,\r\nso.\r\nYes.\r\n")
        assert person.leave() == 0
    with terminal("run", "thinking", "Well?", "--no-reasoning") as person:
        person.expect("Yes.\r\n")
        assert "Hm," not in person.seen
        assert person.leave() == 0


def test_scripts_never_see_what_was_taken_back(agno: Agno) -> None:
    """If the model restarts its answer, stdout gets the last one only, and stderr mentions the restart."""
    done = agno("run", "stumbling", "Hello!")

    assert (done.returncode, done.stdout) == (0, "Right.\n")
    assert done.stderr == "The answer begins anew: stumbling is asked again: the line was cut\n"


def test_what_was_shown_and_is_void_is_said_to_be(agno: Agno, terminal: Callable[..., Any]) -> None:
    """A restart marks the printed text as void, and begins the answer on a new line."""
    with terminal("run", "stumbling", "Hello!") as person:
        person.expect("Wro\r\n")
        person.expect("The text above is void: stumbling is asked again: the line was cut\r\n")
        person.expect("Right.\r\n")
        assert person.leave() == 0
    unforeseen = agno("run", "restarting", "Hello!")
    assert unforeseen.stdout == "Wro\n1: Hello!\n"
    assert unforeseen.stderr == "The text above is void: the line was cut\n"


def test_tools_tell_how_far_they_are(agno: Agno) -> None:
    """Progress goes to stderr, a line each, between the call and its result."""
    done = agno("run", "counting", "Count.")

    assert done.stdout == "Two.\n"
    assert done.stderr == '→ count()\n… count: {"done": 0.5}\n… count: almost\n← count: 2\n'


def test_guardrails_that_change_a_text_are_told(agno: Agno) -> None:
    """Text that a guardrail takes out of the input is reported on stderr; the model sees the rest."""
    done = agno("run", "discreet", "I am ann@example.com.")

    assert "ann@example.com" not in done.stdout
    assert done.stderr.startswith("The guardrail pii changed the input: ")


TRAVELS = """
from __future__ import annotations
from pydantic import BaseModel, Field
from agno_rt import Agent, ToolCall
from agno_rt.testing import ScriptedModel

class City(BaseModel):
    name: str = Field(alias="theName")

class Trip(BaseModel):
    cities: list[City]

def visit(city: City) -> City:
    "Visit a city."
    return city

steps = [ToolCall("1", "visit", {"city": {"theName": "Seoul"}}), '{"cities": [{"theName": "Seoul"}]}']
travels = Agent(ScriptedModel(steps), tools=[visit], output=Trip, settings={"seed": 1}, limits={"turns": 2})
"""


def test_an_agent_of_plain_functions_dicts_and_pydantic(agno: Agno, project: Path) -> None:
    """An agent in a file may use plain functions, dicts and pydantic models."""
    (project / "travels.py").write_text(TRAVELS)
    done = agno("run", "travels.py", "Where to?", "--json")

    assert json.loads(done.stdout)["output"] == {"cities": [{"theName": "Seoul"}]}
    assert '← visit: {"theName":"Seoul"}' in done.stderr
