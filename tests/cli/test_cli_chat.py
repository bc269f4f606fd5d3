"""`agno-rt chat`: a conversation over pipes and in a terminal, and the session that it keeps."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Agno = Callable[..., subprocess.CompletedProcess[str]]


def test_the_session_survives_a_restart(agno: Agno, project: Path, tmp_path: Path) -> None:
    """A second process goes on where the first one ended; the banner says where that is kept."""
    first = agno("chat", "echo", input="one\n\ntwo\n")
    second = agno("chat", "echo", input="three\n")

    assert (first.returncode, first.stdout) == (0, "1: one\n2: two\n")
    assert "(new), kept in ~/data/agno-rt/chat.db." in first.stderr
    assert second.stdout == "3: three\n"
    assert f"Session chat-echo@~/{project.name} (4 messages so far)" in second.stderr
    assert (tmp_path / "data" / "agno-rt").stat().st_mode & 0o077 == 0


def test_a_new_conversation_is_the_next_one_to_go_on(agno: Agno) -> None:
    """`/new` and `--new` begin a conversation; the next chat goes on with the last, and an older one can be named."""
    assert agno("chat", "echo", input="one\n/new\ntwo\n").stdout == "1: one\n1: two\n"
    assert agno("chat", "echo", input="three\n").stdout == "2: three\n"
    assert agno("chat", "echo", "--new", input="four\n").stdout == "1: four\n"
    assert agno("chat", "echo", "--session", "chat-echo@~/project", input="five\n").stdout == "2: five\n"


def test_the_project_s_own_memory_is_used(agno: Agno, project: Path, tmp_path: Path) -> None:
    """Where the project configures a memory that lasts, chat keeps its session there, under the agent's name."""
    with (project / "agno-rt.toml").open("a") as file:
        file.write('memory = "sqlite:///own.db"\n')

    done = agno("chat", "echo", input="one\n")

    assert "Session chat-echo (new)." in done.stderr
    assert (project / "own.db").exists()
    assert not (tmp_path / "data" / "agno-rt" / "chat.db").exists()


def test_history_shows_the_conversation(agno: Agno) -> None:
    """`/history` shows what was said: questions and answers on stdout, tool calls on stderr."""
    done = agno("chat", "caller", input="go\n/history\n")

    assert done.stdout == "It is HI.\n> go\nLet me see.\nLet me see.\nIt is HI.\n"
    assert done.stderr.count("← shout: HI") == 4


def test_files_go_with_the_next_question(agno: Agno) -> None:
    """`/attach` adds a file to the next question alone; the history shows that there was one."""
    done = agno("chat", "seeing", input="/attach dot.gif\nWhat is this?\nAnd now?\n/history\n")

    assert done.stdout.startswith("What is this? | [image dot.gif, 35 bytes]\nAnd now?\n")
    assert "> What is this?\n[image dot.gif, 35 bytes]\n" in done.stdout
    assert "[image dot.gif, 35 bytes] goes with the next question." in done.stderr


def test_what_cannot_be_attached(agno: Agno) -> None:
    """A file that is not there, and none at all, are told; the conversation goes on."""
    done = agno("chat", "seeing", input="/attach cat.gif\n/attach\nHello?\n")

    assert "there is no file cat.gif" in done.stderr
    assert "hint: Name a file or a URL: /attach cat.png" in done.stderr
    assert done.stdout == "Hello?\n"


def test_an_error_does_not_end_the_conversation(agno: Agno) -> None:
    """A run that fails, and a command that is none, are told, and the next line is taken; a script sees exit code 1."""
    done = agno("chat", "failing", input="one\n/histroy\n/help\ntwo\n")

    assert done.returncode == 1
    assert done.stderr.count("error: the service is down") == 2
    assert "hint: Did you mean '/history'?" in done.stderr
    assert "begin a new conversation" in done.stderr


def test_an_agent_that_cannot_run_is_told_at_once(agno: Agno) -> None:
    """An agent whose model is unknown is an error before the first question."""
    done = agno("chat", "lost", input="one\n")

    assert (done.returncode, done.stdout) == (2, "")
    assert "agno-rt.toml, agent 'lost': unknown plugin 'opena'" in done.stderr


def test_ctrl_c_stops_the_answer_and_not_the_program(terminal: Callable[..., Any]) -> None:
    """In a terminal Ctrl-C cancels the run under way, the next line is answered, and Ctrl-D leaves."""
    with terminal("chat", "slow") as person:
        person.expect("> ")
        person.type("wait\r")
        person.expect("tick ")
        person.type("\x03")
        person.expect("Stopped. This question and its answer are not kept.")
        person.expect("> ")
        person.type("hello\r")
        person.expect("1: hello")
        person.expect("> ")
        person.type("\x04")
        assert person.leave() == 0


def test_ctrl_c_at_the_prompt_discards_the_line(terminal: Callable[..., Any]) -> None:
    """At the prompt Ctrl-C drops what was typed and says how to leave; a second one in a row leaves."""
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
    """What was typed in an earlier chat can be brought back and sent again."""
    with terminal("chat", "echo") as person:
        person.expect("> ")
        person.type("unusual\r")
        person.expect("1: unusual")
        person.expect("> ")
        person.type("/quit\r")
        assert person.leave() == 0
    with terminal("chat", "echo") as person:
        person.expect("> ")
        person.type("\x1b[A\x1b[A\r")
        person.expect("2: unusual")
