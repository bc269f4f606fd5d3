"""`agno-rt sessions`: list, show, rename, export, import and delete."""

from __future__ import annotations

import base64
import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

Agno = Callable[..., subprocess.CompletedProcess[str]]

STATEFUL = '''
from agno_rt import Agent, MemoryPolicy, ModelResponse, State, ToolCall, tool


@tool
def put(cart: State[list]) -> str:
    """Put something in."""
    cart.append("pear")
    return str(len(cart))


class Putting:
    name = "putting"

    async def respond(self, request, emit=None):
        last = request.messages[-1]
        return ModelResponse(last.text) if last.role == "tool" else ModelResponse("", (ToolCall("1", "put"),))


cart = Agent(Putting(), tools=[put], memory=MemoryPolicy(state=list))
'''


@pytest.fixture
def kept(agno: Agno) -> None:
    """Store two sessions: one of ann with two runs, one without a user with a tool call."""
    for question in ("Hello!", "Again!"):
        agno("run", "echo", question, "--session", "greeting", "--user", "ann")
    agno("run", "caller", "Shout.", "--session", "shouting")


def lines(text: str) -> list[Any]:
    """Read JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.usefixtures("kept")
def test_a_session_is_renamed(agno: Agno) -> None:
    """A title is the first question until renamed, and can be searched; an empty title restores the first question."""
    renamed = agno("sessions", "rename", "greet", "A trip to Seoul")

    assert (renamed.returncode, renamed.stdout) == (0, "")
    assert renamed.stderr == "Session greeting is called 'A trip to Seoul'.\n"
    assert [info["id"] for info in lines(agno("sessions", "list", "--json", "--search", "TRIP").stdout)] == ["greeting"]
    assert agno("sessions", "rename", "greeting", "").stderr == "Session greeting is called 'Hello!'.\n"
    foreign = agno("sessions", "rename", "greeting", "Mine", "--user", "bob")
    assert (foreign.returncode, foreign.stderr.partition("\n")[0]) == (2, "error: unknown session 'greeting'")


@pytest.mark.usefixtures("kept")
def test_lists_the_sessions(agno: Agno) -> None:
    """The last written session comes first, whole in a pipe; options choose the user and the number."""
    rows = [line.split() for line in agno("sessions", "list").stdout.splitlines()]

    assert rows[0] == ["ID", "TITLE", "AGENT", "USER", "MESSAGES", "WRITTEN"]
    assert rows[1][:4] == ["shouting", "Shout.", "caller", "6"]
    assert rows[2][:5] == ["greeting", "Hello!", "echo", "ann", "4"]
    assert [row["id"] for row in lines(agno("sessions", "list", "--limit", "1", "--json").stdout)] == ["shouting"]
    [of_ann] = lines(agno("sessions", "list", "--user", "ann", "--json").stdout)
    assert (of_ann["id"], of_ann["user"], of_ann["messages"]) == ("greeting", "ann", 4)
    assert of_ann["created_at"] <= of_ann["updated_at"]


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_an_empty_list_says_so(agno: Agno, args: tuple[str, ...]) -> None:
    """An empty list prints nothing for a script, and tells a person that it is empty, and the searched file."""
    done = agno("sessions", "list", *args)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "No sessions in ~/data/agno-rt/chat.db.\n"
    assert agno("sessions", "list", "--user", "bob").stderr == "No sessions of bob in ~/data/agno-rt/chat.db.\n"


@pytest.mark.usefixtures("kept")
def test_shows_what_was_said(agno: Agno) -> None:
    """Messages are shown as text, with a line for each tool call and attachment; options choose the last ones."""
    agno("run", "seeing", "What is this?", "--attach", "dot.gif", "--session", "seen")
    shouting, last = agno("sessions", "show", "shouting"), agno("sessions", "show", "greeting", "--last", "1")

    turn = 'Let me see.\n→ shout(text="hi\\u001b[31m")\n← shout: HI[31M\n'
    assert shouting.stdout == f"> Shout.\n{turn}{turn}It is HI.\n"
    assert shouting.stderr == "Session shouting: 6 messages.\n"
    assert last.stdout == "2: Again!\n"
    assert last.stderr == "Session greeting of ann: 4 messages, the last 1 of them here.\n"
    assert "> What is this?\n[image dot.gif, 35 bytes]\n" in agno("sessions", "show", "seen").stdout
    as_json = lines(agno("sessions", "show", "greeting", "--json").stdout)
    assert [message["role"] for message in as_json] == ["user", "assistant", "user", "assistant"]


@pytest.mark.usefixtures("kept")
def test_a_session_is_found_by_its_beginning(agno: Agno) -> None:
    """The beginning of an id will do; ambiguous and unknown beginnings are errors with the known ids."""
    agno("run", "echo", "Hi.", "--session", "green")

    assert agno("sessions", "show", "sh", "--last", "1").stdout == "It is HI.\n"
    several, none = agno("sessions", "show", "gree"), agno("sessions", "show", "shuoting")
    assert (several.returncode, none.returncode) == (2, 2)
    assert several.stderr == "error: 2 sessions begin with 'gree'\nhint: Type more of the id: green, greeting\n"
    assert none.stderr.startswith("error: unknown session 'shuoting'\nhint: Did you mean 'shouting'?")


@pytest.mark.usefixtures("kept")
def test_what_goes_out_comes_in_again(agno: Agno, project: Path) -> None:
    """Messages, media, the user and the state of a session survive the way through JSON lines."""
    (project / "stateful.py").write_text(STATEFUL)
    agno("run", "seeing", "What is this?", "--attach", "dot.gif", "--session", "seen")
    agno("run", "stateful.py", "Put it in.", "--session", "cart")
    there = ("--memory", "sqlite:///there.db")

    out = agno("sessions", "export")
    exported = {session["id"]: session for session in lines(out.stdout)}
    into = agno("sessions", "import", "-", *there, input=out.stdout)
    again = agno("sessions", "export", *there)

    assert (into.returncode, into.stdout, into.stderr) == (0, "", "Stored 4 sessions.\n")
    assert exported.keys() == {"greeting", "shouting", "seen", "cart"}
    assert {session["id"]: session for session in lines(again.stdout)} == exported
    [_, media] = exported["seen"]["messages"][0]["content"]
    assert base64.b64decode(media["data"]) == (project / "dot.gif").read_bytes()
    (project / "there.toml").write_text('[runtime]\nmemory = "sqlite:///there.db"\n')
    assert agno("run", "stateful.py", "Again.", "--session", "cart", "-c", "there.toml").stdout == "2\n"


@pytest.mark.usefixtures("kept")
def test_exports_into_a_file(agno: Agno, project: Path) -> None:
    """`-o` writes a file for its owner only, and prints the number of sessions; `--user` is heeded."""
    done = agno("sessions", "export", "--user", "ann", "-o", "out.jsonl")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "Wrote 1 session to out.jsonl.\n")
    assert [session["id"] for session in lines((project / "out.jsonl").read_text())] == ["greeting"]
    assert (project / "out.jsonl").stat().st_mode & 0o077 == 0
    assert [session["id"] for session in lines(agno("sessions", "export", "sh").stdout)] == ["shouting"]
    assert agno("sessions", "import", "out.jsonl", "--memory", "sqlite:///there.db").stderr == "Stored 1 session.\n"


@pytest.mark.usefixtures("kept")
def test_with_a_user_there_is_only_what_is_theirs(agno: Agno) -> None:
    """Sessions of other users, or without a user, are unknown to every verb, and no hint names them."""
    told = [
        agno("sessions", *args, "--user", user)
        for args in (("show", "greeting"), ("export", "greeting"), ("delete", "greeting", "--yes"), ("show", "gree"))
        for user in ("bob", "Ann")
    ]
    of_nobody = agno("sessions", "show", "shouting", "--user", "ann")

    assert {done.returncode for done in told} == {2}
    assert {done.stdout for done in told} == {""}
    assert {done.stderr.partition("\n")[2] for done in told} == {"hint: There are no sessions.\n"}
    assert of_nobody.stderr == "error: unknown session 'shouting'\nhint: Known: greeting.\n"
    assert agno("sessions", "export", "--user", "bob").stdout == ""
    assert len(lines(agno("sessions", "show", "greeting", "--user", "ann", "--json").stdout)) == 4
    assert [each["id"] for each in lines(agno("sessions", "export", "gr", "--user", "ann").stdout)] == ["greeting"]
    assert agno("sessions", "delete", "greeting", "--yes", "--user", "ann").stdout == "deleted greeting (4 messages)\n"


@pytest.mark.usefixtures("kept")
def test_nobody_goes_on_with_the_session_of_another(agno: Agno) -> None:
    """Neither `run` nor `chat` continues another user's session; the error has a remedy, and hides the owner."""
    by_bob = agno("run", "echo", "Hi.", "--session", "greeting", "--user", "bob")
    by_nobody = agno("run", "echo", "Hi.", "--session", "greeting", "--json")
    in_chat = agno("chat", "echo", "--session", "greeting", "--user", "bob", input="/history\nHi.\n")

    assert (by_bob.returncode, by_bob.stdout) == (in_chat.returncode, in_chat.stdout) == (2, "")
    assert by_bob.stderr == "error: session 'greeting' belongs to another user\nhint: Name another session.\n"
    assert in_chat.stderr == by_bob.stderr
    assert json.loads(by_nobody.stdout)["error"] == {
        "code": "forbidden",
        "message": "session 'greeting' belongs to a user, and none was named",
        "hint": "Say who it is for, or name another session.",
    }
    assert len(lines(agno("sessions", "show", "greeting", "--json").stdout)) == 4


def test_each_user_has_a_chat_of_their_own(agno: Agno) -> None:
    """`chat` continues the last conversation of its user, and starts one if there is none."""
    said = [agno("chat", "echo", *user, input="Hi.\n").stdout for user in (("--user", "ann"), ("--user", "bob"), ())]
    again = [agno("chat", "echo", *user, input="Hi.\n").stdout for user in (("--user", "ann"), ())]

    assert said == ["1: Hi.\n"] * 3
    assert again == ["2: Hi.\n"] * 2


@pytest.mark.usefixtures("kept")
def test_what_was_nobodys_can_be_given_to_a_user(agno: Agno) -> None:
    """An import with `--user` gives sessions without a user to that user, and refuses those of others."""
    out = agno("sessions", "export").stdout
    refused = agno("sessions", "import", "-", "--user", "bob", "--memory", "sqlite:///there.db", input=out)
    of_nobody = agno("sessions", "export", "shouting").stdout
    agno("sessions", "delete", "shouting", "--yes")
    agno("sessions", "import", "-", "--user", "bob", input=of_nobody)

    assert refused.returncode == 1
    assert "warning: <stdin>:1: skipped: it belongs to another user\nhint: " in refused.stderr
    there = lines(agno("sessions", "list", "--json", "--memory", "sqlite:///there.db").stdout)
    assert [(each["id"], each["user"]) for each in there] == [("shouting", "bob")]
    assert {each["id"]: each["user"] for each in lines(agno("sessions", "list", "--json").stdout)} == {
        "shouting": "bob",
        "greeting": "ann",
    }
    assert agno("run", "caller", "Shout.", "--session", "shouting", "--user", "bob").returncode == 0


def test_old_names_stay_in_their_line(agno: Agno, project: Path) -> None:
    """Names of older versions with line ends and steering marks are shown by their visible characters."""
    memory = ("--memory", "sqlite:///old.db")
    agno("sessions", "import", "-", *memory, input='{"format": 1, "kind": "session", "id": "s", "user": "u"}\n')
    name, user = "a\nerror: b\x1b[2J", "eve\u202e\u200b\u2028x"
    with closing(sqlite3.connect(project / "old.db")) as old, old:
        old.execute("UPDATE sessions SET id = ?, user = ?", (name, user))
    listed, shown = agno("sessions", "list", *memory), agno("sessions", "show", name, *memory)
    deleted = agno("sessions", "delete", name, "--yes", *memory)

    assert [line.split()[:4] for line in listed.stdout.splitlines()][1] == ["a", "error:", "b[2J", "eve"]
    assert shown.stderr == "Session a error: b[2J of eve x: 0 messages.\n"
    assert deleted.stdout == "deleted a error: b[2J (0 messages)\n"


@pytest.mark.usefixtures("kept")
def test_an_export_that_fails_leaves_the_file_as_it_was(agno: Agno, project: Path) -> None:
    """A missing session or a bad place is an error before anything is written."""
    (project / "out.jsonl").write_text("mine")
    done = agno("sessions", "export", "greeting", "nobody", "-o", "out.jsonl")

    assert done.returncode == 2
    assert "unknown session 'nobody'" in done.stderr
    assert (project / "out.jsonl").read_text() == "mine"
    nowhere = agno("sessions", "export", "-o", "nowhere/out.jsonl")
    assert nowhere.stderr.startswith("error: nowhere/out.jsonl cannot be written: No such file or directory\nhint: ")
    assert not [path for path in project.iterdir() if path.name.startswith(".out")]


@pytest.mark.usefixtures("kept")
def test_deletes_what_is_named(agno: Agno) -> None:
    """`--yes` deletes the named sessions; a script without `--yes`, or a typo, deletes nothing."""
    unsaid = agno("sessions", "delete", "greeting")
    wrong = agno("sessions", "delete", "greeting", "shout", "--yes")
    left = [row["id"] for row in lines(agno("sessions", "list", "--json").stdout)]
    done = agno("sessions", "delete", "greeting", "--yes")

    assert (unsaid.returncode, wrong.returncode, left) == (2, 2, ["shouting", "greeting"])
    assert "hint: Confirm with --yes." in unsaid.stderr
    assert "error: unknown session 'shout'\nhint: Did you mean 'shouting'?" in wrong.stderr
    assert (done.returncode, done.stdout) == (0, "deleted greeting (4 messages)\n")
    assert [row["id"] for row in lines(agno("sessions", "list", "--json").stdout)] == ["shouting"]


@pytest.mark.usefixtures("kept")
def test_asks_before_it_deletes(terminal: Callable[..., Any], agno: Agno) -> None:
    """In a terminal the person is asked first, with the number of messages; an empty line means no."""
    with terminal("sessions", "delete", "greeting") as person:
        person.expect("Delete session greeting with 4 messages? [y/N]")
        person.type("\r")
        person.expect("Nothing was deleted.")
        assert person.leave() == 1
    with terminal("sessions", "delete", "greeting") as person:
        person.expect("[y/N]")
        person.type("y\r")
        person.expect("deleted greeting (4 messages)")
        assert person.leave() == 0
    assert [row["id"] for row in lines(agno("sessions", "list", "--json").stdout)] == ["shouting"]


def test_a_table_fits_the_terminal_and_cuts_no_id(
    terminal: Callable[..., Any], agno: Agno, environment: dict[str, str]
) -> None:
    """In a narrow terminal other columns are cut or left out, so that a row is a line; the id stays whole."""
    agno("run", "echo", "Hi.", "--session", "a-name-of-some-length", "--user", "somebody with a long name 한국")
    seen = {}
    for columns in ("50", "12"):
        environment["COLUMNS"] = columns
        with terminal("sessions", "list") as person:
            person.expect("\r\n")
            person.expect("\r\n")
            assert person.leave() == 0
            seen[columns] = person.seen.split("\r\n")[:2]

    assert "somebody with a long name 한국" in agno("sessions", "list").stdout
    titles, row = seen["50"]
    assert row.startswith("a-name-of-some-length  Hi.")
    assert "…" in row
    assert max(len(titles), len(row)) < 50
    assert seen["12"] == ["ID", "a-name-of-some-length"]


def test_a_broken_project_can_still_be_looked_into(agno: Agno, project: Path) -> None:
    """Looking at sessions imports no agent, so a broken agents.py does no harm."""
    (project / "agno-rt.toml").write_text('[runtime]\nload = ["agents.py"]\nmemory = "sqlite:///own.db"\n')
    agno("run", "echo", "Hi.", "--session", "mine")
    (project / "agents.py").write_text("raise OSError\n")

    assert agno("sessions", "show", "mine").stdout == "> Hi.\n1: Hi.\n"
    assert agno("sessions", "show", "mine", "--memory", "sqlite:///other.db").returncode == 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("list", "--memory", "sqlit:///a.db"), "--memory, memory: unknown memory URL scheme 'sqlit'"),
        (("list", "--memory", "agents.db"), "--memory, memory: 'agents.db' is not a memory URL"),
        (("list", "-c", "nowhere.toml"), "no such file: 'nowhere.toml'"),
        (("import", "nowhere.jsonl"), "Invalid value for 'FILE': 'nowhere.jsonl'"),
        (("delete",), "Missing argument 'SESSIONS...'"),
        (("show", ""), "unknown session ''"),
    ],
)
def test_bad_input_is_named(agno: Agno, args: tuple[str, ...], said: str) -> None:
    """An impossible request is an error with a remedy, and exit code 2."""
    done = agno("sessions", *args)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}")
    assert "\nhint: " in done.stderr
