"""`agno-rt approvals`, and the questions of `run` and `chat` to the person at the terminal when a run pauses."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Agno = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _in_a_durable_project(durable: Path) -> None:
    """Use agents whose runs pause."""


def paused(agno: Agno, agent: str, *args: str) -> dict[str, Any]:
    """Return the result of a run of the agent, which pauses."""
    done = agno("run", agent, "Go.", "--json", *args)
    assert done.returncode == 75
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["status"] == "paused"
    return result


def waiting(agno: Agno, *args: str) -> list[dict[str, Any]]:
    """Return the pending approvals."""
    return [json.loads(line) for line in agno("approvals", "list", "--json", *args).stdout.splitlines()]


def test_a_script_is_told_what_waits(agno: Agno, durable: Path) -> None:
    """Without a terminal the run stays paused: exit code 75, no answer, and the next command on stderr."""
    done = agno("run", "sender", "Go.")
    [approval] = waiting(agno)

    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr.splitlines() == [
        '→ look(where="up")',
        "← look: saw up",
        '? send(text="HI") waits for an approval',
        f"Paused: run {approval['run']} waits.",
        "To decide and resume:",
        f"  agno-rt approvals approve {approval['id']} --resume",
    ]
    typed = done.stderr.splitlines()[-1].split()[1:]
    assert agno(*typed).stdout == "Done: sent HI; saw up\n"
    assert (durable / "done.txt").read_text().split("\n") == ["asked", "looked up", "sent HI", "answered", ""]


def test_with_a_user_there_is_only_what_is_theirs(agno: Agno, durable: Path) -> None:
    """The approvals and runs of another user can be neither listed, decided, seen, resumed nor ended."""
    run = paused(agno, "sender", "--user", "ann")["run_id"]
    [approval] = waiting(agno, "--user", "ann")
    stored = agno("runs", "show", run, "--json").stdout
    told = [
        agno(*args, "--user", "bob")
        for args in (
            ("approvals", "approve", approval["id"]),
            ("approvals", "approve", run[:8]),
            ("approvals", "deny", approval["id"], "--reason", "no"),
            ("approvals", "answer", approval["id"], "{}"),
            ("approvals", "list", "--run", run),
            ("runs", "show", run),
            ("runs", "resume", run),
            ("runs", "cancel", run),
            ("runs", "fork", run),
            ("runs", "delete", run, "--yes"),
        )
    ]

    assert {(done.returncode, done.stdout) for done in told} == {(2, "")}
    assert {line for done in told for line in done.stderr.splitlines()[1:]} == {
        "hint: There are no approvals.",
        "hint: There are no runs.",
    }
    assert waiting(agno, "--user", "bob") == []
    assert agno("runs", "show", run, "--json").stdout == stored
    assert not (durable / "done.txt").read_text().count("sent")
    assert agno("approvals", "approve", approval["id"], "--user", "ann", "--resume").stdout.startswith("Done: sent HI")
    assert agno("runs", "delete", run, "--yes", "--user", "ann").returncode == 0


def test_what_to_type_names_the_project(agno: Agno, durable: Path) -> None:
    """Commands to type name the file or configuration that the agent was named by."""
    (durable / "other.toml").write_text('[runtime]\nmemory = "sqlite:///there.db"\n')
    cases = {
        ("durable.py:fetcher",): "-c durable.py",
        ("durable.py:fetcher", "-c", "other.toml"): "-c durable.py --memory sqlite:///there.db",
        ("fetcher", "-c", "agno-rt.toml"): "",
    }
    for args, options in cases.items():
        done = agno("run", *args, input="Go.")
        typed = done.stderr.splitlines()[-1].split()[1:]

        assert " ".join(typed).endswith(f"VALUE {options} --resume".replace("  ", " "))
        assert agno(*("page" if word == "VALUE" else word for word in typed)).stdout == "Done: page\n"


def test_lists_what_waits(agno: Agno) -> None:
    """An approval is listed with its kind, call and reason; options add the decided ones, or leave one run."""
    asked = [paused(agno, agent)["run_id"] for agent in ("sender", "booker", "fetcher")]
    rows = agno("approvals", "list").stdout.splitlines()
    ids = [approval["id"] for approval in waiting(agno)]
    agno("approvals", "deny", ids[0], "--reason", "Too loud.", "--by", "ann")

    assert rows[0].split() == ["ID", "KIND", "CALL", "REASON", "AGENT", "ASKED", "EXPIRES"]
    assert [row.split()[:3] for row in rows[1:]] == [
        [ids[0], "approval", 'send(text="HI")'],
        [ids[1], "input", 'book(city="Seoul")'],
        [ids[2], "external", 'fetch(url="a")'],
    ]
    assert "it is loud" in rows[1]
    assert [each["run"] for each in waiting(agno)] == asked[1:]
    [of_one] = waiting(agno, "--all", "--run", asked[0][:8])
    assert (of_one["status"], of_one["reason"], of_one["by"]) == ("denied", "Too loud.", "ann")
    assert f"{ids[0]}  denied" in agno("approvals", "list", "--all").stdout


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_nothing_waits(agno: Agno, args: tuple[str, ...]) -> None:
    """Without pending approvals, stdout stays empty."""
    done = agno("approvals", "list", *args)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "No pending approvals.\n")


@pytest.mark.parametrize(
    ("agent", "args", "answer"),
    [
        ("sender", ("approve",), "Done: sent HI; saw up"),
        ("sender", ("approve", "--arguments", '{"text": "hi"}'), "Done: sent hi; saw up"),
        ("sender", ("deny", "--reason", "Too loud."), "Done: send was denied: Too loud.; saw up"),
        ("booker", ("answer", '{"nights": 2, "breakfast": true}'), "Done: 2 nights in Seoul with breakfast"),
        ("booker", ("deny", "--reason", "Too far."), "Done: book was denied: Too far."),
        ("fetcher", ("answer", "a page"), "Done: a page"),
        ("fetcher", ("answer", '{"title": "A"}'), 'Done: {"title":"A"}'),
        ("fetcher", ("answer", "-"), "Done: piped"),
    ],
)
def test_decides_and_goes_on(agno: Agno, agent: str, args: tuple[str, ...], answer: str) -> None:
    """An approval is found by the run's id or the beginning of the id; `--resume` goes on with the run at once."""
    run = paused(agno, agent)["run_id"]
    verb, *rest = args

    done = agno("approvals", verb, run[:10], *rest, "--resume", input="piped\n")

    assert (done.returncode, done.stdout) == (0, f"{answer}\n")
    assert not waiting(agno)


def test_several_are_decided_one_after_another(agno: Agno, durable: Path) -> None:
    """After each decision the next step is printed. Resuming too early waits for the rest and repeats nothing."""
    run = paused(agno, "both")["run_id"]
    first, second = (approval["id"] for approval in waiting(agno))

    one = agno("approvals", "approve", first)
    early = agno("runs", "resume", run)
    two = agno("approvals", "approve", second)
    done = agno("runs", "resume", run)

    assert one.stderr == f'approved: send(text="one")\nThe run waits for more: agno-rt approvals list --run {run}\n'
    assert early.returncode == 75
    assert f"agno-rt approvals approve {second} --resume" in early.stderr
    assert two.stderr == f'approved: send(text="two")\nThe run can go on: agno-rt runs resume {run}\n'
    assert (done.returncode, done.stdout) == (0, "Done: sent one; sent two\n")
    assert sorted((durable / "done.txt").read_text().split()) == [
        "answered",
        "asked",
        "one",
        "sent",
        "sent",
        "two",
    ]


@pytest.mark.parametrize(
    ("agent", "args", "said"),
    [
        ("sender", ("approve", "--arguments", "{"), "'{' is not JSON"),
        ("sender", ("approve", "--arguments", '{"txt": "hi"}'), "cannot be approved: The arguments of send do not"),
        ("sender", ("answer", "yes"), "is of kind approval and cannot be answered"),
        ("booker", ("approve",), "is of kind input and cannot be approved"),
        ("booker", ("answer", "two"), "the answer is not a JSON object"),
        ("booker", ("answer", '{"nights": "two"}'), "the answer does not fit its schema"),
    ],
)
def test_a_decision_that_does_not_fit(agno: Agno, agent: str, args: tuple[str, ...], said: str) -> None:
    """An unfit decision is an error that names a fit one, and decides nothing."""
    run = paused(agno, agent)["run_id"]
    verb, *rest = args

    done = agno("approvals", verb, run, *rest)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "\nhint: " in done.stderr
    assert len(waiting(agno)) == 1


def test_a_decision_is_made_once(agno: Agno) -> None:
    """Decided approvals, unknown ids and ambiguous beginnings are errors."""
    run = paused(agno, "both")["run_id"]
    ids = [approval["id"] for approval in waiting(agno)]
    several = agno("approvals", "approve", run)
    agno("approvals", "approve", ids[0])
    again, none = agno("approvals", "approve", ids[0]), agno("approvals", "approve", "nowhere")

    assert [done.returncode for done in (again, none, several)] == [2, 2, 2]
    assert "approved" in again.stderr
    assert "error: unknown approval 'nowhere'" in none.stderr
    assert f"error: 2 approvals begin with '{run}'\nhint: Type more of the id: " in several.stderr


def test_a_person_approves(terminal: Callable[..., Any]) -> None:
    """In a terminal the run asks, gives the reason, and goes on at once after the approval."""
    with terminal("run", "sender", "Go.") as person:
        person.expect("Reason: it is loud")
        person.expect('Approve send(text="HI")? [y]es, [n]o, [e]dit, [l]ater: ')
        person.type("what\r")
        person.expect("Type y, n, e or l.")
        person.expect("[l]ater: ")
        person.type("y\r")
        person.expect("Done: sent HI; saw up")
        assert person.leave() == 0


def test_a_person_denies(terminal: Callable[..., Any]) -> None:
    """The answer no asks for a reason, which the model gets."""
    with terminal("run", "sender", "Go.") as person:
        person.expect("[l]ater: ")
        person.type("n\r")
        person.expect("Why not? ")
        person.type("Too loud.\r")
        person.expect("Done: send was denied: Too loud.; saw up")
        assert person.leave() == 0


def test_a_person_changes_the_arguments(terminal: Callable[..., Any]) -> None:
    """The terminal offers the arguments to be changed, and asks again, with the fault, if they do not fit."""
    with terminal("run", "sender", "Go.") as person:
        person.expect("[l]ater: ")
        person.type("e\r")
        person.expect('Arguments: {"text": "HI"}')
        person.type('\x15{"txt": 1}\r')
        person.expect("error: ")
        person.expect("[l]ater: ")
        person.type("e\r")
        person.expect('Arguments: {"text": "HI"}')
        person.type('\x15{"text": "hi"}\r')
        person.expect("Done: sent hi; saw up")
        assert person.leave() == 0


def test_a_person_fills_in(terminal: Callable[..., Any]) -> None:
    """Fields are asked one by one with their descriptions. A fault is shown at once; optional fields may stay empty."""
    with terminal("run", "booker", "Go.") as person:
        person.expect("how long the stay is")
        person.expect("nights (integer): ")
        person.type("two\r")
        person.expect("error: 'two' is not of the type integer")
        person.expect("nights (integer): ")
        person.type("2\r")
        person.expect("breakfast (boolean; may be empty): ")
        person.type("yes\r")
        person.expect("Done: 2 nights in Seoul with breakfast")
        assert person.leave() == 0


def test_a_person_gives_a_result(terminal: Callable[..., Any]) -> None:
    """A call that is carried out elsewhere asks for its result."""
    with terminal("run", "fetcher", "Go.") as person:
        person.expect('The result of fetch(url="a"), as JSON or text; Ctrl-D for later: ')
        person.type("a page\r")
        person.expect("Done: a page")
        assert person.leave() == 0


@pytest.mark.parametrize("keys", ["l\r", "\x04"])
def test_a_person_leaves_it_for_later(terminal: Callable[..., Any], agno: Agno, keys: str) -> None:
    """Leaving keeps the run paused, with exit code 75 and the next command; `runs resume` asks again."""
    with terminal("run", "sender", "Go.") as person:
        person.expect("[l]ater: ")
        person.type(keys)
        person.expect("--resume")
        assert person.leave() == 75
    [approval] = waiting(agno)
    with terminal("runs", "resume", approval["run"]) as person:
        person.expect("[l]ater: ")
        person.type("y\r")
        person.expect("Done: sent HI; saw up")
        assert person.leave() == 0


def test_a_chat_asks_and_goes_on(terminal: Callable[..., Any], agno: Agno) -> None:
    """A chat asks the person too. The answer joins the session; the person's decision is not typed history."""
    with terminal("chat", "sender") as person:
        person.expect("> ")
        person.type("Go.\r")
        person.expect("[l]ater: ")
        person.type("y\r")
        person.expect("Done: sent HI; saw up")
        person.expect("> ")
        person.type("\x1b[A")
        person.expect("Go.")
        person.type("\x15/quit\r")
        assert person.leave() == 0

    shown = agno("sessions", "show", "chat-sender").stdout
    assert re.sub("[→←].*\n", "", shown) == "> Go.\nLet me see.\nDone: sent HI; saw up\n"


def test_a_chat_in_a_pipe_ends_where_it_pauses(agno: Agno) -> None:
    """A chat in a pipe ends with 75 at a pause, since the next line expects an answer; the session goes on later."""
    done = agno("chat", "fetcher", input="Go.\nAnd now?\n")
    [approval] = waiting(agno)

    assert (done.returncode, done.stdout) == (75, "")
    assert f"agno-rt approvals answer {approval['id']} VALUE --resume" in done.stderr
    assert agno("approvals", "answer", approval["id"], "page", "--resume").stdout == "Done: page\n"
    assert agno("sessions", "show", "chat-fetcher", "--last", "1").stdout == "Done: page\n"


def test_what_waits_is_kept_where_the_project_has_no_memory(agno: Agno, durable: Path) -> None:
    """Without a memory that lasts, a run that may pause is kept in the user's file, and found there."""
    (durable / "agno-rt.toml").write_text('[runtime]\nload = ["durable.py"]\n')
    run = paused(agno, "fetcher")["run_id"]

    assert agno("approvals", "answer", run, "page", "--resume").stdout == "Done: page\n"
    listed = agno("runs", "list")
    assert run in listed.stdout
    assert "end with their process" in listed.stderr


def test_what_waits_ends_with_the_process_where_nothing_lasts(agno: Agno, durable: Path) -> None:
    """Without a lasting memory or a place for the user's file, a notice says that the run ends here."""
    (durable / "agno-rt.toml").write_text('[runtime]\nload = ["durable.py"]\n')
    done = agno("run", "fetcher", "Go.", env={"XDG_DATA_HOME": str(durable / "agno-rt.toml")})

    assert (done.returncode, done.stdout) == (75, "")
    assert "It ends with this process: the memory is `memory:`." in done.stderr


def test_the_one_that_waits_is_meant(agno: Agno) -> None:
    """The run's id means its one pending approval, even if others were decided; each is decided once."""
    run = paused(agno, "both")["run_id"]
    agno("approvals", "approve", waiting(agno)[0]["id"])

    assert agno("approvals", "deny", run, "--reason", "No.").returncode == 0
    assert agno("runs", "resume", run).stdout == "Done: sent one; send was denied: No.\n"


class TestStanding:
    """Approvals that stand for later calls."""

    def test_later_calls_ask_nobody(self, agno: Agno) -> None:
        """With --for the same call is made at once, until the standing approval is revoked."""
        paused(agno, "sender")
        [approval] = waiting(agno)
        options = ("--for", "1h", "--scope", "agent", "--by", "ann", "--resume")
        done = agno("approvals", "approve", approval["id"], *options)
        later = agno("run", "sender", "Go.")
        [grant] = [json.loads(line) for line in agno("approvals", "grants", "--json").stdout.splitlines()]
        table = agno("approvals", "grants").stdout.splitlines()
        revoked = agno("approvals", "revoke", grant["id"][:8])

        assert (done.returncode, later.returncode) == (0, 0)
        assert later.stdout == "Done: sent HI; saw up\n"
        assert (grant["tool"], grant["agent"], grant["by"], grant["arguments"]) == (
            "send",
            "sender",
            "ann",
            '{"text":"HI"}',
        )
        assert table[0].split() == ["ID", "TOOL", "ARGUMENTS", "AGENT", "SESSION", "USER", "BY", "GRANTED", "ENDS"]
        assert revoked.stdout == f"revoked {grant['id']}: send\n"
        assert agno("approvals", "grants").stderr == "No standing approvals.\n"
        paused(agno, "sender")

    def test_a_pattern_for_all_sessions(self, agno: Agno) -> None:
        """--scope and --like widen what is approved."""
        paused(agno, "sender")
        [approval] = waiting(agno)
        options = ("--for", "always", "--scope", "agent", "--like", "text=H*")
        agno("approvals", "approve", approval["id"], *options)
        assert agno("run", "sender", "Go.", "--session", "other").returncode == 0
        [grant] = [json.loads(line) for line in agno("approvals", "grants", "--json").stdout.splitlines()]
        assert (grant["pattern"], grant["expires_at"], grant["session"]) == ({"text": "H*"}, None, None)

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (("--scope", "user"), "how long"),
            (("--any-arguments",), "how long"),
            (("--for", "1h", "--any-arguments", "--like", "a=b"), "does not go with --like"),
            (("--for", "1h", "--like", "b"), "has no name"),
            (("--for", "soon"), "soon"),
            (("--for", "1h"), "the run has none"),
        ],
    )
    def test_options_that_make_no_sense(self, agno: Agno, options: tuple[str, ...], problem: str) -> None:
        """Options without --for, both kinds of arguments, no time, and no session are refused; nothing is decided."""
        paused(agno, "sender")
        [approval] = waiting(agno)
        done = agno("approvals", "approve", approval["id"], *options)
        assert done.returncode == 2
        assert problem in done.stderr
        assert len(waiting(agno)) == 1
