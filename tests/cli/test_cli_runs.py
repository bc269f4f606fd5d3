"""`agno-rt runs`: list and show stored runs, and resume, cancel, fork and delete them by id."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.run_store import Entry, Renewal, RunChange, RunRecord

Agno = Callable[..., subprocess.CompletedProcess[str]]
Started = Callable[..., subprocess.Popen[str]]

STEPS = ["begun", "answered", "started", "called", "answered", "ended"]


@pytest.fixture(autouse=True)
def _in_a_durable_project(durable: Path) -> None:
    """Use agents whose runs are stored."""


def runs(agno: Agno, *args: str) -> list[dict[str, Any]]:
    """Return the stored runs."""
    return [json.loads(line) for line in agno("runs", "list", "--json", *args).stdout.splitlines()]


def shown(agno: Agno, run: str) -> dict[str, Any]:
    """Return the JSON of `runs show`."""
    found: dict[str, Any] = json.loads(agno("runs", "show", run, "--json").stdout)
    return found


def under_way(started: Started, *args: str) -> subprocess.Popen[str]:
    """Start a process and stop in the middle of its run: the tool call is over, and the model is asked again."""
    process = started("run", "looker", "wait", *args)
    assert process.stderr is not None
    while "← look" not in (line := process.stderr.readline()):
        assert line, "it ended before its tool did"
    return process


def test_lists_the_runs(agno: Agno) -> None:
    """The last changed run comes first, with its input; options choose the status, the session and the user."""
    agno("run", "looker", "Go.", "--session", "s", "--user", "ann")
    agno("run", "fetcher", "Fetch\nit.")
    rows = [line.split() for line in agno("runs", "list").stdout.splitlines()]

    assert rows[0] == ["ID", "STATUS", "AGENT", "CHANGED", "INPUT", "SESSION", "USER"]
    assert [row[1:3] for row in rows[1:]] == [["paused", "fetcher"], ["completed", "looker"]]
    assert rows[1][-2:] == ["Fetch", "it."]
    assert rows[2][-3:] == ["Go.", "s", "ann"]
    paused, completed = runs(agno)
    assert (paused["id"], completed["id"]) == (rows[1][0], rows[2][0])
    assert runs(agno, "--status", "paused") == runs(agno, "--limit", "1") == [paused]
    assert runs(agno, "--session", "s") == runs(agno, "--user", "ann") == [completed]


@pytest.mark.parametrize("args", [(), ("--json",), ("--status", "failed")])
def test_an_empty_list_says_so(agno: Agno, args: tuple[str, ...]) -> None:
    """An empty list prints nothing on stdout."""
    done = agno("runs", "list", *args)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "No runs.\n")


def test_shows_each_step(agno: Agno) -> None:
    """A run is shown with its input and answer, its steps a line each, and its approvals."""
    agno("run", "looker", "Go.", "--session", "s", "--user", "ann")
    agno("run", "fetcher", "Fetch it.")
    paused, completed = runs(agno)
    text = agno("runs", "show", completed["id"][:12]).stdout
    steps = [line.split(None, 2) for line in text.split("\n\n")[1].splitlines()[1:]]

    facts = dict(line.split(None, 1) for line in text.split("\n\n")[0].splitlines())
    assert {key: facts[key] for key in ("run", "agent", "status", "session", "user", "input", "content")} == {
        "run": completed["id"],
        "agent": "looker",
        "status": "completed",
        "session": "s",
        "user": "ann",
        "input": "Go.",
        "content": "Done: saw up",
    }
    assert [step[:2] for step in steps] == [[str(number), kind] for number, kind in enumerate(STEPS)]
    assert "saw up" in steps[3][2]
    assert 'fetch(url="a")' in agno("runs", "show", paused["id"]).stdout
    [approval] = shown(agno, paused["id"])["approvals"]
    assert approval["status"] == "pending"


def test_a_run_survives_its_process(agno: Agno, started: Started, durable: Path) -> None:
    """After kill -9 another process goes on with the run, and repeats no finished step."""
    process = under_way(started, "--session", "s")
    [run] = runs(agno)
    beside = agno("runs", "resume", run["id"])
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    listed, facts = agno("runs", "list").stdout, agno("runs", "show", run["id"]).stdout
    (durable / "go").touch()
    done = agno("runs", "resume", run["id"][:6])

    assert (run["status"], beside.returncode) == ("running", 1)
    assert "is under way already" in beside.stderr
    assert listed.splitlines()[1].split()[1] == "stopped"
    assert "running, but its process is gone: it can be resumed" in facts
    assert (done.returncode, done.stdout) == (0, "Done: saw up\n")
    assert (durable / "done.txt").read_text().split() == ["asked", "looked", "up", "answered"]
    assert agno("sessions", "show", "s", "--last", "1").stdout == "Done: saw up\n"
    assert "taken over  once" in agno("runs", "show", run["id"]).stdout
    assert runs(agno)[0]["takeovers"] == 1
    again = agno("runs", "resume", run["id"], "--json")
    assert again.returncode == 1
    assert json.loads(again.stdout)["error"]["code"] == "run_conflict"


def test_force_takes_a_run_over(agno: Agno, started: Started, durable: Path) -> None:
    """`--force` takes a run from the process that carries it out; that process fails, and its answer is dropped."""
    process = under_way(started)
    [run] = runs(agno)
    forcing = started("runs", "resume", run["id"], "--force")
    while runs(agno)[0]["owner"] == run["owner"]:
        assert forcing.poll() is None, "it ended without the run"
    (durable / "go").touch()
    (output, _), (lost, errors) = forcing.communicate(timeout=60), process.communicate(timeout=60)

    assert (forcing.returncode, output) == (0, "Done: saw up\n")
    assert (process.returncode, lost) == (1, "")
    assert "error: run " in errors
    assert [step["kind"] for step in shown(agno, run["id"])["journal"]] == STEPS


def test_a_run_is_cancelled_from_another_process(agno: Agno, started: Started, durable: Path) -> None:
    """`runs cancel` ends a run of another process; the run is stored as cancelled, and can be resumed."""
    process = under_way(started)
    [run] = runs(agno)

    done = agno("runs", "cancel", run["id"])
    output, errors = process.communicate(timeout=60)

    assert (done.returncode, done.stdout.split(":")[0]) == (0, f"cancelling {run['id']}")
    assert (process.returncode, output) == (130, "")
    assert f"Its steps are stored: agno-rt runs resume {run['id']}" in errors
    assert runs(agno)[0]["status"] == "cancelled"
    over = agno("runs", "cancel", run["id"])
    assert (over.returncode, over.stderr) == (1, f"Run {run['id']} is over already: cancelled.\n")
    (durable / "go").touch()
    assert agno("runs", "resume", run["id"]).stdout == "Done: saw up\n"


def test_a_paused_run_is_cancelled_at_once(agno: Agno) -> None:
    """A paused run has no process, and is cancelled without notice to anybody."""
    agno("run", "fetcher", "Go.")
    [run] = runs(agno)

    assert agno("runs", "cancel", run["id"]).stdout == f"cancelled {run['id']}\n"
    assert runs(agno)[0]["status"] == "cancelled"


def test_what_a_process_left_behind_is_cleared_away(agno: Agno, started: Started) -> None:
    """A run whose process was killed can be cancelled without notice to anybody, and deleted without force."""
    process = under_way(started)
    [run] = runs(agno)
    process.kill()
    process.wait(60)

    assert "1 run stopped with the process" in agno("doctor").stdout
    assert agno("runs", "cancel", run["id"]).stdout == f"cancelled {run['id']}: its process is gone\n"
    assert agno("runs", "delete", run["id"], "--yes").returncode == 0
    assert runs(agno) == []


def test_ctrl_c_says_how_to_go_on(agno: Agno, started: Started, durable: Path) -> None:
    """Ctrl-C loses no stored run: the command to go on is printed."""
    process = under_way(started)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    (durable / "go").touch()

    assert process.returncode == 130
    command = errors.rpartition("agno-rt ")[2].split()
    assert agno(*command).stdout == "Done: saw up\n"


def test_forks_a_run(agno: Agno, durable: Path) -> None:
    """A fork has the first steps of another run, which it names, and goes on from there without repeating them."""
    agno("run", "looker", "Go.")
    [run] = runs(agno)
    forked = agno("runs", "fork", run["id"], "--at", "4")
    new = forked.stdout.strip()
    done = agno("runs", "resume", new)

    assert (forked.returncode, forked.stderr) == (0, f"Go on with it: agno-rt runs resume {new}\n")
    assert done.stdout == "Done: saw up\n"
    assert (durable / "done.txt").read_text().split() == ["asked", "looked", "up", "answered", "answered"]
    assert shown(agno, new)["origin"] == run["id"]
    assert agno("runs", "fork", run["id"], "--at", "40").returncode == 2


def test_deletes_runs(agno: Agno, started: Started) -> None:
    """`--yes` deletes without asking, and names the deleted runs; a running one needs `--force`."""
    agno("run", "fetcher", "Go.")
    under_way(started)
    running, paused = runs(agno)
    unsaid, refused = agno("runs", "delete", paused["id"]), agno("runs", "delete", running["id"], "--yes")
    done = agno("runs", "delete", paused["id"], running["id"][:10], "--yes", "--force")

    assert (unsaid.returncode, refused.returncode, done.returncode) == (2, 2, 0)
    assert f"error: run {running['id']} is under way\nhint: Cancel it first" in refused.stderr
    assert done.stdout.startswith(f"deleted {paused['id']} (3 steps)\ndeleted {running['id']} (")
    assert runs(agno) == []
    assert agno("approvals", "list").stdout == ""


def test_asks_before_it_deletes(agno: Agno, terminal: Callable[..., Any]) -> None:
    """In a terminal the person is asked, with the number of steps."""
    agno("run", "looker", "Go.")
    [run] = runs(agno)
    with terminal("runs", "delete", run["id"][:8]) as person:
        person.expect(f"Delete run {run['id']} with 6 steps? [y/N]")
        person.type("n\r")
        person.expect("Nothing was deleted.")
        assert person.leave() == 1

    assert runs(agno) == [run]


async def test_finds_the_run_of_a_request(agno: Agno, durable: Path) -> None:
    """`--request` lists the runs that began in a request, with the other options; the run is shown with the id."""
    memory = SQLiteMemory(durable / "own.db")
    for name, request, user in (("a", "7c2f-1", "ann"), ("b", "7c2f-2", None), ("c", "7c2f-1", None)):
        await memory.create_run(RunRecord(name, "looker", "paused", user=user, request=request))
    await memory.aclose()
    found = [
        [run["id"] for run in runs(agno, "--request", "7c2f-1", *more)]
        for more in ((), ("--user", "ann"), ("--limit", "1"), ("--offset", "1"), ("--status", "failed"))
    ]

    assert found == [["c", "a"], ["a"], ["c"], ["a"], []]
    assert "request  7c2f-2" in agno("runs", "show", "b").stdout.replace("    ", "  ")


async def test_ids_may_be_begun(agno: Agno, durable: Path) -> None:
    """The beginning of an id, or a whole id that another begins with, will do; an ambiguous one lists the matches."""
    memory = SQLiteMemory(durable / "own.db")
    for name in ("abc", "abcd", "abz"):
        await memory.create_run(RunRecord(name, "looker", owner="o", created_at=1.0, updated_at=1.0))
    await memory.aclose()

    assert shown(agno, "abz")["id"] == "abz"
    assert shown(agno, "abc")["id"] == "abc"
    several = agno("runs", "show", "ab")
    assert (several.returncode, several.stdout) == (2, "")
    assert several.stderr.startswith("error: 3 runs begin with 'ab'\nhint: Type more of the id: ")
    assert "error: unknown run 'xyz'\nhint: Known: abc, abcd, abz." in agno("runs", "show", "xyz").stderr


async def store_runs(durable: Path) -> None:
    """Store a running run, and three that are over; the first was changed longest ago, and has a run within."""
    clock = [1000.0]
    memory = SQLiteMemory(durable / "own.db", clock=lambda: clock[0])
    for name, parent in (("old", None), ("inner", "old"), ("mid", None), ("new", None), ("busy", None)):
        await memory.create_run(RunRecord(name, "looker", owner="o", parent=parent), [Entry(0, "begun")])
        if name != "busy":
            await memory.change_run(name, RunChange("completed"), owner="o")
        clock[0] += 1e12 if name == "mid" else 1.0
    await memory.aclose()


async def test_prunes_old_runs(agno: Agno, durable: Path) -> None:
    """Old runs go with the runs within them, after a look at what would go; a run under way stays."""
    await store_runs(durable)

    nothing = agno("runs", "prune")
    wrong = agno("runs", "prune", "--older-than", "soon")
    planned = agno("runs", "prune", "--older-than", "12h", "--dry-run")
    kept = {run["id"] for run in runs(agno)}
    done = agno("runs", "prune", "--keep", "2", "--yes")
    left = {run["id"] for run in runs(agno)}
    again = agno("runs", "prune", "--older-than", "12h", "--keep", "5", "--yes")

    assert (nothing.returncode, "Give --older-than" in nothing.stderr) == (2, True)
    assert "error: --older-than is 'soon'\nhint: Give a number with a unit" in wrong.stderr
    assert planned.stdout == "would delete mid\nwould delete old\n"
    assert kept == {"old", "inner", "mid", "new", "busy"}
    assert done.stdout == "deleted old\n"
    assert left == {"mid", "new", "busy"}
    assert again.stdout == "deleted mid\n"
    assert agno("runs", "prune", "--keep", "9").stderr == "No runs to delete.\n"


async def test_names_the_journals_before_and_after(agno: Agno, durable: Path) -> None:
    """A run that went on with a new journal is shown with the runs before and after it."""
    memory = SQLiteMemory(durable / "own.db")
    begun = b'{"input": []}'
    await memory.create_run(RunRecord("abc", "looker", owner="o"), [Entry(0, "begun", begun)])
    last, first = Entry(1, "ended", b'{"status": "continued"}'), Entry(0, "begun", begun)
    await memory.renew_run("abc", Renewal("abc~1", last, first), owner="o")
    await memory.aclose()

    now, before = agno("runs", "show", "abc").stdout, agno("runs", "show", "abc~1").stdout

    assert "goes on from  abc~1" in now
    assert "goes on in  abc" in before
    assert before.splitlines()[-1].endswith("ended  went on with a new journal")


async def test_a_damaged_step_hides_no_other(agno: Agno, durable: Path) -> None:
    """`runs show` names the damaged step, and shows the others."""
    memory = SQLiteMemory(durable / "own.db")
    record = RunRecord("abc", "looker", owner="o", created_at=1.0, updated_at=1.0)
    await memory.create_run(record, [Entry(0, "begun", b"{"), Entry(1, "checked", b'{"reason": "too long"}')])
    await memory.change_run("abc", RunChange("failed", error="it was\nin vain"), owner="o")
    await memory.aclose()

    lines = agno("runs", "show", "abc").stdout.splitlines()

    assert "error    it was in vain" in lines
    assert lines[-2].startswith("   0  begun    damaged: entry 0 of the journal of run 'abc' is damaged")
    assert lines[-1] == "   1  checked  the answer was refused: too long"


def test_an_agent_that_the_project_lacks(agno: Agno) -> None:
    """A run of another project's agent is an error that names the agent and the option for the project."""
    agno("run", "looker", "Go.")
    [run] = runs(agno)
    fork = agno("runs", "fork", run["id"]).stdout.strip()

    done = agno("runs", "resume", fork, "-c", "agents.py", "--memory", "sqlite:///own.db")

    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: unknown agent 'looker' (of run {fork})\nhint: Name the agent's project" in done.stderr


@pytest.mark.parametrize(
    "args",
    [("runs", "list"), ("runs", "resume", "a"), ("runs", "delete", "a", "--yes"), ("approvals", "list")],
)
def test_a_memory_that_stores_no_runs(agno: Agno, distribution: Callable[..., Path], args: tuple[str, ...]) -> None:
    """A memory without runs is an error that names the memory and a suitable one."""
    site = distribution(
        "plain",
        """
        from agno_rt import hookimpl
        from agno_rt.memory import Session

        class PlainMemory:
            async def load(self, session, last=None):
                return Session(session)

            async def append(self, session, messages, *, version, user=None, data=None, agent=""):
                return 1

            async def sessions(self, **asked):
                return []

            async def session_info(self, session):
                return None

            async def rename(self, session, title):
                return False

            async def delete(self, session):
                return False

            async def aclose(self):
                pass

        @hookimpl
        def agno_rt_register_memory(register):
            register("plain", lambda url, settings: PlainMemory())
        """,
    )

    done = agno(*args, "--memory", "plain:", env={"PYTHONPATH": str(site)})

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "error: the memory backend PlainMemory stores no runs\nhint: Use a backend that stores runs"
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("show", "nowhere"), "unknown run 'nowhere'"),
        (("cancel", "nowhere"), "unknown run 'nowhere'"),
        (("fork", "nowhere"), "unknown run 'nowhere'"),
        (("list", "--status", "done"), "Invalid value for '--status'"),
        (("delete", ""), "unknown run ''"),
    ],
)
def test_bad_input_is_named(agno: Agno, args: tuple[str, ...], said: str) -> None:
    """An impossible request is an error with a remedy, and exit code 2."""
    done = agno("runs", *args)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}")
    assert "\nhint: " in done.stderr


def test_shows_the_todo_list(agno: Agno, durable: Path) -> None:
    """A run with a todo list is shown with the list after the last step."""
    (durable / "durable.py").write_text(
        "from agno_rt import Agent, MemoryPolicy, ToolCall\n"
        "from agno_rt.testing import ScriptedModel\n"
        "todos = {'todos': [{'content': 'plan', 'status': 'completed'}, {'content': 'build'}]}\n"
        "model = ScriptedModel([ToolCall('1', 'write_todos', todos), 'done'])\n"
        "planner = Agent(model, tools=['todo'], memory=MemoryPolicy(journal=True))\n"
    )
    agno("run", "planner", "Go.")
    [run] = runs(agno)

    assert agno("runs", "show", run["id"]).stdout.endswith("\nTodo list:\n1. [x] plan\n2. [ ] build\n")
