"""`agno-rt chat`: a conversation over pipes and in a terminal, and the session of the conversation."""

from __future__ import annotations

import base64
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Agno = Callable[..., subprocess.CompletedProcess[str]]

TALK = '''
import re
from pathlib import Path

import trio
from agno_rt import Agent, Message, ModelResponse, ToolCall, Usage, tool
from agno_rt.events import TextDelta
from agno_rt.models import ModelProfile

PROSE = """# Ports

The **first** port is `7070`, as [the notes](https://example.com/notes) have it; *every* other is snake_case_free.

- one that is long enough to be broken at the edge of the terminal, wherever that may be
  - and one below

```python
port = 7070  # the first
```

| Port | Use |
|-----:|-----|
| 7070 | web |
"""


class Says:
    """Says a text in many pieces."""

    def __init__(self, name, text):
        self.name, self.text = name, text

    async def respond(self, request, emit=None):
        for piece in re.findall(".{1,3}", self.text, re.DOTALL) if emit else ():
            await emit(TextDelta(piece))
        return ModelResponse(self.text, usage=Usage(1200, 34, cost=0.0123))


class Mute:
    """Says nothing, for ever."""

    name = "mute"

    async def respond(self, request, emit=None):
        await trio.sleep_forever()


class Embedded(Mute):
    """Answers a greeting, and nothing else. Is loaded into the process when it is first asked."""

    name = "embedded"
    profile = ModelProfile(in_process=True)

    async def respond(self, request, emit=None):
        if request.messages[-1].content == "hello":
            await emit(TextDelta("Hello."))
            return ModelResponse("Hello.")
        return await super().respond(request, emit)


class Told:
    """Says its instructions, and how often it was asked in this process."""

    name = "told"
    asked = 0

    async def respond(self, request, emit=None):
        self.asked += 1
        system = next((each.text for each in request.messages if each.role == "system"), "nothing")
        return ModelResponse(f"told {system}, asked {self.asked}: {request.messages[-1].text}")


class Patient:
    """Begins, and goes on when there is a file."""

    name = "patient"

    async def respond(self, request, emit=None):
        if request.messages[-1].text == "wait":
            await emit(TextDelta("Waiting "))
            while not Path("go").exists():
                await trio.sleep(0.01)
        await emit(TextDelta("done."))
        return ModelResponse("done.")


@tool
def shout(text: str) -> str:
    """Shout a text.

    Loudly.
    """
    return text.upper()


prose = Agent(Says("prose", PROSE))
HOSTILE = "a\\x1b]0;own\\x07b **bo\\u202eld\\x1b[2J** `co\\x9bde` \\u200b한국 שלום \\U0001f468\\u200d\\U0001f469.\\n"
hostile = Agent(Says("hostile", HOSTILE))
mute = Agent(Mute())
embedded = Agent(Embedded())
told = Agent(Told(), instructions="A", tools=[shout])
patient = Agent(Patient())
'''


@pytest.fixture
def talk(agno: Agno, project: Path) -> Agno:
    """Return `agno` in the project with the agents of `TALK`."""
    (project / "talk.py").write_text(TALK)
    return agno


def test_the_session_survives_a_restart(agno: Agno, project: Path, tmp_path: Path) -> None:
    """A second process continues the session of the first; the banner names the place of the session."""
    first = agno("chat", "echo", input="one\n\ntwo\n")
    second = agno("chat", "echo", input="three\n")

    assert (first.returncode, first.stdout) == (0, "1: one\n2: two\n")
    assert "(new)\nKept in ~/data/agno-rt/chat.db. " in first.stderr
    assert second.stdout == "3: three\n"
    assert f'echo, session chat-echo@~/{project.name} "one" (4 messages so far)\n' in second.stderr
    assert (tmp_path / "data" / "agno-rt").stat().st_mode & 0o077 == 0


def test_a_new_conversation_is_the_next_one_to_go_on(agno: Agno) -> None:
    """`/new` and `--new` start a conversation. The next chat continues the last one; older ones can be named."""
    assert agno("chat", "echo", input="one\n/new\ntwo\n").stdout == "1: one\n1: two\n"
    assert agno("chat", "echo", input="three\n").stdout == "2: three\n"
    assert agno("chat", "echo", "--new", input="four\n").stdout == "1: four\n"
    assert agno("chat", "echo", "--session", "chat-echo@~/project", input="five\n").stdout == "2: five\n"


def test_the_project_s_own_memory_is_used(agno: Agno, project: Path, tmp_path: Path) -> None:
    """A project with a memory that lasts keeps the chat's session there, under the agent's name."""
    with (project / "agno-rt.toml").open("a") as file:
        file.write('memory = "sqlite:///own.db"\n')

    done = agno("chat", "echo", input="one\n")

    assert done.stderr.startswith("echo, session chat-echo (new)\n")
    assert (project / "own.db").exists()
    assert not (tmp_path / "data" / "agno-rt" / "chat.db").exists()


def test_history_shows_the_conversation(agno: Agno) -> None:
    """`/history` shows questions and answers on stdout, and tool calls on stderr."""
    done = agno("chat", "caller", input="go\n/history\n")

    assert done.stdout == "It is HI.\n> go\nLet me see.\nLet me see.\nIt is HI.\n"
    assert done.stderr.count("← shout: HI") == 4


def test_files_go_with_the_next_question(agno: Agno) -> None:
    """`/attach` adds a file to the next question only; the history mentions the file."""
    done = agno("chat", "seeing", input="/attach dot.gif\nWhat is this?\nAnd now?\n/history\n")

    assert done.stdout.startswith("What is this? | [image dot.gif, 35 bytes]\nAnd now?\n")
    assert "> What is this?\n[image dot.gif, 35 bytes]\n" in done.stdout
    assert "[image dot.gif, 35 bytes] goes with the next question." in done.stderr


def test_what_cannot_be_attached(agno: Agno) -> None:
    """A missing file, or no file at all, is reported; the conversation goes on."""
    done = agno("chat", "seeing", input="/attach cat.gif\n/attach\nHello?\n")

    assert "there is no file cat.gif" in done.stderr
    assert "hint: Name a file or a URL: /attach cat.png" in done.stderr
    assert done.stdout == "Hello?\n"


def test_an_error_does_not_end_the_conversation(agno: Agno) -> None:
    """A failed run or an unknown command is reported, and the next line is read; a script gets exit code 1."""
    done = agno("chat", "failing", input="one\n/histroy\n/help\ntwo\n")

    assert done.returncode == 1
    assert done.stderr.count("error: the service is down") == 2
    assert "hint: Did you mean '/history'?" in done.stderr
    assert "begins a new conversation" in done.stderr


def test_an_agent_that_cannot_run_is_told_at_once(agno: Agno) -> None:
    """An agent whose model is unknown is an error before the first question."""
    done = agno("chat", "lost", input="one\n")

    assert (done.returncode, done.stdout) == (2, "")
    assert "agno-rt.toml, agent 'lost': unknown plugin 'opena'" in done.stderr


def test_ctrl_c_stops_the_answer_and_not_the_program(terminal: Callable[..., Any], agno: Agno) -> None:
    """In a terminal Ctrl-C cancels the run. The part of the answer so far is kept, and marked."""
    with terminal("chat", "slow") as person:
        person.expect("> ")
        person.type("wait\r")
        person.expect("tick")
        person.type("\x03")
        person.expect("The answer is kept as far as it came, marked as interrupted")
        person.expect("> ")
        person.type("hello\r")
        person.expect("2: hello")
        person.expect("> ")
        person.type("\x04")
        person.expect("To come back: agno-rt chat slow --session 'chat-slow@~/project'")
        assert person.leave() == 0

    shown = agno("sessions", "show", "chat-slow@~/project").stdout
    assert shown == "> wait\ntick\n\n[interrupted]\n> hello\n2: hello\n"


def test_what_was_stopped_before_it_began_is_not_kept(terminal: Callable[..., Any], talk: Agno) -> None:
    """If the model has said nothing, nothing is kept; the status line is erased."""
    with terminal("chat", "talk.py:mute") as person:
        person.expect("> ")
        person.type("Well?\r")
        person.expect("asking mute")
        person.type("\x03")
        person.expect("\r\x1b[K")
        person.expect("Stopped before there was any answer: nothing is kept; /retry asks again.")
        person.expect("> ")
        person.type("/history\r")
        person.expect("Nothing was said yet.")
        person.expect("> ")
        person.type("/retry\r")
        person.expect("asking mute")
        person.type("\x03")
        person.expect("Stopped")
        person.expect("> ")
        person.type("\x04")
        assert person.leave() == 0
    assert "To come back" not in person.seen


def test_a_model_in_the_process_is_loaded_once(terminal: Callable[..., Any], talk: Agno) -> None:
    """The status line says that a model in the process is loaded, until the model has answered for the first time."""
    with terminal("chat", "talk.py:embedded") as person:
        person.expect("> ")
        for said, shown in (("Well?", "loading embedded"), ("hello", "Hello."), ("Well?", "asking embedded")):
            person.type(f"{said}\r")
            person.expect(shown)
            if shown != "Hello.":
                person.type("\x03")
                person.expect("Stopped")
            person.expect("> ")
        person.type("\x04")
        assert person.leave() == 0


def test_an_answer_is_copied_by_the_terminal(terminal: Callable[..., Any]) -> None:
    """`/copy` sends the last answer to the terminal's clipboard."""
    with terminal("chat", "echo") as person:
        person.expect("> ")
        person.type("hi\r")
        person.expect("1: hi\r\n")
        person.expect("> ")
        person.type("/copy\r")
        person.expect(f"\x1b]52;c;{base64.b64encode(b'1: hi').decode()}\x07")
        person.expect("> ")
        person.type("\x04")
        assert person.leave() == 0


def test_ctrl_c_at_the_prompt_discards_the_line(terminal: Callable[..., Any]) -> None:
    """At the prompt Ctrl-C drops the line and tells how to leave; a second Ctrl-C in a row leaves."""
    with terminal("chat", "echo") as person:
        person.expect("> ")
        person.type("half a li")
        person.expect("half a li")
        person.interrupt("Ctrl-D or /quit leaves, and so does another Ctrl-C.")
        person.expect("> ")
        person.type("whole\r")
        person.expect("1: whole")
        person.expect("> ")
        person.interrupt("> ")
        assert person.leave("\x03") == 130


def test_the_arrow_keys_bring_back_earlier_lines(terminal: Callable[..., Any]) -> None:
    """The arrow keys bring back a line of an earlier chat, to be sent again."""
    with terminal("chat", "echo") as person:
        person.expect("> ")
        person.type("unusual\r")
        person.expect("1: unusual")
        person.expect("> ")
        person.type("/quit\r")
        assert person.leave() == 0
    with terminal("chat", "echo") as person:
        person.expect("1: unusual")
        person.expect("> ")
        person.type("\x1b[A\x1b[A\r")
        person.expect("2: unusual")


def test_what_was_typed_is_kept_for_its_user_alone(terminal: Callable[..., Any], talk: Agno, tmp_path: Path) -> None:
    """An input of several lines comes back as one; only the user can read the file; `--no-history` stores nothing."""
    file = tmp_path / "state" / "agno-rt" / "chat-history"
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    with terminal("chat", "echo", "--no-history", env=env) as person:
        person.expect("> ")
        person.type("secret\r")
        person.expect("1: secret")
        person.expect("> ")
        person.type("\x04")
        assert person.leave() == 0
    assert not file.exists()
    with terminal("chat", "echo", "--new", env=env) as person:
        person.expect("> ")
        person.type("one\ntwo\r")
        person.expect("1: one\r\ntwo\r\n")
        person.expect("> ")
        person.type("\x04")
        assert person.leave() == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with terminal("chat", "echo", "--new", env=env) as person:
        person.expect("> ")
        person.type("\x1b[A\r")
        person.expect("1: one\r\ntwo\r\n")


def test_what_was_typed_is_kept_up_to_a_bound(terminal: Callable[..., Any], tmp_path: Path) -> None:
    """A history beyond its bound is cut; damaged lines of the file are left out."""
    file = tmp_path / "state" / "agno-rt" / "chat-history"
    file.parent.mkdir(parents=True)
    file.write_text("".join(f'"input {number}"\n' for number in range(2_500)) + '"torn\n')
    with terminal("chat", "echo", env={"XDG_STATE_HOME": str(tmp_path / "state")}) as person:
        person.expect("> ")
        person.type("\x1b[A\r")
        person.expect("1: input 2499")
        person.expect("> ")
        person.type("other\r")
        person.expect("2: other")
    lines = file.read_text().splitlines()
    assert (len(lines), lines[-1]) == (1_001, '"other"')


def test_an_input_may_have_several_lines(agno: Agno) -> None:
    """A backslash continues a line; three quotes and `/multi` hold a block, in which `/` is text."""
    lines = ["a \\", "b", '"""', "/c", "d", '"""', '"""e"""', "/multi", "f", "", "g", "/end", "path\\\\", "/etc/hosts?"]
    done = agno("chat", "echo", input="\n".join(lines))

    assert done.stdout == "1: a \nb\n2: /c\nd\n3: e\n4: f\n\ng\n5: path\\\\\n6: /etc/hosts?\n"
    assert done.returncode == 0


def test_lines_that_are_pasted_are_one_input(terminal: Callable[..., Any]) -> None:
    """Pasted lines are one input in a terminal that marks pastes; Alt-Enter starts a line, too."""
    with terminal("chat", "echo") as person:
        person.expect("> ")
        person.type("\x1b[200~one\rtwo\x1b[201~\r")
        person.expect("1: one\r\ntwo\r\n")
        person.expect("> ")
        person.type("three\x1b\rfour\r")
        person.expect("2: three\r\nfour\r\n")


def test_keys_that_are_pressed_early_are_kept(terminal: Callable[..., Any], talk: Agno, project: Path) -> None:
    """Keys pressed while an answer is written stay out of the answer, and become the next question."""
    with terminal("chat", "talk.py:patient") as person:
        person.expect("> ")
        person.type("wait\r")
        person.expect("Waiting")
        person.type("early\r")
        (project / "go").touch()
        person.expect("done.")
        assert "early" not in person.seen[: person.read]
        person.expect("> early")
        person.expect("done.")


def test_tab_completes(terminal: Callable[..., Any], talk: Agno, project: Path) -> None:
    """Tab completes the names of commands, and their arguments."""
    with terminal("chat", "echo") as person:
        person.expect("> ")
        person.type("/hist\t\r")
        person.expect("Nothing was said yet.")
        person.expect("> ")
        person.type("/agent thi\t\r")
        person.expect("thinking answers from now on.")
        person.expect("> ")
        person.type("/attach dot\t\r")
        person.expect("[image dot.gif, 35 bytes] goes with the next question.")


def test_the_last_answer_is_taken_back(talk: Agno) -> None:
    """`/retry` asks again in place of the last answer; `/undo` removes the question as well."""
    done = talk("chat", "talk.py:told", input="one\ntwo\n/retry\n/undo\n/history\n/undo\n/undo\n")
    answers = ["told A, asked 1: one", "told A, asked 2: two", "told A, asked 3: two"]

    assert done.stdout == "\n".join([*answers, "> one", answers[0], ""])
    assert "Taken back: two\n" in done.stderr
    assert "error: there is no answer to take back\nhint: Ask something first.\n" in done.stderr
    assert talk("sessions", "list").stdout == ""


def test_a_question_is_asked_again_after_a_failure(agno: Agno) -> None:
    """`/retry` after a failure drops no answer: the earlier conversation stays."""
    agno("chat", "echo", input="one\n")
    done = agno("chat", "failing", "--session", "chat-echo@~/project", input="two\n/retry\n/undo\n/history\n")

    assert done.stderr.count("error: the service is down") == 2
    assert done.stdout.endswith("> one\n1: one\n")


def test_the_last_question_is_changed(terminal: Callable[..., Any]) -> None:
    """`/edit` offers the old question to be changed, and asks the new one in its place."""
    with terminal("chat", "echo") as person:
        person.expect("> ")
        person.type("on\r")
        person.expect("1: on")
        person.expect("> ")
        person.type("/edit\r")
        person.expect("> on")
        person.type("e\r")
        person.expect("1: one")


def test_sessions_are_listed_and_gone_on_with(agno: Agno) -> None:
    """`/sessions` numbers the user's sessions with titles, newest first; `/session` accepts a number or an id."""
    agno("chat", "echo", "--user", "ann", input="hers\n")
    done = agno("chat", "echo", input="first question\n/new\nother\n/title Another one\n/sessions\n/session 2\nmore\n")
    by_name = agno("chat", "echo", input="/new mine\nown\n/session chat-echo@~/project.2\nlast\n/session nowhere\n")

    assert re.search(r"^\*1  Another one +chat-echo@~/project\.3 +2 ", done.stdout, re.MULTILINE)
    assert re.search(r"^ 2  first question +chat-echo@~/project\.2 +2 ", done.stdout, re.MULTILINE)
    assert "hers" not in done.stdout
    assert done.stdout.endswith("2: more\n")
    assert by_name.stdout == "1: own\n3: last\n"
    assert "error: there is no session 'nowhere'\nhint: " in by_name.stderr


def test_a_conversation_is_saved(agno: Agno, project: Path) -> None:
    """`/save` writes Markdown, and overwrites an existing file only with `-f`."""
    (project / "there.md").write_text("mine")
    done = agno("chat", "caller", input="go\n/save out.md\n/save there.md\n/save -f there.md\n/save\n")
    saved = (project / "out.md").read_text()

    assert saved.startswith("# go\n\n## You\n\ngo\n\n## Assistant\n\nLet me see.\n\nCall of `shout`:\n\n```json\n")
    assert saved.endswith("\n\nIt is HI.\n")
    assert (project / "there.md").read_text() == saved
    assert "error: there.md exists already\nhint: /save -f there.md overwrites it.\n" in done.stderr
    assert "error: there is no file to save to" in done.stderr


def test_another_model_another_agent_other_instructions(
    talk: Agno, project: Path, distribution: Callable[..., Path]
) -> None:
    """`/model`, `/agent` and `/system` change the answering agent from the next question on, in the same session."""
    source = """
        from agno_rt import ModelResponse, hookimpl

        class Fixed:
            name = "mine:fixed"

            async def respond(self, request, emit=None):
                return ModelResponse(f"fixed after {len(request.messages)}")

        @hookimpl
        def agno_rt_register_models(register):
            register("fixed", lambda rest, settings: Fixed())
    """
    said = "one\n/system B\ntwo\n/model mine:fixd\n/model mine:fixed\nthree\n/agent mute\n/agent nobody\n/model\n"
    folder = distribution("mine", source)
    done = talk("chat", "talk.py:told", input=said, env={"PYTHONPATH": str(folder)})

    assert done.stdout == "told A, asked 1: one\ntold B, asked 2: two\nfixed after 6\n"
    assert "Did you mean 'mine:fixed'?" in done.stderr
    assert "mine:fixed answers from now on." in done.stderr
    assert "mute answers from now on." in done.stderr
    assert "unknown agent 'nobody'" in done.stderr
    assert "mine:fixed" in done.stderr[done.stderr.rindex("mute answers. For another model: /model SPEC") :]


def test_tools_are_listed(talk: Agno) -> None:
    """`/tools` names each tool with the first line of its description."""
    done = talk("chat", "talk.py:told", input="/tools\n")

    assert "  shout  Shout a text.\n" in done.stderr
    assert "Loudly" not in done.stderr


def test_an_empty_session_is_refused(agno: Agno) -> None:
    """A session needs a name."""
    done = agno("chat", "echo", "--session", "", input="one\n")

    assert (done.returncode, done.stdout) == (2, "")
    assert " is empty\nhint: " in done.stderr


def test_markdown_has_its_form_in_a_terminal(terminal: Callable[..., Any], talk: Agno) -> None:
    """A terminal styles headings and emphasis, draws tables and leaves code alone; `--plain` shows the source."""
    with terminal("run", "talk.py:prose", "Go.") as person:
        person.expect("\x1b[0;1;4mPorts\x1b[0m\r\n\r\nThe \x1b[0;1mfirst\x1b[0m port is `7070`, as ")
        person.expect("\x1b[0;2;4mhttps://example.com/notes\x1b[0m) have")
        person.expect("\x1b[0;3mevery\x1b[0m other is")
        person.expect("snake_case_free.\r\n\r\n• one that is long")
        person.expect("\r\n  • and one below\r\n")
        person.expect("```python\x1b[0m\r\nport = 7070  # the first\r\n\x1b[0;2m```")
        person.expect("\x1b[0;1mPort\x1b[0;2m │ \x1b[0;1mUse\x1b[0m\r\n\x1b[0;2m─────┼────\x1b[0m\r\n7070")
        assert person.leave() == 0
    with terminal("run", "talk.py:prose", "Go.", "--plain") as person:
        person.expect("# Ports\r\n\r\nThe **first** port is `7070`, as [the notes](https://example.com/notes)")
        person.expect("| 7070 | web |\r\n")
        assert person.leave() == 0
    assert "**first**" in talk("run", "talk.py:prose", "Go.").stdout


def test_code_is_coloured(terminal: Callable[..., Any], talk: Agno) -> None:
    """With colours on, code is highlighted, and shown without backticks within a line."""
    with terminal("run", "talk.py:prose", "Go.", env={"NO_COLOR": ""}) as person:
        person.expect("port is \x1b[0;36m7070\x1b[0m, as")
        person.expect("\x1b[2;49m# the first\x1b[0m\r\n")
        assert person.leave() == 0


def test_a_dumb_terminal_gets_plain_text(terminal: Callable[..., Any], talk: Agno) -> None:
    """A dumb terminal gets no escape sequences, and chats all the same."""
    with terminal("chat", "talk.py:prose", env={"TERM": "dumb"}) as person:
        person.expect("> ")
        person.type("Go.\r")
        person.expect("The **first** port")
        person.expect("1,200 + 34 tokens")
        person.expect("> ")
        person.type("\x04")
        assert person.leave() == 0
    assert "\x1b" not in person.seen


def test_no_word_is_cut_at_the_edge(terminal: Callable[..., Any], talk: Agno) -> None:
    """In a narrow terminal, lines break between words; lines of list items align below their text."""
    with terminal("chat", "talk.py:prose", columns=40) as person:
        person.expect("Kept in ~/data/agno-rt/chat.db. Ctrl-C\r\nstops an answer, Ctrl-D leaves, /help\r\nlists")
        person.expect("> ")
        person.type("Go.\r")
        person.expect(
            "• one that is long enough to be broken\r\n  at the edge of the terminal, wherever\r\n  that may be\r\n"
        )
        person.expect("> ")
        person.type("/help\r")
        person.expect("  /session ID\r\n      continues another conversation,\r\n      by its number or id\r\n")


def test_markdown_does_not_steer_the_terminal(terminal: Callable[..., Any], talk: Agno) -> None:
    """Control sequences of a model are left out, within emphasis and code too; wide letters and emoji stay."""
    with terminal("run", "talk.py:hostile", "Go.") as person:
        person.expect("a]0;ownb \x1b[0;1mbold[2J\x1b[0m `code` 한국 שלום \U0001f468\u200d\U0001f469.\r\n")
        assert person.leave() == 0


def test_what_an_answer_took_is_told(terminal: Callable[..., Any], talk: Agno) -> None:
    """A terminal shows tokens, time and cost below each answer, except with `--quiet`."""
    with terminal("chat", "talk.py:prose", "--quiet") as person:
        person.expect("> ")
        person.type("Go.\r")
        person.expect("web\r\n")
        person.expect("> ")
        assert "tokens" not in person.seen
        person.type("\x04")
        assert person.leave() == 0
    with terminal("chat", "talk.py:prose") as person:
        person.expect('"Go." (2 messages so far)')
        person.expect("> Go.\r\n# Ports\r\n")
        person.expect("> ")
        person.type("Again.\r")
        person.expect("1,200 + 34 tokens, ")
        person.expect(" s, $0.0123\r\n")
    assert "tokens" not in talk("chat", "talk.py:prose", input="Go.\n").stderr
